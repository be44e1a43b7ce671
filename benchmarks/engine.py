"""The embedded engine: header, cold start, prefix reuse, parallel slots, and tests written a minute.

    .venv/bin/python benchmarks/engine.py [--weights FILE] [--only PARTS] [--rounds N] [--json FILE]

It asks a manager and an engine of its own, on a unix socket, as the broker does, and wants the machine to
itself: every figure but the header's is the CPU's speed. Nothing is written but a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from swarmd.config import ModelSettings, Settings
from swarmd.messages import ChatCall, ChatMessage, ChatReply
from swarmd.models.gguf import read_shape
from swarmd.models.manager import Manager
from swarmd.models.providers.embedded import EmbeddedProvider
from swarmd.models.store import Store, default_folder

SMALL = "qwen2.5-coder-0.5b-instruct-q4_k_m"
MODEL = "measured"
REPLY = 96
"""Tokens of a reply where throughput is measured."""
GOAL_COLD_S, GOAL_HEADER_S, GOAL_PREFIX, GOAL_SLOTS, GOAL_TASKS = 5.0, 0.3, 10.0, 1.3, 20.0

CODE = '''def %(name)s(values):
    """The %(what)s of the values; None when there are none."""
    result = None
    for value in values:
        if value is None:
            continue
        if result is None or value %(sign)s result:
            result = value
    return result


'''


def program(subject: str, functions: int) -> str:
    """A module of Python that is not like another one's from its first line on."""
    parts = (
        CODE % {"name": f"{subject}_{number}", "what": f"{subject} number {number}", "sign": "<>"[number % 2]}
        for number in range(functions)
    )
    return f"# The module {subject}.\n" + "".join(parts)


def question(code: str, ask: str, reply: int = 1, seed: int = 0) -> ChatCall:
    """A call whose prompt begins with ``code``; it may be long, ``ask`` is what differs."""
    message = ChatMessage(role="user", content=f"{code}\n{ask}")
    return ChatCall(
        tier="fast", messages=[message], max_tokens=reply, temperature=0.0, seed=seed, purpose="bench"
    )


@asynccontextmanager
async def engine(weights: str, **fields: Any) -> Any:
    """A provider whose engine is not loaded yet."""
    model = ModelSettings(provider="embedded", weights=weights, **fields)
    tiers = dict.fromkeys(("fast", "deep", "reviewer"), MODEL)
    settings = Settings.model_validate({"models": {MODEL: model}, "tiers": tiers})
    with tempfile.TemporaryDirectory(prefix="swarmd-bench-") as runtime:
        manager = Manager(settings, Store(default_folder(settings)), Path(runtime))
        provider = EmbeddedProvider(MODEL, model, manager)
        try:
            yield provider
        finally:
            await provider.close()
            await manager.close()


async def ask(provider: EmbeddedProvider, call: ChatCall) -> tuple[float, ChatReply]:
    """Seconds until the reply was there, and the reply."""
    begun = time.perf_counter()
    reply = await provider.chat(call, lambda piece: None)
    return time.perf_counter() - begun, reply


async def cold(weights: str, rounds: int) -> dict[str, Any]:
    """From nothing to the first token of a short prompt, the client's libraries loaded before."""
    seconds = []
    async with engine(weights, context=2048) as provider:
        await ask(provider, question("", "Say hi."))
    for _ in range(rounds):
        async with engine(weights, context=2048) as provider:
            took, _ = await ask(provider, question("", "Say hi."))
            seconds.append(took)
    middle = statistics.median(seconds)
    return {
        "seconds": _all(seconds),
        "median_s": _r(middle),
        "goal_s": GOAL_COLD_S,
        "met": middle < GOAL_COLD_S,
    }


async def prefix(weights: str, rounds: int) -> dict[str, Any]:
    """The second call with the same beginning beside the first: one agent, and two that take turns."""
    alone, turns = [], []
    for number in range(rounds):
        async with engine(weights, context=4096, slots=2) as provider:
            await ask(provider, question("", "Say hi."))
            code = program(f"alone{number}", 10)
            first, one = await ask(provider, question(code, "What is first?"))
            second, two = await ask(provider, question(code, "What is last?"))
            alone.append(_prefill(first, second, one, two))
            codes = [program(f"{name}{number}", 10) for name in ("red", "green")]
            firsts = [await ask(provider, question(code, "What is first?")) for code in codes]
            seconds = [await ask(provider, question(code, "What is last?")) for code in codes]
            turns += [_prefill(a[0], b[0], a[1], b[1]) for a, b in zip(firsts, seconds, strict=True)]
    ratios = {"alone": _ratio(alone), "taking_turns": _ratio(turns)}
    return {
        "alone": alone,
        "taking_turns": turns,
        "ratio": ratios,
        "goal": GOAL_PREFIX,
        "met": min(ratios.values()) >= GOAL_PREFIX,
    }


def _prefill(first: float, second: float, one: ChatReply, two: ChatReply) -> dict[str, Any]:
    cached = {"first": one.usage.cached_tokens, "second": two.usage.cached_tokens}
    tokens = {"prompt": one.usage.prompt_tokens, "cached": cached}
    return {"first_s": _r(first), "second_s": _r(second), "tokens": tokens, "ratio": _r(first / second)}


def _ratio(runs: list[dict[str, Any]]) -> float:
    return _r(statistics.median(run["first_s"] / run["second_s"] for run in runs))


async def slots(weights: str, rounds: int) -> dict[str, Any]:
    """Tokens written a second over all calls, with 1, 2 and 4 at one time."""
    rates: dict[str, float] = {}
    for parallel in (1, 2, 4):
        async with engine(weights, context=1024, parallel=parallel, slots=parallel) as provider:
            await ask(provider, question("", "Say hi."))
            measured = []
            for number in range(rounds):
                calls = [
                    question("", f"Tell a long story, number {number}.{one}", REPLY)
                    for one in range(parallel)
                ]
                begun = time.perf_counter()
                replies = await asyncio.gather(*(ask(provider, call) for call in calls))
                seconds = time.perf_counter() - begun
                measured.append(sum(reply.usage.completion_tokens for _, reply in replies) / seconds)
            rates[str(parallel)] = _r(statistics.median(measured))
    best = max(rates, key=lambda parallel: rates[parallel])
    ratio = {parallel: _r(rate / rates["1"]) for parallel, rate in rates.items()}
    met = max(ratio.values()) >= GOAL_SLOTS
    return {"tokens_per_s": rates, "ratio": ratio, "best": int(best), "goal": GOAL_SLOTS, "met": met}


async def header(weights: str, rounds: int) -> dict[str, Any]:
    """Reading the shape out of the file's header."""
    path = Store(default_folder(Settings())).path(weights)
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        read_shape(path)
        seconds.append(time.perf_counter() - begun)
    middle = statistics.median(seconds)
    return {
        "seconds": _all(seconds),
        "median_s": _r(middle),
        "goal_s": GOAL_HEADER_S,
        "met": middle < GOAL_HEADER_S,
    }


async def tasks(weights: str, rounds: int) -> dict[str, Any]:
    """Test-writing: how many small functions a minute get a test, the prompt's beginning being the same."""
    rules = (
        "Write one pytest test with three assertions for the function. Answer with one Python block and "
        "nothing else.\n\n"
    )
    async with engine(weights, context=2048) as provider:
        await ask(provider, question(rules, "def one():\n    return 1"))
        written, read, begun = 0, 0, time.perf_counter()
        count = 4 * rounds
        for number in range(count):
            code = CODE % {
                "name": f"pick_{number}",
                "what": f"value number {number}",
                "sign": "<>"[number % 2],
            }
            _, reply = await ask(provider, question(rules, code, 160, number))
            written += reply.usage.completion_tokens
            read += reply.usage.prompt_tokens - reply.usage.cached_tokens
        seconds = time.perf_counter() - begun
    per_minute = count / seconds * 60
    return {
        "tasks": count,
        "seconds": _r(seconds),
        "per_minute": _r(per_minute),
        "goal": GOAL_TASKS,
        "tokens_written_each": _r(written / count),
        "tokens_read_each": _r(read / count),
        "written_per_s": _r(written / seconds),
        "written_per_s_for_the_goal": _r(GOAL_TASKS / 60 * written / count),
        "met": per_minute >= GOAL_TASKS,
    }


PARTS: dict[str, Callable[[str, int], Awaitable[dict[str, Any]]]] = {
    "header": header,
    "cold": cold,
    "prefix": prefix,
    "slots": slots,
    "tasks": tasks,
}


def _r(number: float) -> float:
    return round(number, 3)


def _all(numbers: list[float]) -> list[float]:
    return [_r(number) for number in numbers]


def _words(name: str, found: dict[str, Any]) -> list[str]:
    """What a part found, for people, with the goal beside it."""
    met = "met" if found["met"] else "NOT met"
    if name in ("header", "cold"):
        return [
            f"{name}: {found['median_s']} s, median of {len(found['seconds'])}, "
            f"goal {found['goal_s']} s: {met}"
        ]
    if name == "prefix":
        lines = [f"prefix: the second call beside the first, goal {found['goal']} x: {met}"]
        for who in ("alone", "taking_turns"):
            one = found[who][0]
            lines.append(
                f"  {who}: {one['first_s']} s, then {one['second_s']} s, {one['tokens']['prompt']} tokens; "
                f"median {found['ratio'][who]} x"
            )
        return lines
    if name == "slots":
        rates = ", ".join(
            f"{count}: {rate} tokens/s ({found['ratio'][count]} x)"
            for count, rate in found["tokens_per_s"].items()
        )
        return [f"slots: {rates}; best {found['best']}; goal {found['goal']} x: {met}"]
    return [
        f"tasks: {found['per_minute']} a minute, goal {found['goal']}: {met}",
        f"  each reads {found['tokens_read_each']} new tokens and writes {found['tokens_written_each']}; "
        f"{found['written_per_s']} tokens/s in all here, {found['written_per_s_for_the_goal']} for the goal",
    ]


def main() -> int:
    """Run the parts asked for. Exit status 1 when a goal was not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default=SMALL, help="a name of the catalogue, or the path of a GGUF")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write everything there, too")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} before, {options.weights}")
    found: dict[str, dict[str, Any]] = {}
    for name in options.only.split(","):
        found[name] = asyncio.run(PARTS[name](options.weights, options.rounds))
        print("\n".join(_words(name, found[name])), flush=True)
    print(f"load {os.getloadavg()[0]:.2f} after")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    return 0 if all(part["met"] for part in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
