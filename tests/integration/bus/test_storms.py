"""Storms, lost events, folders that go and come, and places without events: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from swarmd.bus import watching
from swarmd.bus.filesystem import FileSystem
from swarmd.bus.inbox import Inbox, request_places
from swarmd.bus.watching import FolderWatch
from swarmd.clock import SystemClock
from swarmd.config import DaemonSettings
from swarmd.home import Home

QUICK = DaemonSettings(settle_s=0.2, half_written_s=3.0, sweep_interval_s=0.2)
NO_SWEEPS = DaemonSettings(settle_s=0.2, half_written_s=3.0, sweep_interval_s=3600.0)
GOOD = b'{"user_request": "x"}'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return home


@contextlib.asynccontextmanager
async def opened(
    home: Home, settings: DaemonSettings, watch: FolderWatch | None = None
) -> AsyncIterator[tuple[Inbox, FolderWatch]]:
    watch = watch or FolderWatch(settings.watch)
    watch.start()
    inbox = Inbox(request_places(home), settings, SystemClock(), watch)
    await inbox.start()
    try:
        yield inbox, watch
    finally:
        await inbox.stop()
        watch.stop()


def move_in(home: Home, name: str, folder: str = "normal", data: bytes = GOOD) -> None:
    outside = home.root / f"outside-{name}"
    outside.write_bytes(data)
    outside.rename(home.inbox / folder / name)


async def taken(inbox: Inbox, count: int, seconds: float = 20.0) -> list[str]:
    """Names as they come, each file removed, until there are ``count``."""
    names: list[str] = []
    async with asyncio.timeout(seconds):
        while len(names) < count:
            for candidate in await inbox.next_batch(64):
                assert candidate.refusal is None
                names.append(candidate.path.name)
                inbox.done(candidate)
    return names


async def nothing_more(inbox: Inbox, seconds: float = 0.5) -> None:
    with pytest.raises(TimeoutError):
        await taken(inbox, 1, seconds)


def test_files_that_are_renamed_and_deleted_all_the_time_end_taken_once_or_gone(home: Home) -> None:
    high = home.inbox / "high"

    def storm() -> None:
        for number in range(600):
            path = high / f"{number}-a.json"
            path.write_bytes(GOOD)
            with contextlib.suppress(FileNotFoundError):  # it was taken before
                if number % 3 == 0:
                    path.unlink()
                elif number % 3 == 1:
                    path.rename(high / f"{number}-b.json")

    async def scenario() -> list[str]:
        async with opened(home, QUICK) as (inbox, _):
            names = []
            writing = asyncio.create_task(asyncio.to_thread(storm))
            while not writing.done():
                with contextlib.suppress(TimeoutError):
                    names += await taken(inbox, 1, 0.05)
            await writing
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    while True:
                        names += await taken(inbox, 1)
            return names

    names = asyncio.run(scenario())
    assert list(high.iterdir()) == []
    numbers = {int(name.partition("-")[0]) for name in names}
    assert numbers >= {number for number in range(600) if number % 3 == 2}
    assert len(names) == len(set(names))


def test_a_storm_that_the_loop_cannot_follow_is_listed_instead(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MOST_POSTED", 10)

    async def scenario() -> tuple[list[str], int]:
        async with opened(home, NO_SWEEPS) as (inbox, watch):
            for number in range(500):  # the loop does not turn meanwhile
                move_in(home, f"{number}.json")
            posted = len(watch._posted)
            return await taken(inbox, 500), posted

    names, posted = asyncio.run(scenario())
    assert sorted(names) == sorted(f"{number}.json" for number in range(500))
    assert posted <= 10


@pytest.mark.parametrize("what", ["inbox", "bus"])
def test_a_parent_that_is_moved_away_is_made_again_and_watched(home: Home, what: str) -> None:
    """No event tells of it: the watch stays on the folder that was moved, until the sweep sees it."""
    folder = home.inbox if what == "inbox" else home.bus

    async def scenario() -> list[str]:
        async with opened(home, QUICK) as (inbox, watch):
            folder.rename(home.root / "old")
            async with asyncio.timeout(10):
                while not (home.inbox / "low").is_dir():
                    await asyncio.sleep(0.02)
            move_in(home, "after.json", "low")
            names = await taken(inbox, 1)
            await asyncio.sleep(0.3)  # swept, so watched again
            assert watch.error == ""
            assert {listener.inode for listener in watch._listeners.values()} == {
                (p.folder.stat().st_dev, p.folder.stat().st_ino) for p in request_places(home)
            }
            return names

    assert asyncio.run(scenario()) == ["after.json"]


def test_a_folder_that_is_removed_and_made_again_all_the_time_loses_no_file_that_stays(home: Home) -> None:
    low = home.inbox / "low"

    async def scenario() -> list[str]:
        async with opened(home, NO_SWEEPS) as (inbox, _):
            for number in range(20):
                shutil.rmtree(low, ignore_errors=True)
                (home.root / "new").mkdir()
                (home.root / f"new/{number}.json").write_bytes(GOOD)
                with contextlib.suppress(OSError):  # made again by the sweep: then the file goes in there
                    (home.root / "new").rename(low)
                if (home.root / "new").is_dir():
                    (home.root / f"new/{number}.json").rename(low / f"{number}.json")
                    (home.root / "new").rmdir()
                assert await taken(inbox, 1) == [f"{number}.json"]
            (low / "last.json").write_bytes(GOOD)
            return await taken(inbox, 1)

    assert asyncio.run(scenario()) == ["last.json"]


def test_the_setting_sweep_needs_no_events_and_starts_no_reader(home: Home) -> None:
    settings = NO_SWEEPS.model_copy(update={"watch": "sweep"})

    async def scenario() -> list[str]:
        async with opened(home, settings) as (inbox, watch):
            assert watch._reader is None
            assert "daemon.watch" in watch.error
            assert inbox.unwatched
            move_in(home, "a.json")
            return await taken(inbox, 1, 5)

    assert asyncio.run(scenario()) == ["a.json"]


def test_a_file_system_without_events_is_listed_however_long_the_interval_is(home: Home) -> None:
    """What comes from another machine shows in the folder and nowhere else."""

    async def scenario() -> list[str]:
        watch = FolderWatch(
            file_system=lambda folder: FileSystem("nfs4", events=folder.name not in ("low", "inbox"))
        )
        async with opened(home, NO_SWEEPS, watch) as (inbox, _):
            assert "nfs4" in inbox.unwatched
            assert watch.error_of(home.inbox / "high") == ""
            assert "nfs4" in watch.error_of(home.inbox / "low")
            move_in(home, "a.json", "low")
            return await taken(inbox, 1, 5)

    assert asyncio.run(scenario()) == ["a.json"]


def test_one_folder_that_cannot_be_watched_is_not_hidden_by_the_others(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of watches is reached after the first folder; later there is room again."""
    from watchdog.observers import inotify_c

    real, full = inotify_c.InotifyFD.add_callback, True

    def add(self: object, path: bytes, *rest: object) -> object:
        if full and path.endswith(b"low"):
            raise OSError(28, "inotify watch limit reached")
        return real(self, path, *rest)

    monkeypatch.setattr(inotify_c.InotifyFD, "add_callback", add)

    async def scenario() -> None:
        nonlocal full
        async with opened(home, NO_SWEEPS) as (inbox, watch):
            assert "limit" in inbox.unwatched
            assert watch.error_of(home.inbox / "critical") == ""
            move_in(home, "a.json", "low")
            assert await taken(inbox, 1, 5) == ["a.json"]
            full = False
            async with asyncio.timeout(5):
                while inbox.unwatched:
                    await asyncio.sleep(0.02)
            assert watch.error == ""

    asyncio.run(scenario())


def test_a_reader_that_dies_is_replaced(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_RESTART_S", 0.0)

    async def scenario() -> list[str]:
        async with opened(home, QUICK) as (inbox, watch):
            reader = watch._reader
            assert reader is not None
            reader.stop()
            await asyncio.to_thread(reader.join, 5)
            async with asyncio.timeout(5):
                while watch._reader is reader or inbox.unwatched:
                    await asyncio.sleep(0.02)
            move_in(home, "a.json")
            return await taken(inbox, 1, 5)

    assert asyncio.run(scenario()) == ["a.json"]


DROPPER = """
import os, sys
folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + count):
    priority = ("critical", "high", "normal", "low")[number % 4]
    path = f"{folder}/{priority}/{number}.json"
    with open(path, "w") as file:
        file.write('{"user_request": "x"}')
"""


def several(home: Home, writers: int, each: int) -> Callable[[], None]:
    """Processes that drop files at the same time, written in place."""

    def work() -> None:
        arguments = [sys.executable, "-c", DROPPER, str(home.inbox)]
        running = [subprocess.Popen([*arguments, str(number * each), str(each)]) for number in range(writers)]
        assert [process.wait(60) for process in running] == [0] * writers

    return work


def test_writers_at_the_same_time_and_an_overflowing_queue_lose_nothing(home: Home) -> None:
    """Twelve thousand files while the reader is held up: the kernel's own queue overflows."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip("this machine's queue is too long to overflow in a test")
    count = limit // 2 + 1000  # each is created and closed

    async def scenario() -> list[str]:
        async with opened(home, NO_SWEEPS) as (inbox, watch):
            reader = watch._reader
            assert reader is not None
            with reader._lock:  # its thread waits here before it reads
                await asyncio.to_thread(several(home, 2, count // 2))
            names = await taken(inbox, count // 2 * 2, 60)
            await nothing_more(inbox)
            return names

    names = asyncio.run(scenario())
    assert len(names) == len(set(names)) == count // 2 * 2
    assert not [path for path in home.inbox.rglob("*") if path.is_file()]


def test_urgent_files_dropped_behind_many_are_taken_next(home: Home) -> None:
    original = home.root / "original"
    original.write_bytes(GOOD)

    async def scenario() -> list[str]:
        async with opened(home, NO_SWEEPS) as (inbox, _):
            for number in range(5000):
                os.link(original, home.inbox / "low" / f"{number}.json")
            await taken(inbox, 1)
            move_in(home, "urgent.json", "critical")
            async with asyncio.timeout(10):
                while not inbox.depths()["critical"]:
                    await asyncio.sleep(0.001)
            return [(await inbox.next_ready()).path.name]

    assert asyncio.run(scenario()) == ["urgent.json"]
