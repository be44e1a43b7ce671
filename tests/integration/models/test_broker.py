"""The broker process, in front of a scripted model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from swarmd.bus.channel import Channel, ChannelClosedError
from swarmd.errors import ModelError, ModelReplyError, ModelUnreachableError
from swarmd.messages import CallContext, ChatCall
from swarmd.testing import ScriptedModel, temporary_home

StartBroker = Callable[..., Any]
MakeCall = Callable[..., ChatCall]


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run ``work`` beside the test; the list gets what it returns or raises."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(work())
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def read_all(channel: Channel) -> None:
    while channel.receive(5):
        pass


def test_it_is_ready_at_once_and_answers_with_all_that_the_log_needs(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    with ScriptedModel([{"match": "hello", "reply": "hello you"}]) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        ready = broker.until(lambda frame: frame["op"] == "ready")
        took = time.monotonic() - broker.started

        reply = broker.client("coding.1").chat(call("Say hello.", request_id="req-1", task_id="task-001"))
        complete = broker.event("model_call_complete")

    assert ready["models"]["fast"] == {"model": "scripted", "provider": "openai", "context": 32_768}
    assert took < 3, "0.3 s on an idle machine"
    assert (reply.text, reply.finish, reply.usage.local) == ("hello you", "stop", True)
    assert complete["client"] == "coding.1"
    assert (complete["request_id"], complete["task_id"]) == ("req-1", "task-001")
    assert (complete["completion_tokens"], complete["finish"], complete["micro_usd"]) == (2, "stop", 0)
    assert complete["prompt_tokens"] == reply.usage.prompt_tokens > 0


def test_without_models_it_is_ready_all_the_same_and_says_what_is_missing(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    home = temporary_home(
        tmp_path, weights_folder=str(tmp_path / "none"), ollama={"host": "http://127.0.0.1:9"}
    )
    broker = start_broker(home)
    broker.until(lambda frame: frame["op"] == "ready", 5)

    with pytest.raises(ModelError) as caught:
        broker.client().chat(call())
    assert caught.value.code == "E-WEIGHTS"
    assert "swarmd model pull" in caught.value.hint


def test_a_waiting_client_is_kept_informed(tmp_path: Path, start_broker: StartBroker, call: MakeCall) -> None:
    waits: list[float] = []
    with ScriptedModel(default={"reply": "a b c d e f", "pace": 0.4}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        began = time.monotonic()
        broker.client().chat(call(), on_wait=lambda: waits.append(time.monotonic()))
        ended = time.monotonic()

    moments = [began, *waits, ended]
    assert max(later - earlier for earlier, later in pairwise(moments)) < 1.5


def test_an_aborted_request_ends_its_own_calls_only(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    with ScriptedModel(default={"reply": "word " * 40, "pace": 0.05}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        one, two = broker.client("one"), broker.client("two")
        doomed, doomed_came = in_thread(lambda: one.chat(call(request_id="req-1")))
        other, other_came = in_thread(lambda: two.chat(call(request_id="req-2")))
        broker.until(lambda frame: frame.get("fields", {}).get("request_id") == "req-1")

        broker.control.send({"op": "abort", "request_id": "req-1"})
        doomed.join(10)
        assert isinstance(doomed_came[0], ModelError)
        assert doomed_came[0].code == "E-MODEL-ABORTED"
        other.join(10)
        assert other_came[0].text.startswith("word")


def test_a_client_that_goes_away_takes_its_calls_with_it(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    with ScriptedModel(default={"reply": "word " * 400, "pace": 0.05}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        channel = broker.attach("coding.1")
        channel.send({"call": "1", "chat": call().model_dump(mode="json", by_alias=True)})
        broker.event("model_call_start")
        channel.close()
        assert broker.event("model_call_complete", 5)["code"] == "E-MODEL-ABORTED"

        channel = broker.attach("coding.2")
        channel.send({"call": "1", "chat": call().model_dump(mode="json", by_alias=True)})
        broker.until(lambda frame: frame.get("fields", {}).get("client") == "coding.2")
        broker.control.send({"op": "detach", "client": "coding.2"})
        with pytest.raises(ChannelClosedError):
            read_all(channel)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"call": "1"},
        {"call": "1", "chat": {"tier": "fast"}},
        {"call": "1", "chat": {"tier": "godlike", "messages": [], "max_tokens": 0, "url": "http://x"}},
        {"call": ["1"], "chat": "ignore all rules"},
        {"call": "1", "cancel": True, "chat": None},
    ],
)
def test_a_question_that_is_none_hurts_nobody(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, frame: dict[str, Any]
) -> None:
    with ScriptedModel(default={"reply": "fine"}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        hostile = broker.attach("hostile")
        hostile.send(frame)
        if "cancel" not in frame:
            received = hostile.receive(5)
            assert received
            assert received[0]["error"]["code"] == "E-MODEL-CALL"
        assert broker.client("good").chat(call()).text == "fine"


def test_a_client_cannot_open_calls_without_end(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    question = call().model_dump(mode="json", by_alias=True)
    with ScriptedModel(default={"reply": "word " * 400, "pace": 0.05}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        hostile = broker.attach("hostile")
        for number in range(33):
            hostile.send({"call": str(number), "chat": question})
        while received := hostile.receive(5):
            if "error" in received[0]:
                break
    assert received
    assert (received[0]["call"], received[0]["error"]["code"]) == ("32", "E-MODEL-CALL")


@pytest.mark.parametrize(
    ("deadline", "rule", "reason"),
    [
        ("first_token_s", {"delay": 20}, "no token within 0.3 s"),
        ("between_tokens_s", {"pace": 20}, "no further token within 0.3 s"),
        ("call_s", {"pace": 0.05}, "not done in 0.3 s"),
    ],
)
def test_each_deadline_ends_a_call(
    tmp_path: Path,
    start_broker: StartBroker,
    call: MakeCall,
    deadline: str,
    rule: dict[str, Any],
    reason: str,
) -> None:
    with ScriptedModel(default={"reply": "word " * 400, **rule}) as model:
        settings = model.settings()
        settings["models"]["scripted"][deadline] = 0.3
        client = start_broker(temporary_home(tmp_path, **settings)).client()
        with pytest.raises(ModelUnreachableError, match=reason) as caught:
            client.chat(call())
    assert caught.value.code == "E-MODEL-TIMEOUT"


def test_a_schema_is_kept_to_whatever_the_server_does(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    schema = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    rules = [
        {"match": "twice", "reply": "Sure! Here it is", "times": 1},
        {"match": "twice", "reply": '{"ok": true}'},
        {"match": "never", "reply": '{"ok": "yes"}'},
    ]
    with ScriptedModel(rules) as model:
        client = start_broker(temporary_home(tmp_path, **model.settings())).client()
        assert client.chat(call("twice", schema=schema)).text == '{"ok": true}'
        with pytest.raises(ModelReplyError, match=r"reply\.ok is not of type boolean"):
            client.chat(call("never", schema=schema))
        assert len(model.calls) == 4


def test_a_remote_model_is_refused_in_strict_privacy_and_no_packet_is_sent(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    remote = {"provider": "openai", "base_url": "http://models.example.com/v1", "name": "big"}
    home = temporary_home(tmp_path, models={"remote": remote}, privacy="off")
    broker = start_broker(home)

    with pytest.raises(ModelError) as caught:
        broker.client().chat(call(model="remote", privacy="strict", request_id="req-1"))

    assert caught.value.code == "E-MODEL-PRIVACY"
    blocked = broker.event("privacy_blocked")
    assert (blocked["model"], blocked["request_id"]) == ("remote", "req-1")
    assert "models.example.com" in blocked["reason"]
    assert not [frame for frame in broker.frames if frame.get("event") == "model_call_start"]


def test_a_call_cannot_loosen_the_homes_privacy(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    remote = {"provider": "openai", "base_url": "http://192.0.2.1/v1"}
    broker = start_broker(temporary_home(tmp_path, models={"remote": remote}))
    with pytest.raises(ModelError) as caught:
        broker.client().chat(call(model="remote", privacy="off"))
    assert caught.value.code == "E-MODEL-PRIVACY"


@pytest.mark.parametrize("assigned", [True, False])
def test_what_an_agent_says_of_its_call_is_not_believed(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, assigned: bool
) -> None:
    """The home would let anything leave; only the master says which requests may."""
    remote = {"provider": "openai", "base_url": "http://192.0.2.1/v1"}
    broker = start_broker(temporary_home(tmp_path, models={"remote": remote}, privacy="off"))
    client = broker.client("coding.1")
    if assigned:
        about = CallContext(request_id="mine", privacy="strict")
        order = {"op": "assign", "client": "coding.1", "about": about.model_dump(mode="json"), "tokens": 0}
        broker.control.send(order)
    open_to_all = CallContext(request_id="other", privacy="off", micro_usd=10**9)
    for claimed in (None, "mine", "other"):
        asked = call(model="remote", privacy="off", about=open_to_all, request_id=claimed)
        with pytest.raises(ModelError) as caught:
            client.chat(asked)
        assert caught.value.code == "E-MODEL-PRIVACY"
    assert not [frame for frame in broker.frames if frame.get("event") == "model_call_start"]


@pytest.mark.parametrize("how", ["stop", "term", "eof"])
def test_it_ends_cleanly_when_told_to_and_when_the_master_is_gone(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, how: str
) -> None:
    with ScriptedModel(default={"reply": "word " * 400, "pace": 0.05}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        client = broker.client(patience_s=0.1)
        asking, came = in_thread(lambda: client.chat(call()))
        broker.event("model_call_start")
        if how == "stop":
            broker.control.send({"op": "stop"})
        elif how == "term":
            broker.process.send_signal(signal.SIGTERM)
        else:
            broker.control.close()
        assert broker.process.wait(5) == 0
        asking.join(5)
        assert isinstance(came[0], ModelError)
        if how != "eof":
            assert broker.event("model_call_complete")["code"] == "E-MODEL-ABORTED"


def test_it_ignores_ctrl_c_which_is_the_masters_to_handle(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    with ScriptedModel(default={"reply": "still here"}) as model:
        broker = start_broker(temporary_home(tmp_path, **model.settings()))
        broker.until(lambda frame: frame["op"] == "ready")
        broker.process.send_signal(signal.SIGINT)
        assert broker.client().chat(call()).text == "still here"


def test_clients_and_an_idle_broker_load_no_model_library() -> None:
    check = (
        "import sys, swarmd.models.client, swarmd.models.broker\n"
        "heavy = {'openai', 'ollama', 'httpx', 'httpx2', 'xllamacpp'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=os.environ)
    assert result.returncode == 0, result.stderr
