"""The client against what serves a home, over real files; both its forms do the same."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd import client
from swarmd.client import aio
from swarmd.errors import DaemonDownError, RequestError
from swarmd.home import Home
from swarmd.messages import Command
from tests.integration.client.conftest import Served

REQUEST = {"user_request": "x", "request_id": "fix"}


class Both:
    """The functions of a module, called as a script would, whether they are asynchronous or not."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._module, name)

        def call(*args: Any, **options: Any) -> Any:
            found = function(*args, **options)
            return asyncio.run(_gathered(found)) if inspect.isawaitable(found) or _yields(found) else found

        return call


def _yields(found: object) -> bool:
    return hasattr(found, "__aiter__")


async def _gathered(found: Any) -> Any:
    return [item async for item in found] if _yields(found) else await found


@pytest.fixture(params=[client, aio], ids=["sync", "aio"])
def api(request: pytest.FixtureRequest) -> Iterator[Both]:
    threads = threading.active_count()
    yield Both(request.param)
    assert threading.active_count() <= threads, "no thread is left behind"


def test_both_forms_have_the_same_functions_with_the_same_arguments() -> None:
    functions = {name for name in client.__all__ if inspect.isfunction(getattr(client, name))}
    assert set(aio.__all__) == functions - {"daemon_pid"}
    for name in aio.__all__:
        mine = inspect.signature(getattr(aio, name)).parameters
        theirs = inspect.signature(getattr(client, name)).parameters
        given = {key: value.default for key, value in theirs.items() if key not in ("sleep", "monotonic")}
        assert {key: value.default for key, value in mine.items()} == given, name


def test_a_request_from_its_submission_to_its_result(api: Both, served: Served) -> None:
    home = served.home
    ticket = api.submit(home, REQUEST, "high", wait_receipt=5)
    assert not ticket.path.exists()
    assert api.wait(home, ticket, 5).status == "succeeded"
    assert api.status(home, "fix").state == "succeeded"
    assert [state.request_id for state in api.requests(home)] == ["fix"]


def test_a_durable_submission_is_acknowledged_or_synced(
    api: Both, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []
    for module in (client, aio):
        monkeypatch.setattr(module, "keep", kept.append)
    ticket = api.submit(served.home, REQUEST)
    assert (ticket.path.exists(), kept) == (False, [])
    served.paused = True
    waiting = api.submit(served.home, {"user_request": "y"})
    assert kept == [waiting.path]
    quick = api.submit(served.home, {"user_request": "z"}, durably=False)
    assert quick.path.exists()


def test_a_submission_that_is_not_acknowledged_is_kept_and_says_so(
    api: Both, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []
    for module in (client, aio):
        monkeypatch.setattr(module, "keep", kept.append)
    served.paused = True
    with pytest.raises(TimeoutError):
        api.submit(served.home, REQUEST, wait_receipt=0.05)
    assert [path.exists() for path in kept] == [True]


def test_without_a_daemon_a_receipt_is_refused_and_the_request_kept(api: Both, home: Home) -> None:
    with pytest.raises(DaemonDownError):
        api.submit(home, REQUEST, wait_receipt=True)
    assert len(list((home.inbox / "normal").iterdir())) == 1
    with pytest.raises(TimeoutError):
        api.receipt(home, "fix", 0.02)
    with pytest.raises(TimeoutError):
        api.wait(home, "fix", 0.02)
    with pytest.raises(DaemonDownError):
        api.wait(home, "fix", grace_s=0.0)


def test_what_is_refused_is_told_to_who_submitted_it(api: Both, served: Served) -> None:
    with pytest.raises(RequestError, match="leads out of the project"):
        api.submit(served.home, {"user_request": "x", "files": ["../x"]})


def test_the_log_lines_of_a_request_as_they_come(api: Both, served: Served) -> None:
    served.hold = True
    ticket = api.submit(served.home, REQUEST)
    timer = threading.Timer(0.1, served.end, ("fix", "failed"))
    timer.start()
    events = [line["event"] for line in api.watch(served.home, ticket, 10)]
    timer.join()
    assert events == ["request_received", "request_complete"]
    seen: list[str] = []
    assert api.wait(served.home, "fix", 5, lambda line: seen.append(line["event"])).status == "failed"
    assert seen == events


def test_cancel_and_retry(api: Both, served: Served) -> None:
    served.hold = True
    api.submit(served.home, REQUEST)
    assert api.cancel(served.home, "fix") == "cancelling"
    assert api.wait(served.home, "fix", 5).status == "cancelled"
    assert api.cancel(served.home, "fix") == "ended"
    served.hold = False
    assert api.retry(served.home, "fix") == "reopened"
    assert api.wait(served.home, "fix", 5).status == "succeeded"


def test_commands(api: Both, served: Served) -> None:
    line = api.tell(served.home, Command(command="pause"))
    assert (line["event"], served.paused) == ("daemon_paused", True)
    api.command(served.home, Command(command="resume"))
    deadline = time.monotonic() + 5
    while served.paused:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_dead_letter_goes_back_and_is_judged_again(api: Both, served: Served) -> None:
    home = served.home
    (home.deadletter / "fix.json").write_bytes(b'{"user_request": "x"}')
    api.requeue(home, "fix.json", "high")
    assert api.wait(home, "fix", 5).status == "succeeded"


def test_a_hundred_wait_in_one_loop_without_a_thread(served: Served) -> None:
    served.hold = True

    async def wait_for(request_id: str) -> str:
        return (await aio.wait(served.home, request_id, 30)).status

    async def all_of_them() -> set[str]:
        ids = [f"fix-{number}" for number in range(100)]
        for request_id in ids:
            await aio.submit(served.home, {"user_request": "x", "request_id": request_id}, durably=False)
        for request_id in ids:
            await aio.receipt(served.home, request_id, 30)
        threads = threading.active_count()
        waiting = [asyncio.create_task(wait_for(request_id)) for request_id in ids]
        await asyncio.sleep(0.1)
        assert threading.active_count() == threads
        for request_id in ids:
            served.end(request_id, "succeeded")
        return set(await asyncio.gather(*waiting))

    assert asyncio.run(all_of_them()) == {"succeeded"}


def test_a_cancelled_task_stops_waiting(served: Served) -> None:
    served.hold = True

    async def scenario() -> None:
        ticket = await aio.submit(served.home, REQUEST)
        waiting: Awaitable[object] = aio.wait(served.home, ticket)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.05)

    asyncio.run(scenario())


def test_many_processes_submit_at_the_same_time(served: Served) -> None:
    code = (
        "import sys; from pathlib import Path; from swarmd import client; from swarmd.home import Home\n"
        "home = Home(Path(sys.argv[1]))\n"
        "ids = [client.submit(home, {'user_request': 'same text'}) for _ in range(20)]\n"
        "print(sum(client.wait(home, i, 60).status == 'succeeded' for i in ids))"
    )
    argv = [sys.executable, "-c", code, str(served.home.root)]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate(timeout=120)[0] for process in running]
    assert told == ["20\n"] * 4
    assert len(list(served.home.outbox.iterdir())) == 80


def test_the_client_loads_neither_the_daemon_nor_what_only_that_needs() -> None:
    code = "import sys, json, swarmd.client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.replace('"', "").strip("[]\n").split(", "))
    assert "swarmd.client.steps" in loaded
    unwanted = {"swarmd.daemon", "swarmd.bus", "swarmd.agents", "swarmd.config", "swarmd.client.aio"}
    assert not loaded & (unwanted | {"asyncio", "watchdog", "psutil", "filelock", "click", "httpx", "rich"})
