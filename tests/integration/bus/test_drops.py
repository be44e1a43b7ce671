"""Files dropped into real folders, with real events: each ends accepted or as a dead letter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarmd import client
from swarmd.bus import deadletter
from swarmd.bus.control import Control, Received
from swarmd.bus.inbox import Inbox, request_places
from swarmd.bus.intake import accept
from swarmd.bus.watching import FolderWatch
from swarmd.clock import SystemClock, rfc3339
from swarmd.config import DaemonSettings
from swarmd.errors import RequestError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, DeadLetter

SETTINGS = DaemonSettings(settle_s=0.2, half_written_s=3.0, sweep_interval_s=0.3)
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
    home: Home, settings: DaemonSettings = SETTINGS, watched: bool = True
) -> AsyncIterator[tuple[Inbox, FolderWatch]]:
    watch = FolderWatch()
    if watched:
        watch.start()
        assert watch.error == ""
    inbox = Inbox(request_places(home), settings, SystemClock(), watch)
    await inbox.start()
    try:
        yield inbox, watch
    finally:
        await inbox.stop()
        watch.stop()


class Intake:
    """What the master does with candidates, without its log."""

    def __init__(self, home: Home, inbox: Inbox) -> None:
        self.accepted: dict[str, AcceptedRequest] = {}
        self.buried: dict[str, DeadLetter] = {}
        self.repeats = 0
        self._home = home
        self._inbox = inbox

    def _known(self, request_id: str) -> str | None:
        request = self.accepted.get(request_id)
        return request.content_sha256 if request else None

    async def one(self) -> None:
        candidate = await self._inbox.next_ready()
        now = SystemClock().now()
        try:
            if candidate.refusal:
                raise candidate.refusal
            taken = accept(
                candidate.data,
                name=candidate.path.name,
                priority=candidate.priority,
                received_at=rfc3339(now),
                known=self._known,
                source_id=candidate.source_id,
            )
        except RequestError as error:
            letter = deadletter.bury(self._home, candidate.path, error, now)
            self.buried[letter.name] = letter
            self._inbox.refused(candidate)
            return
        if isinstance(taken, AcceptedRequest):
            self.accepted[taken.request_id] = taken
        else:
            self.repeats += 1
        self._inbox.done(candidate)

    async def until(self, count: int, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.accepted) + len(self.buried) + self.repeats < count:
                await self.one()


def move_in(home: Home, name: str, data: bytes = GOOD, folder: str = "normal") -> None:
    outside = home.root / f"outside-{name[:20]}"
    outside.write_bytes(data)
    outside.rename(home.inbox / folder / name)


def test_twelve_malformed_drops_and_a_good_one_among_them(home: Home) -> None:
    high = home.inbox / "high"
    secret = home.root / "secret"
    secret.write_bytes(GOOD)
    odd_name = "new\nline ünï\u202e日本.json"

    async def scenario() -> Intake:
        async with opened(home) as (inbox, _):
            intake = Intake(home, inbox)
            (high / "empty.json").touch()
            (high / "half.json").write_bytes(GOOD[:9])
            (high / "binary.json").write_bytes(b"\x89PNG" + os.urandom(3000))
            with (high / "huge.json").open("wb") as file:
                file.write(b"[" + b"0," * (25 * 2**20))
            (high / "types.json").write_bytes(b'{"user_request": ["x"], "files": 3}')
            (high / "unknown.json").write_bytes(b'{"user_request": "x", "kindd": "docs"}')
            move_in(home, "first.json", b'{"user_request": "x", "request_id": "twin"}', "critical")
            move_in(home, "second.json", b'{"user_request": "y", "request_id": "twin"}', "high")
            (high / "outside.json").write_bytes(b'{"user_request": "x", "files": ["../../etc/passwd"]}')
            (high / "folder.json").mkdir()
            (high / "folder.json/inner.json").write_bytes(GOOD)
            (high / "link.json").symlink_to(secret)
            (high / odd_name).write_bytes(b"{}")
            move_in(home, "good.json", folder="low")

            def complete() -> None:
                with (high / "half.json").open("ab") as file:
                    file.write(GOOD[9:])

            asyncio.get_running_loop().call_later(2.0, complete)
            await intake.until(13)
            return intake

    intake = asyncio.run(scenario())
    assert set(intake.accepted) == {"good", "half", "twin"}
    assert {
        letter.original_name: letter.code.removeprefix("E-REQUEST-") for letter in intake.buried.values()
    } == {
        "empty.json": "EMPTY",
        "binary.json": "NOT-UTF8",
        "huge.json": "TOO-LARGE",
        "types.json": "TYPE",
        "unknown.json": "FIELD",
        "second.json": "DUPLICATE",
        "outside.json": "PATH",
        "folder.json": "NOT-A-FILE",
        "link.json": "NOT-A-FILE",
        "new?line ünï?日本.json": "MISSING",
        # without permission: see below, root may read everything
    }
    for letter in intake.buried.values():
        assert letter.message
        assert letter.hint
        assert os.path.lexists(home.deadletter / letter.name)
    assert sorted(letter.name for letter in deadletter.listing(home)) == sorted(intake.buried)
    assert list(high.iterdir()) == []
    assert (home.deadletter / "folder.json/inner.json").read_bytes() == GOOD
    assert (home.deadletter / "link.json").is_symlink()
    assert secret.read_bytes() == GOOD


UNPRIVILEGED = """
import asyncio, os, sys
from pathlib import Path
home_path, uid = Path(sys.argv[1]), 65534
sys.path[:0] = [sys.argv[2]]
import watchdog.observers.inotify_c  # now: the interpreter may lie where the other user cannot read
from test_drops import Intake, opened
from swarmd.home import Home
if os.getuid() == 0:
    for folder, _, _ in os.walk(home_path):
        os.chown(folder, uid, uid)
    os.setgroups([]); os.setgid(uid); os.setuid(uid)

async def scenario():
    async with opened(Home(home_path)) as (inbox, _):
        intake = Intake(Home(home_path), inbox)
        await intake.until(4)
        for letter in sorted(intake.buried.values(), key=lambda letter: letter.name):
            print(letter.code, letter.original_name, "could not be moved" in letter.hint)
        print(sorted(intake.accepted))

asyncio.run(scenario())
"""


def test_no_permission(tmp_path: Path) -> None:
    """A child without root's rights: an unreadable file, and a folder of somebody else's."""
    base = Path("/tmp") if os.getuid() == 0 else tmp_path  # pytest's own folder is closed to others
    folder = base / f"swarmd-permission-{os.getpid()}"
    home = Home(folder)
    try:
        for part in home.folders():
            part.mkdir(parents=True, exist_ok=True)
        (home.inbox / "high/unreadable.json").write_bytes(GOOD)
        (home.inbox / "high/unreadable.json").chmod(0)
        (home.inbox / "high/closed.json").mkdir(mode=0o500)
        (home.inbox / "high/good.json").write_bytes(GOOD)
        (home.inbox / "high/good.json").chmod(0o644)
        (home.inbox / "high/broken.json").write_bytes(b"not json")
        (home.inbox / "high/broken.json").chmod(0o644)
        tests = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(folder), tests],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert "E-REQUEST-PERMISSION unreadable.json False" in lines
        assert "E-REQUEST-NOT-JSON broken.json False" in lines
        assert any(line.startswith("E-REQUEST-NOT-A-FILE closed.json") for line in lines)
        assert lines[-1] == "['good']"
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", ["moved in", "written in place", "hard link"])
def test_two_thousand_files_at_once_are_all_taken_once(home: Home, how: str) -> None:
    def storm() -> None:
        for number in range(2000):
            folder = ("critical", "high", "normal", "low")[number % 4]
            data = b'{"user_request": "x", "request_id": "r%d"}' % number
            target = home.inbox / folder / f"{number}.json"
            if how == "moved in":
                move_in(home, f"{number}.json", data, folder)
            elif how == "hard link":
                (home.root / f"{number}").write_bytes(data)
                target.hardlink_to(home.root / f"{number}")
            else:
                with target.open("wb", buffering=0) as file:
                    file.write(data[:7])
                    file.write(data[7:])

    async def scenario() -> Intake:
        async with opened(home) as (inbox, _):
            intake = Intake(home, inbox)
            writing = asyncio.create_task(asyncio.to_thread(storm))
            await intake.until(2000, 60)
            await writing
            with pytest.raises(TimeoutError):
                await intake.until(2001, 0.6)  # two sweeps more
            return intake

    intake = asyncio.run(scenario())
    assert (len(intake.accepted), intake.buried, intake.repeats) == (2000, {}, 0)
    assert not [path for path in home.inbox.rglob("*") if path.is_file()]


def test_without_any_events_the_sweep_finds_everything(home: Home) -> None:
    async def scenario() -> Intake:
        async with opened(home, watched=False) as (inbox, watch):
            assert watch.error
            intake = Intake(home, inbox)
            for number in range(50):
                move_in(home, f"{number}.json")
            (home.inbox / "direct.json").write_bytes(GOOD)
            await intake.until(51)
            return intake

    assert len(asyncio.run(scenario()).accepted) == 51


def test_lost_events_cause_a_sweep(home: Home) -> None:
    """The kernel's queue overflows while the reader is held; nothing but the overflow's mark tells."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip("this machine's queue is too long to overflow in a test")

    async def scenario() -> Intake:
        async with opened(home, NO_SWEEPS) as (inbox, watch):
            intake = Intake(home, inbox)
            reader = watch._reader
            assert reader is not None
            with reader._lock:  # its thread waits here before it reads
                here, there = (home.inbox / "normal" / name for name in ("a.tmp", "b.tmp"))
                here.touch()
                for _ in range(limit // 2 + 200):
                    here.rename(there)
                    there.rename(here)
                move_in(home, "late.json")
            await intake.until(1)
            return intake

    assert set(asyncio.run(scenario()).accepted) == {"late"}


@pytest.mark.parametrize("how", ["deleted", "moved away", "replaced"])
def test_a_folder_that_goes_away_comes_back_and_is_watched_again(home: Home, how: str) -> None:
    async def scenario() -> Intake:
        async with opened(home, NO_SWEEPS) as (inbox, _):
            intake = Intake(home, inbox)
            high = home.inbox / "high"
            if how == "deleted":
                high.rmdir()
            elif how == "moved away":
                high.rename(home.root / "old")
            else:
                (home.root / "new").mkdir()
                (home.root / "new/kept.json").write_bytes(GOOD)
                high.rename(home.root / "old")
                (home.root / "new").rename(high)
            async with asyncio.timeout(5):
                while not high.is_dir():
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            move_in(home, "after.json", folder="high")
            await intake.until(2 if how == "replaced" else 1)
            return intake

    expected = {"after", "kept"} if how == "replaced" else {"after"}
    assert set(asyncio.run(scenario()).accepted) == expected


def test_where_the_limit_of_watches_is_reached_files_are_polled(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> Intake:
        from watchdog.observers import inotify_c

        def refuse(_: object) -> int:
            raise OSError(24, "inotify instance limit reached")

        monkeypatch.setattr(inotify_c.InotifyFD, "_create_inotify_fd", classmethod(refuse))
        watch = FolderWatch()
        watch.start()
        assert "limit" in watch.error
        inbox = Inbox(request_places(home), NO_SWEEPS, SystemClock(), watch)
        await inbox.start()
        intake = Intake(home, inbox)
        move_in(home, "a.json")
        await intake.until(1, 5)
        await inbox.stop()
        watch.stop()
        return intake

    assert len(asyncio.run(scenario()).accepted) == 1


def test_from_drop_to_candidate_takes_milliseconds(home: Home) -> None:
    """Also while files are moved out: the usual pairing of moves would hold everything back 0.5 s."""

    async def scenario() -> list[float]:
        async with opened(home, NO_SWEEPS) as (inbox, _):
            taken = []
            for number in range(60):
                outside = home.root / "outside"
                outside.write_bytes(GOOD)
                await asyncio.sleep(0.005)
                start = time.perf_counter()
                outside.rename(home.inbox / "high" / f"{number}.json")
                async with asyncio.timeout(5):
                    candidate = await inbox.next_ready()
                taken.append(time.perf_counter() - start)
                candidate.path.rename(home.root / "claimed")
                inbox.refused(candidate)
            return taken

    taken = asyncio.run(scenario())
    print(f"drop to candidate: median {statistics.median(taken) * 1e3:.2f} ms, max {max(taken) * 1e3:.2f} ms")
    assert statistics.median(taken) < 0.05


def test_a_claim_costs_the_same_with_ten_and_with_ten_thousand_waiting(home: Home) -> None:
    def cost(waiting: int) -> float:
        original = home.root / "original"
        original.write_bytes(GOOD)
        for number in range(waiting):  # links are cheaper to make than files
            (home.inbox / "low" / f"{waiting}-{number}.json").hardlink_to(original)
        inbox = Inbox(request_places(home), SETTINGS, SystemClock())
        inbox.sweep()
        times = []
        for _ in range(50):
            start = time.perf_counter()
            candidate = inbox.take()
            times.append(time.perf_counter() - start)
            assert candidate is not None
            inbox.done(candidate)
        return statistics.median(times)

    few, many = cost(60), cost(10_000)
    print(f"claim: {few * 1e6:.0f} us with 60 waiting, {many * 1e6:.0f} us with 10,000")
    assert many < 5 * few + 0.0005


def test_what_the_client_submits_is_taken_once_and_its_refusal_is_told(home: Home) -> None:
    async def scenario() -> Intake:
        async with opened(home) as (inbox, _):
            intake = Intake(home, inbox)
            for text in ("one", "one", "two"):
                client.submit(home, {"user_request": text, "request_id": "fix"}, "high")
            client.submit(home, {"user_request": "three", "files": ["../x"], "request_id": "bad"})
            await intake.until(4)
            return intake

    intake = asyncio.run(scenario())
    assert [request.user_request for request in intake.accepted.values()] == ["one"]
    assert (intake.repeats, [letter.code for letter in intake.buried.values()]) == (
        1,
        ["E-REQUEST-DUPLICATE", "E-REQUEST-PATH"],
    )
    with pytest.raises(RequestError, match="leads out of the project"):
        client.wait(home, "bad", timeout=5)


def test_commands_come_through_the_same_watch(home: Home) -> None:
    async def scenario() -> list[Received | DeadLetter]:
        watch = FolderWatch()
        watch.start()
        control = Control(home, NO_SWEEPS, SystemClock(), watch)
        await control.start()
        (home.control / "a.json").write_text('{"command": "pause"}')
        async with asyncio.timeout(5):
            got: list[Received | DeadLetter] = [await control.next_command()]
            (home.control / "b.json").write_text('{"command": "explode"}')
            got.append(await control.next_command())
        await control.stop()
        watch.stop()
        return got

    good, bad = asyncio.run(scenario())
    assert isinstance(good, Received)
    assert good.command.command == "pause"
    assert isinstance(bad, DeadLetter)


def _descriptors_and_threads() -> tuple[int, int]:
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))


def test_the_watch_leaves_no_thread_and_no_descriptor(home: Home) -> None:
    async def scenario() -> None:
        for _ in range(5):
            async with opened(home) as (inbox, _):
                move_in(home, "a.json")
                inbox.done(await inbox.next_ready())

    asyncio.run(scenario())
    before = _descriptors_and_threads()
    asyncio.run(scenario())
    deadline = time.monotonic() + 5  # a thread that has ended is listed a moment longer
    while (after := _descriptors_and_threads()) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert after == before
