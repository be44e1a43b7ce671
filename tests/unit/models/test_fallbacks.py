"""One candidate after the other: which failures pass a call on, and what the log says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import Settings
from swarmd.errors import (
    ConfigError,
    ModelError,
    ModelOverflowError,
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
    ModelUnreachableError,
    WeightsError,
)
from swarmd.messages import CallContext, ChatCall, ChatReply, Usage
from swarmd.models.budget import BudgetError
from swarmd.models.calls import Calls
from swarmd.models.privacy import PrivacyError
from swarmd.models.providers import TransientError
from swarmd.models.purse import Purse

REMOTE = {"provider": "openai", "base_url": "https://models.example/v1", "prompt_price": 10_000_000}
MODELS: dict[str, Any] = {"a": {"provider": "embedded"}, "b": {"provider": "embedded"}, "paid": REMOTE}


class Provider:
    """Gives one answer, again and again."""

    def __init__(self, name: str, answer: Exception | str) -> None:
        self.kind, self.local = ("openai", False) if name == "paid" else ("embedded", True)
        self.answer = answer
        self.asked = 0
        self.calls: list[ChatCall] = []

    async def chat(self, call: ChatCall, on_piece: Any) -> ChatReply:
        self.asked += 1
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        usage = Usage(prompt_tokens=3, completion_tokens=2, calls=1, micro_usd=0 if self.local else 30)
        return ChatReply(
            text=self.answer, model="m", provider=self.kind, finish="stop", usage=usage, latency_ms=1
        )


class Lab:
    """Calls over several models, each of which answers in its way."""

    def __init__(self, folder: Path, answers: Mapping[str, Exception | str], **routing: Any) -> None:
        values = {
            "models": MODELS,
            "tiers": {"fast": "a", "deep": "b", "reviewer": "b"},
            "privacy": "off",
            "routing": {"breaker_failures": 2, **routing},
        }
        self.providers = {name: Provider(name, answer) for name, answer in answers.items()}
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.slept: list[float] = []
        self.pieces: list[str | None] = []
        self.about = CallContext(request_id="r", privacy="off", micro_usd=10_000)
        self.calls = Calls(
            Settings.model_validate(values),
            self,
            self._emit,
            Purse(folder / "spent.json"),
            folder / "sent",
            sleep=self._sleep,  # type: ignore[arg-type]
        )

    def _emit(self, name: str, fields: Mapping[str, Any]) -> None:
        self.events.append((name, fields))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def provider(self, model: str, privacy: str) -> Provider:
        return self.providers[model]

    async def forget(self, model: str, provider: Provider) -> None:
        """No Ollama is here."""

    def is_loaded(self, model: str) -> bool:
        return True

    def destination(self, model: str, provider: Provider) -> str:
        return f"at {model}"

    async def cost(self, model: str, prompt_tokens: int, reply_tokens: int) -> int:
        return 10 * prompt_tokens

    def chat(self, **fields: Any) -> str:
        defaults = {
            "tier": "fast",
            "max_tokens": 10,
            "privacy": "off",
            "messages": [{"role": "user", "content": "hi"}],
        }
        call = ChatCall.model_validate(defaults | fields)
        return asyncio.run(self.calls.chat(call, "c", self.pieces.append, self.about)).text

    def asked(self) -> dict[str, int]:
        return {name: provider.asked for name, provider in self.providers.items()}


@pytest.mark.parametrize(
    "error",
    [
        ModelUnreachableError("away"),
        TransientError("broke", broken=True),
        ModelOverflowError("too long"),
        WeightsError("absent"),
        ModelError("no memory", code="E-MODEL-MEMORY"),
        ModelError("not there", code="E-MODEL-NAME"),
        PrivacyError("it runs in a cloud"),
        ConfigError("no key"),
    ],
)
def test_what_another_model_may_not_suffer_from_passes_the_call_on(tmp_path: Path, error: Exception) -> None:
    lab = Lab(tmp_path, {"a": error, "b": "from b"})
    assert lab.chat() == "from b"
    assert lab.pieces == [None] * len(lab.pieces), "what came before is taken back"
    assert lab.pieces
    ends = [fields for name, fields in lab.events if name == "model_call_complete"]
    assert [(end["model"], end.get("code")) for end in ends] == [("a", error.code), ("b", None)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error", [ModelReplyError("empty"), ModelError("bad request", code="E-MODEL-REFUSED")]
)
def test_a_reply_that_is_no_good_is_for_who_asked_to_judge(tmp_path: Path, error: ModelError) -> None:
    lab = Lab(tmp_path, {"a": error, "b": "from b"})
    with pytest.raises(type(error)):
        lab.chat()
    assert lab.asked()["b"] == 0


def test_a_gap_is_not_passed_on(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"a": ModelUnreachableError("away"), "b": "x"})
    with pytest.raises(ModelUnreachableError):
        lab.chat(suffix="}")


def test_when_nobody_can_the_first_error_counts(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"a": WeightsError("absent"), "b": ModelUnreachableError("away")})
    with pytest.raises(WeightsError):
        lab.chat()


def test_a_model_that_keeps_failing_is_passed_over_for_a_while(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"a": ModelUnreachableError("away"), "b": "from b"})
    for _ in range(4):
        assert lab.chat() == "from b"
    assert lab.asked() == {"a": 2, "b": 4}
    paused = [fields for name, fields in lab.events if name == "model_paused"]
    assert [(one["model"], one["failures"]) for one in paused] == [("a", 2)]


def test_the_only_model_that_keeps_failing_is_waited_for(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"b": ModelUnreachableError("away")}, breaker_s=0.2)
    for _ in range(2):
        with pytest.raises(ModelUnreachableError):
            lab.chat(tier="deep")
    assert not lab.slept
    lab.providers["b"].answer = "back"
    assert lab.chat(tier="deep") == "back"
    assert lab.slept
    assert lab.slept[0] <= 0.2


def test_a_busy_server_and_a_bad_reply_are_no_reason_to_pause(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"a": ModelReplyError("empty"), "b": "x"})
    for _ in range(3):
        with pytest.raises(ModelReplyError):
            lab.chat()
    assert lab.asked()["a"] == 3


def test_a_paid_call_is_reserved_and_settled(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"paid": "dear"}, mode="cloud_only", cloud=["paid"])
    assert lab.chat() == "dear"
    assert Purse(tmp_path / "spent.json").read().requests == {"r": 30}


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ModelReplyError("of the wrong form"), True),
        (TransientError("broke off", broken=True), True),
        (ModelTimeoutError("too slow"), True),
        (TransientError("refuses connections"), False),
        (ModelRefusedError("no"), False),
    ],
)
def test_what_may_have_been_billed_stays_reserved(tmp_path: Path, error: ModelError, kept: bool) -> None:
    lab = Lab(tmp_path, {"paid": error}, mode="cloud_only", cloud=["paid"])
    with pytest.raises(type(error)):
        lab.chat()
    assert bool(Purse(tmp_path / "spent.json").read().requests["r"]) is kept


def test_a_reply_that_was_begun_for_a_model_here_is_not_begun_for_one_that_refuses_that(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path, {"a": ModelUnreachableError("away"), "b": ModelUnreachableError("away"), "paid": "x"},
              mode="prefer_local", cloud=["paid"])  # fmt: skip
    turns = [{"role": "user", "content": "go on"}, {"role": "assistant", "content": "def f():"}]
    assert lab.chat(messages=turns) == "x"
    assert [len(provider.calls[-1].messages) for provider in lab.providers.values()] == [2, 2, 1]


def test_after_a_defect_the_log_has_an_end_and_the_model_is_tried_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"b": ModelUnreachableError("away")}, breaker_s=0.01)
    for _ in range(2):
        with pytest.raises(ModelUnreachableError):
            lab.chat(tier="deep")
    lab.providers["b"].answer = RuntimeError("client has been closed")
    with pytest.raises(RuntimeError):
        lab.chat(tier="deep")
    assert "client has been closed" in lab.events[-1][1]["reason"]
    lab.providers["b"].answer = "back"
    assert lab.chat(tier="deep") == "back"


def test_what_may_not_be_spent_goes_to_a_model_here(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"a": "here", "paid": "dear"}, mode="auto", cloud=["paid"])
    lab.about = lab.about.model_copy(update={"micro_usd": 100})
    assert lab.chat(purpose="plan") == "here"
    assert lab.asked() == {"a": 1, "paid": 0}
    lab = Lab(tmp_path, {"paid": "dear"}, mode="cloud_only", cloud=["paid"])
    lab.about = lab.about.model_copy(update={"micro_usd": 100})
    with pytest.raises(BudgetError):
        lab.chat()


def test_when_privacy_leaves_nobody_that_is_what_is_said_and_logged(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {}, mode="cloud_only", cloud=["paid"])
    lab.about = lab.about.model_copy(update={"privacy": "strict"})
    with pytest.raises(PrivacyError, match="paid: privacy: strict"):
        lab.chat()
    ((name, fields),) = lab.events
    assert (name, fields["code"], fields["request_id"]) == ("privacy_blocked", "E-MODEL-PRIVACY", "r")
    assert (
        "paid: privacy: strict, and it is at https://models.example, which is not this machine"
        in fields["refused"]
    )


def test_when_the_mode_leaves_nobody_the_settings_are_to_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mode: cloud_only") as caught:
        Lab(tmp_path, {}, mode="cloud_only").chat()
    assert caught.value.code == "E-MODEL-ROUTE"
