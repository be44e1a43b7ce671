from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import ModelSettings, PolicySettings, Settings
from swarmd.errors import ModelError, ModelOverflowError, ModelReplyError
from swarmd.messages import ChatCall, ChatMessage, ChatReply, Usage
from swarmd.models.calls import Calls
from swarmd.models.privacy import PrivacyError
from swarmd.models.providers import OnPiece, TransientError
from swarmd.models.purse import Purse
from swarmd.models.schema import SchemaError

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}

Answer = Exception | str | Callable[[], Awaitable[str]]


class FakeProvider:
    """Gives its answers one by one; a callable is awaited."""

    kind = "embedded"
    local = True

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[ChatCall] = []

    async def chat(self, call: ChatCall, on_piece: OnPiece) -> ChatReply:
        self.asked.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else await answer()
        usage = Usage(prompt_tokens=10, completion_tokens=2, calls=1)
        return ChatReply(text=text, model="m", provider=self.kind, finish="stop", usage=usage, latency_ms=5)

    async def count(self, call: ChatCall) -> int | None:
        return None


class FakeRouter:
    def __init__(self, *providers: FakeProvider | Exception) -> None:
        self.providers = list(providers)

    def is_loaded(self, model: str) -> bool:
        return True

    def destination(self, model: str, provider: FakeProvider) -> str:
        return f"test:{model}"

    async def cost(self, model: str, prompt_tokens: int, reply_tokens: int) -> int:
        return 0

    async def provider(self, model: str, privacy: str) -> FakeProvider:
        chosen = self.providers[0]
        if isinstance(chosen, Exception):
            raise chosen
        return chosen

    async def forget(self, model: str, provider: FakeProvider) -> None:
        if len(self.providers) > 1:
            self.providers.pop(0)


class Bench:
    """Calls with fakes around them."""

    def __init__(self, *providers: FakeProvider | Exception, parallel: int = 4, **policy: Any) -> None:
        model = ModelSettings(parallel=parallel, first_token_s=100)
        tiers = dict.fromkeys(("fast", "deep", "reviewer"), "m")
        settings = Settings.model_validate(
            {"models": {"m": model}, "tiers": tiers, "policy": PolicySettings(**policy)}
        )
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.slept: list[float] = []
        router: Any = FakeRouter(*providers)
        self.calls = Calls(
            settings,
            router,
            self._emit,
            Purse(Path("/nonexistent/spent")),
            Path("/nonexistent"),
            sleep=self._sleep,
        )

    def _emit(self, event: str, fields: Mapping[str, Any]) -> None:
        self.events.append((event, fields))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def chat(self, **fields: Any) -> ChatReply:
        return asyncio.run(self.calls.chat(call(**fields), "coding.1", lambda tokens: None))

    def names(self) -> list[str]:
        return [event for event, _ in self.events]


def call(**fields: Any) -> ChatCall:
    messages = [ChatMessage(role="user", content="hi")]
    return ChatCall(**({"tier": "fast", "max_tokens": 10, "messages": messages} | fields))


def test_a_call_is_logged_with_two_events_of_strings_and_whole_numbers() -> None:
    bench = Bench(FakeProvider("hello"))

    assert bench.chat(request_id="req-1", task_id="task-001", attempt=2).text == "hello"

    (start, first), (complete, second) = bench.events
    assert (start, complete) == ("model_call_start", "model_call_complete")
    assert first["call_id"] == second["call_id"]
    assert second["request_id"] == "req-1"
    assert (second["prompt_tokens"], second["completion_tokens"], second["micro_usd"]) == (10, 2, 0)
    assert len(first["prompt_sha256"]) == 64
    assert first["destination"] == second["destination"] == "test:m"
    assert (first["rule"], first["candidates"], first["refused"]) == ("default", ["m"], [])
    assert (first["bytes_sent"], second["bytes_received"]) == (len("user\nhi"), 5)
    values = [value for _, fields in bench.events for value in fields.values()]
    assert all(isinstance(value, (str, int)) or all(isinstance(v, str) for v in value) for value in values)


def test_a_busy_server_is_waited_for_as_long_as_it_asks() -> None:
    busy = TransientError("loading", busy=True)
    bench = Bench(FakeProvider(busy, TransientError("b", busy=True, retry_after=9.0), *[busy] * 8, "done"))

    assert bench.chat().text == "done"
    assert bench.slept[:4] == [0.25, 9.0, 1.0, 2.0]
    assert bench.slept[-1] == 4.0


def test_a_server_that_refuses_is_given_up_after_some_tries() -> None:
    bench = Bench(FakeProvider(*[TransientError("refused") for _ in range(20)]))

    with pytest.raises(TransientError):
        bench.chat()
    assert bench.slept == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert bench.events[-1][1]["code"] == "E-MODEL-DOWN"


def test_a_call_that_broke_is_asked_once_more_and_only_once() -> None:
    broken = TransientError("died", broken=True)
    bench = Bench(FakeProvider(broken, "done"))
    assert bench.chat().text == "done"
    assert bench.slept == []

    provider = FakeProvider(broken, broken, "never")
    with pytest.raises(TransientError):
        Bench(provider).chat()
    assert len(provider.asked) == 2


@pytest.mark.parametrize("error", [ModelOverflowError("long"), ModelError("bad", code="E-MODEL-REFUSED")])
def test_what_the_server_refused_is_never_asked_again(error: ModelError) -> None:
    provider = FakeProvider(error, "never")
    bench = Bench(provider)

    with pytest.raises(ModelError):
        bench.chat()
    assert len(provider.asked) == 1
    assert bench.events[-1][0] == "model_call_complete"
    assert bench.events[-1][1]["code"] == error.code


def test_when_the_server_goes_away_another_may_be_chosen() -> None:
    bench = Bench(FakeProvider(TransientError("refused")), FakeProvider("from the other"))

    assert bench.chat().text == "from the other"


def test_a_reply_with_the_wrong_form_is_asked_for_once_more_in_another_way() -> None:
    provider = FakeProvider('{"b": 1}', '```json\n{"a": 1}\n```')

    reply = Bench(provider).chat(schema=SCHEMA, seed=7)

    assert reply.text == '{"a": 1}'
    assert reply.usage.calls == 2
    assert reply.usage.prompt_tokens == 20
    assert provider.asked[1].temperature > provider.asked[0].temperature == 0
    assert provider.asked[1].seed == 8


def test_two_replies_with_the_wrong_form_are_an_error_that_says_why() -> None:
    with pytest.raises(ModelReplyError, match="has no 'a'"):
        Bench(FakeProvider("{}", "{}", '{"a": 1}')).chat(schema=SCHEMA)


def test_a_schema_with_unchecked_rules_is_refused_before_a_model_is_asked() -> None:
    provider = FakeProvider("x")
    with pytest.raises(SchemaError):
        Bench(provider).chat(schema={"type": "string", "pattern": "x"})
    assert provider.asked == []


def test_a_call_that_would_leave_the_machine_is_blocked_and_logged() -> None:
    bench = Bench(PrivacyError("served at example.com"))

    with pytest.raises(PrivacyError):
        bench.chat(request_id="req-1")
    assert bench.names() == ["privacy_blocked"]
    assert "example.com" in bench.events[0][1]["reason"]
    assert bench.events[0][1]["request_id"] == "req-1"


def most_at_one_time(tier_limit: int, parallel: int) -> int:
    async def scenario() -> int:
        running, most, gate = 0, 0, asyncio.Event()

        async def slow() -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            return "x"

        limits = {"fast": tier_limit, "deep": 1, "reviewer": 1}
        bench = Bench(FakeProvider(*[slow] * 6), parallel=parallel, concurrency=limits)
        tasks = [asyncio.create_task(bench.calls.chat(call(), "c", lambda tokens: None)) for _ in range(6)]
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        return most

    return asyncio.run(scenario())


def test_tiers_and_models_limit_what_runs_at_one_time() -> None:
    assert most_at_one_time(tier_limit=3, parallel=10) == 3
    assert most_at_one_time(tier_limit=10, parallel=2) == 2


def test_an_aborted_call_is_logged_as_such_and_frees_its_place() -> None:
    async def scenario() -> Bench:
        never = asyncio.Event()

        async def hang() -> str:
            await never.wait()
            return "x"

        bench = Bench(FakeProvider(hang, "next"), concurrency={"fast": 1, "deep": 1, "reviewer": 1})
        task = asyncio.create_task(bench.calls.chat(call(), "c", lambda tokens: None))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await bench.calls.chat(call(), "c", lambda tokens: None)).text == "next"
        return bench

    assert asyncio.run(scenario()).events[1][1]["code"] == "E-MODEL-ABORTED"


class CountingProvider(FakeProvider):
    async def count(self, call: ChatCall) -> int | None:
        return 42


class RemoteProvider(CountingProvider):
    local = False


def test_only_engines_on_this_machine_count_tokens() -> None:
    call = ChatCall(tier="fast", max_tokens=5, messages=[ChatMessage(role="user", content="hi")])
    assert asyncio.run(Bench(CountingProvider()).calls.count(call)) == 42
    assert asyncio.run(Bench(FakeProvider()).calls.count(call)) is None
    assert asyncio.run(Bench(RemoteProvider()).calls.count(call)) is None, "it would be sent the prompt"
