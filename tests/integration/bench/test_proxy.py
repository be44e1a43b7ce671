"""The recording proxy in front of a scripted model: passed on, counted, kept, answered again."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from swarmd.bench.cache import Cache
from swarmd.bench.proxy import Proxy
from swarmd.bench.upstream import Upstream
from swarmd.testing import ScriptedModel

GREETING = {"match": "hello", "reply": "Good day to you."}


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(
        [GREETING, {"match": "break", "reply": "no", "error": 503}], names=["small"]
    ) as served:
        yield served


@pytest.fixture
def proxy(model: ScriptedModel, tmp_path: Path) -> Iterator[Proxy]:
    upstream = Upstream(model.base_url)
    with Proxy({"*": upstream}, Cache(tmp_path / "cache")) as running:
        yield running
    upstream.close()


def ask(proxy: Proxy, text: str = "hello", **more: Any) -> httpx.Response:
    body = {"model": "small", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.post(f"{proxy.url}/chat/completions", json=body)


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_is_recorded_and_answered_again(proxy: Proxy, model: ScriptedModel, stream: bool) -> None:
    first_meter = proxy.begin()
    first = ask(proxy, stream=stream)
    second_meter = proxy.begin()
    second = ask(proxy, stream=stream)

    assert first.status_code == second.status_code == 200
    assert first.text == second.text
    assert first.headers["content-type"] == second.headers["content-type"]
    assert len(model.calls) == 1
    one, two = first_meter.calls[0], second_meter.calls[0]
    assert (one.prompt_tokens, one.completion_tokens) == (two.prompt_tokens, two.completion_tokens) == (2, 4)
    assert (one.cached, two.cached) == (False, True)
    assert two.seconds == one.seconds
    assert second_meter.model_s() == pytest.approx(one.seconds)


@pytest.mark.parametrize("stream", [False, True])
def test_gaps_are_passed_on_and_kept_too(proxy: Proxy, model: ScriptedModel, stream: bool) -> None:
    meter = proxy.begin()
    body = {"model": "small", "prompt": "hello", "temperature": 0, "stream": stream}
    with httpx.Client(trust_env=False, timeout=20) as client:
        texts = [client.post(f"{proxy.url}/completions", json=body).text for _ in range(2)]
        refused = client.post(f"{proxy.url}/completions", json={"model": "small", "messages": []})

    assert "Good" in texts[0]
    assert texts[0] == texts[1]
    assert len(model.calls) == 1
    assert [(call.prompt_tokens, call.completion_tokens) for call in meter.calls] == [(2, 4), (2, 4)]
    assert refused.status_code == 400


def test_a_stream_without_usage_is_asked_for_it(proxy: Proxy, model: ScriptedModel) -> None:
    ask(proxy, stream=True)
    assert model.calls[0]["stream_options"] == {"include_usage": True}


def test_the_cache_outlives_the_proxy(proxy: Proxy, model: ScriptedModel) -> None:
    text = ask(proxy).text
    upstream = Upstream("http://127.0.0.1:9/v1")
    with Proxy({"*": upstream}, proxy.cache) as later:
        assert ask(later).text == text
    upstream.close()


def test_random_samples_of_one_problem_differ_but_repeat_in_the_next_run(
    proxy: Proxy, model: ScriptedModel
) -> None:
    proxy.begin()
    ask(proxy, temperature=0.8)
    ask(proxy, temperature=0.8)
    assert len(model.calls) == 2
    meter = proxy.begin()
    ask(proxy, temperature=0.8)
    assert len(model.calls) == 2
    assert meter.calls[0].cached


def test_failures_are_passed_on_and_not_kept(proxy: Proxy, model: ScriptedModel) -> None:
    meter = proxy.begin()
    assert ask(proxy, "break").status_code == 503
    assert ask(proxy, "break").status_code == 503
    assert len(model.calls) == 2
    assert meter.calls == ()


def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    upstream = Upstream("http://127.0.0.1:9/v1")
    with Proxy({"*": upstream}, Cache(tmp_path)) as proxy:
        reply = ask(proxy)
        assert reply.status_code == 502
        assert "cannot be reached" in reply.text
    upstream.close()


def test_models_are_listed_and_others_refused(proxy: Proxy, model: ScriptedModel, tmp_path: Path) -> None:
    with httpx.Client(trust_env=False) as client:
        listed = client.get(f"{proxy.url}/models").json()
        assert [one["id"] for one in listed["data"]] == ["small"]
        assert client.get(f"{proxy.url}/else").status_code == 404
        assert client.post(f"{proxy.url}/chat/completions", content=b"[]").status_code == 400
    upstream = Upstream(model.base_url)
    with Proxy({"small": upstream}, Cache(tmp_path)) as routed:
        assert ask(routed, model="large").status_code == 404
        assert ask(routed).status_code == 200
    upstream.close()


def test_an_asker_who_goes_away_is_counted_and_nothing_is_kept(proxy: Proxy, model: ScriptedModel) -> None:
    model.replace([{"match": "hello", "reply": "word " * 200, "pace": 0.02}])
    meter = proxy.begin()
    port = int(proxy.url.split(":")[2].split("/")[0])
    body = b'{"model":"small","stream":true,"temperature":0,"messages":[{"role":"user","content":"hello"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as asker:
        asker.sendall(head.encode() + body)
        asker.recv(200)
    deadline = time.monotonic() + 20
    while not meter.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    assert meter.calls[0].aborted
    assert list(proxy.cache.folder.rglob("*.json")) == []
