"""What the broker adds to a call, beside the same client without it and, if given, LiteLLM's proxy.

    python benchmarks/broker.py
    python benchmarks/broker.py --litellm /tmp/litellm/bin/litellm --calls 500 --json run.json

All ask the same server (benchmarks/broker_server.py), by turns, so that what the machine does besides hits
all of them. docs/benchmarks.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from swarmd.bus.channel import AsyncChannel, pair  # noqa: E402
from swarmd.home import Home  # noqa: E402
from swarmd.messages import CallContext, ChatCall, ChatMessage, Priority  # noqa: E402
from swarmd.models.client import AsyncBrokerClient  # noqa: E402
from swarmd.models.queue import BYPASS  # noqa: E402
from swarmd.testing import temporary_home  # noqa: E402

PROMPT = "Write a function that adds two numbers. " * 100
PIECES = 8
Ask = Callable[[], Awaitable[float]]
"""Makes one call; seconds to its first piece."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=500, help="of each row")
    parser.add_argument("--callers", type=int, default=64, help="at one time, in the second part")
    parser.add_argument(
        "--litellm", type=Path, metavar="PROGRAM", help="LiteLLM's program, of another environment"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args()


@contextlib.contextmanager
def server(**options: float) -> Iterator[str]:
    """The model server's URL."""
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    program = [sys.executable, str(ROOT / "benchmarks" / "broker_server.py"), *argv]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


@contextlib.contextmanager
def litellm(program: Path, url: str, folder: Path) -> Iterator[str]:
    """The URL of LiteLLM's proxy in front of ``url``."""
    model = {"model": "openai/bench", "api_base": url, "api_key": "none"}
    config = folder / "litellm.json"
    listed = [{"model_name": "bench", "litellm_params": model}]
    settings = {"dangerously_permit_weak_or_unset_master_key": True}  # it only listens on loopback
    config.write_text(json.dumps({"model_list": listed, "general_settings": settings}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": os.environ["PATH"], "HOME": str(folder)}
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise SystemExit("LiteLLM's proxy does not start")


class Broker:
    """A real broker process, as the master starts it."""

    def __init__(self, home: Home, folder: Path) -> None:
        ours, theirs = pair()
        argv = ["-P", "-m", "swarmd.models.broker", f"--home={home.root}", f"--control-fd={theirs.fileno()}"]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen([sys.executable, *argv], pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        self.control = AsyncChannel(ours)
        self.said: list[tuple[str, str]] = []
        """Clients, and whether a call of theirs began ("start") or ended ("complete"), in this order."""

    async def listen(self) -> None:
        """Read what it tells the master, so that it never waits for that."""
        while True:
            frame, _ = await self.control.receive()
            if str(frame.get("event")).startswith("model_call_"):
                event = str(frame["event"]).removeprefix("model_call_")
                self.said.append((str(frame["fields"]["client"]), event))

    async def client(self, name: str, priority: Priority = "normal") -> AsyncBrokerClient:
        ours, theirs = pair()
        with theirs:
            await self.control.send({"op": "attach", "client": name}, [theirs.fileno()])
        about = CallContext(request_id=name, priority=priority)
        order = {"op": "assign", "client": name, "about": about.model_dump(mode="json"), "tokens": 0}
        await self.control.send(order)
        return AsyncBrokerClient(AsyncChannel(ours))

    async def stop(self) -> None:
        await self.control.send({"op": "stop"})
        await asyncio.to_thread(self._process.wait, 10)


@contextlib.asynccontextmanager
async def broker(url: str, parallel: int = 64) -> AsyncIterator[Broker]:
    """A broker whose tiers are all served by ``url``."""
    with tempfile.TemporaryDirectory(prefix="swb-") as name:
        folder = Path(name)
        model = {"provider": "openai", "base_url": url, "name": "bench", "context": 32_768}
        tiers = dict.fromkeys(("fast", "deep", "reviewer"), "bench")
        policy = {"concurrency": {"fast": parallel, "deep": 1, "reviewer": 1}}
        home = temporary_home(folder / "home", models={"bench": model}, tiers=tiers, policy=policy)
        made = Broker(home, folder)
        ready, _ = await made.control.receive()
        assert ready["op"] == "ready", ready
        listening = asyncio.create_task(made.listen())
        try:
            yield made
        finally:
            await made.stop()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def call(pieces: int = PIECES) -> ChatCall:
    return ChatCall(tier="fast", max_tokens=pieces, messages=[ChatMessage(role="user", content=PROMPT)])


def through_broker(client: AsyncBrokerClient, pieces: int = PIECES) -> Ask:
    async def ask() -> float:
        begun, first = time.perf_counter(), 0.0

        def note(piece: str | None) -> None:
            nonlocal first
            first = first or time.perf_counter() - begun

        await client.chat(call(pieces), on_piece=note)
        return first

    return ask


def through_client(client: Any, pieces: int = PIECES) -> Ask:
    """The same request by the `openai` client itself, read as the broker reads it."""
    messages = [{"role": "user", "content": PROMPT}]
    usage = {"include_usage": True}

    async def ask() -> float:
        begun, first = time.perf_counter(), 0.0
        stream = await client.chat.completions.create(
            model="bench", messages=messages, max_tokens=pieces, stream=True, stream_options=usage
        )
        async for part in stream:
            if part.choices and part.choices[0].delta.content:
                first = first or time.perf_counter() - begun
        return first

    return ask


async def measured(rows: dict[str, Ask], calls: int) -> dict[str, dict[str, list[float]]]:
    """Whole time and time to the first piece of ``calls`` of each row, in ms, by turns."""
    found: dict[str, dict[str, list[float]]] = {name: {"whole": [], "first": []} for name in rows}
    for number in range(calls + 20):
        for name, ask in rows.items():
            begun = time.perf_counter()
            first = await ask()
            if number >= 20:  # the first ones open connections and import what they need
                found[name]["whole"].append((time.perf_counter() - begun) * 1000)
                found[name]["first"].append(first * 1000)
    return found


def p(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


async def overhead(chosen: argparse.Namespace) -> dict[str, Any]:
    """One call after the other."""
    import openai

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(server())
        urls = {"direct": url}
        if chosen.litellm:
            urls["litellm"] = stack.enter_context(litellm(chosen.litellm, url, folder))
        clients = {
            name: openai.AsyncOpenAI(base_url=at, api_key="none", max_retries=0) for name, at in urls.items()
        }
        async with broker(url) as made:
            client = await made.client("bench")
            rows = {name: through_client(one) for name, one in clients.items()}
            found = await measured(rows | {"swarmd": through_broker(client)}, chosen.calls)
            await client.close()
        for one in clients.values():
            await one.close()
    return table(found)


def table(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """The figures, and what is added to those of the row "direct", call by call of the same turn."""
    rows = {}
    for name, times in found.items():
        added = [mine - direct for mine, direct in zip(times["whole"], found["direct"]["whole"], strict=True)]
        early = [mine - direct for mine, direct in zip(times["first"], found["direct"]["first"], strict=True)]
        rows[name] = {
            "median_ms": statistics.median(times["whole"]),
            "p99_ms": p(times["whole"], 99),
            "added_median_ms": statistics.median(added),
            "added_p99_ms": p(times["whole"], 99) - p(found["direct"]["whole"], 99),
            "added_first_ms": statistics.median(early),
        }
    return rows


async def streaming() -> dict[str, float]:
    """100 pieces, 5 ms apart: how much later the whole is there."""
    import openai

    with server(gap_ms=5.0) as url:
        async with (
            broker(url) as made,
            openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as direct,
        ):
            client = await made.client("bench")
            rows = {"direct": through_client(direct, 100), "swarmd": through_broker(client, 100)}
            found = await measured(rows, 20)
            await client.close()
    whole = {name: statistics.median(times["whole"]) for name, times in found.items()}
    return {
        **{f"{name}_ms": value for name, value in whole.items()},
        "ratio": whole["swarmd"] / whole["direct"],
    }


async def crowd(callers: int) -> dict[str, Any]:
    """So many callers at four places, each with one call after the other, one in sixteen of low priority: how
    many calls that came later were served before one of low priority."""
    with server(first_ms=5.0) as url:
        async with broker(url, parallel=4) as made:
            names = {f"{'low' if number % 16 == 0 else 'high'}-{number}" for number in range(callers)}
            clients = {name: await made.client(name, "low" if "low" in name else "high") for name in names}
            begun = time.perf_counter()
            await asyncio.gather(*(_busy(client, 10) for client in clients.values()))
            seconds = time.perf_counter() - begun
            for client in clients.values():
                await client.close()
            return {"calls": 10 * callers, "calls_per_s": 10 * callers / seconds} | waits(made.said, callers)


async def _busy(client: AsyncBrokerClient, calls: int) -> None:
    for _ in range(calls):
        await client.chat(call(1))


def waits(said: list[tuple[str, str]], callers: int) -> dict[str, Any]:
    """The longest wait of a low caller, in others' calls that began between the end of its last one and the
    beginning of its next, and the bound: those waiting when it came, and BYPASS for each of the two levels
    above it."""
    most = 0
    for name in {client for client, _ in said if client.startswith("low")}:
        others = 0
        for client, event in said:
            if client == name:
                most, others = max(most, others if event == "start" else 0), 0
            elif event == "start":
                others += 1
    bound = 2 * BYPASS + callers - 1
    return {"longest_low_wait": most, "bound": bound, "ratio": most / bound}


def show_overhead(rows: dict[str, Any]) -> None:
    heads = ("median", "p99", "added", "added p99", "to 1st piece")
    print(f"{'one call after the other':26}" + "".join(f"{head:>14}" for head in heads))
    for name, row in rows.items():
        print(f"  {name:24}" + "".join(f"{value:>11.2f} ms" for value in row.values()))
    ours = rows["swarmd"]
    print(
        f"  of the limits 3 ms, 10 ms: {ours['added_median_ms'] / 3:.2f} ×, {ours['added_p99_ms'] / 10:.2f} ×"
    )
    if "litellm" in rows:
        share = ours["added_median_ms"] / rows["litellm"]["added_median_ms"]
        print(f"  of what LiteLLM's proxy adds: {share:.3f} × at the median")


def main() -> None:
    chosen = options()
    found: dict[str, Any] = {"overhead": asyncio.run(overhead(chosen))}
    show_overhead(found["overhead"])
    found["streaming"] = row = asyncio.run(streaming())
    print(f"100 pieces, 5 ms apart: {row['direct_ms']:.0f} ms direct, {row['ratio']:.3f} × that here")
    found["crowd"] = row = asyncio.run(crowd(chosen.callers))
    print(f"{chosen.callers} callers at four places: {row['calls']} calls, {row['calls_per_s']:.0f}/s")
    print(f"  a low one waited for at most {row['longest_low_wait']} others: {row['ratio']:.2f} × the bound")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
