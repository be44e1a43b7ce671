"""The inbox as a queue: order, patience with half-written files, and what becomes of odd ones."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmd.bus import inbox as inbox_module
from swarmd.bus import sweep
from swarmd.bus.inbox import Candidate, Inbox, request_places
from swarmd.config import DaemonSettings
from swarmd.home import Home
from swarmd.messages import Priority
from swarmd.testing import FakeClock

GOOD = b'{"user_request": "x"}'
SETTLE, HALF = 0.5, 10.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def inbox(home: Home, clock: FakeClock) -> Inbox:
    made = Inbox(request_places(home), DaemonSettings(settle_s=SETTLE, half_written_s=HALF), clock)
    made.sweep()
    return made


def drop(home: Home, name: str, data: bytes = GOOD, at: int | None = None) -> Path:
    path = home.inbox / name
    path.write_bytes(data)
    if at is not None:
        os.utime(path, ns=(at, at))
    return path


def taken(inbox: Inbox) -> Iterator[Candidate]:
    while (candidate := inbox.take()) is not None:
        yield candidate


def names(inbox: Inbox) -> list[str]:
    return [candidate.path.name for candidate in taken(inbox)]


def wait_for(inbox: Inbox, clock: FakeClock, at_most: float) -> tuple[Candidate, float]:
    """Take the next candidate, letting time pass; also how long that was."""
    waited = 0.0
    while waited <= at_most:
        if candidate := inbox.take():
            return candidate, waited
        clock.advance(0.05)
        waited += 0.05
    raise AssertionError(f"nothing was ready after {at_most} seconds")


def test_priority_comes_first_then_arrival_then_name(home: Home, inbox: Inbox) -> None:
    drop(home, "low/a", at=1)
    drop(home, "normal/b", at=5)
    drop(home, "loose", at=4)
    drop(home, "critical/d", at=9)
    drop(home, "critical/c", at=9)
    drop(home, "high/e", at=8)
    drop(home, "high/f", at=7)
    inbox.sweep()
    candidates = list(taken(inbox))
    assert [candidate.path.name for candidate in candidates] == ["c", "d", "f", "e", "loose", "b", "a"]
    assert [c.priority for c in candidates] == ["critical"] * 2 + ["high"] * 2 + ["normal"] * 2 + ["low"]


def test_an_urgent_file_overtakes_those_that_wait_already(home: Home, inbox: Inbox) -> None:
    drop(home, "low/a", at=1)
    drop(home, "low/b", at=2)
    inbox.sweep()
    assert next(taken(inbox)).path.name == "a"
    drop(home, "critical/z", at=3)
    inbox.hint(0, "z")
    assert names(inbox) == ["z", "b"]


def test_a_file_is_offered_once_however_often_it_is_seen(home: Home, inbox: Inbox) -> None:
    drop(home, "high/a")
    for _ in range(3):
        inbox.hint(1, "a")
        inbox.sweep()
    candidate = next(taken(inbox))
    inbox.hint(1, "a")
    inbox.sweep()
    assert inbox.take() is None
    inbox.done(candidate)
    assert not candidate.path.exists()
    inbox.hint(1, "a")
    inbox.sweep()
    assert inbox.take() is None


@pytest.mark.parametrize("name", [".hidden", "a.tmp", "a.json.part", "a~", ".a.json.x.tmp"])
def test_names_that_say_not_yet_are_passed_over(
    home: Home, inbox: Inbox, clock: FakeClock, name: str
) -> None:
    path = drop(home, f"high/{name}")
    inbox.sweep()
    inbox.hint(1, name)
    clock.advance(100)
    assert inbox.take() is None
    path.rename(home.inbox / "high/a.json")
    inbox.sweep()
    assert names(inbox) == ["a.json"]


def test_the_priority_folders_are_no_drops(home: Home, inbox: Inbox, clock: FakeClock) -> None:
    for name in ("critical", "high", "normal", "low"):
        inbox.hint(4, name)
    clock.advance(100)
    assert inbox.take() is None


def test_a_half_written_file_is_waited_for_and_taken_when_it_is_whole(
    home: Home, inbox: Inbox, clock: FakeClock
) -> None:
    path = drop(home, "high/a", b"")
    inbox.sweep()
    for length in range(1, len(GOOD)):
        assert inbox.take() is None
        clock.advance(HALF - 0.1)
        path.write_bytes(GOOD[:length])
        inbox.hint(1, "a")
    path.write_bytes(GOOD)
    inbox.hint(1, "a")
    assert next(taken(inbox)).data == GOOD


def test_a_half_written_file_is_found_whole_without_any_event(
    home: Home, inbox: Inbox, clock: FakeClock
) -> None:
    path = drop(home, "high/a", GOOD[:5])
    inbox.sweep()
    assert inbox.take() is None
    clock.advance(1)
    assert inbox.take() is None
    path.write_bytes(GOOD)
    candidate, waited = wait_for(inbox, clock, HALF)
    assert (candidate.data, candidate.refusal) == (GOOD, None)
    assert waited < HALF


@pytest.mark.parametrize(
    ("data", "patience"),
    [(b"", HALF), (GOOD[:-1], HALF), (b"hello", SETTLE), (b"\xff\x00\xfe", SETTLE), (b"[1, 2]", SETTLE)],
)
def test_what_stays_broken_is_offered_when_its_time_is_over(
    home: Home, inbox: Inbox, clock: FakeClock, data: bytes, patience: float
) -> None:
    drop(home, "high/a", data)
    inbox.sweep()
    candidate, waited = wait_for(inbox, clock, patience + 0.1)
    assert waited == pytest.approx(patience, abs=0.1)
    assert (candidate.data, candidate.refusal) == (data, None)
    assert inbox.take() is None


def test_a_waiting_file_keeps_nobody_else_waiting(home: Home, inbox: Inbox, clock: FakeClock) -> None:
    drop(home, "critical/half", b"{", at=1)
    drop(home, "low/good", at=2)
    inbox.sweep()
    assert names(inbox) == ["good"]
    assert wait_for(inbox, clock, HALF + 0.1)[0].path.name == "half"


def test_many_hints_for_a_waiting_file_offer_it_once(home: Home, inbox: Inbox, clock: FakeClock) -> None:
    path = drop(home, "high/a", b"{")
    inbox.sweep()
    assert inbox.take() is None
    path.write_bytes(GOOD)
    for _ in range(5):
        inbox.hint(1, "a")
    clock.advance(1)
    for _ in range(5):
        inbox.hint(1, "a")
    assert names(inbox) == ["a"]


def test_waiting_files_are_looked_at_ever_less_often(
    home: Home, inbox: Inbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = inbox_module.look
    monkeypatch.setattr(inbox_module, "look", lambda *args: looks.append(1) or real(*args))
    drop(home, "high/a", b"{")
    inbox.sweep()
    wait_for(inbox, clock, HALF + 0.1)
    assert len(looks) < 12


def test_a_wall_clock_that_jumps_changes_no_waiting(home: Home, inbox: Inbox, clock: FakeClock) -> None:
    drop(home, "high/a", b"{", at=4_000_000_000 * 10**9)
    inbox.sweep()
    assert inbox.take() is None
    clock.jump(3600)
    assert inbox.take() is None
    clock.jump(-7200)
    assert wait_for(inbox, clock, HALF + 0.1)[1] > HALF - 0.2


def test_odd_things_are_refused_without_being_followed_or_waited_for(
    home: Home, inbox: Inbox, clock: FakeClock
) -> None:
    secret = home.root / "secret"
    secret.write_bytes(GOOD)
    (home.inbox / "high/link").symlink_to(secret)
    (home.inbox / "high/dangling").symlink_to("nowhere")
    (home.inbox / "high/folder").mkdir()
    os.mkfifo(home.inbox / "high/pipe")
    inbox.sweep()
    clock.advance(SETTLE)
    assert inbox.take() is None
    clock.advance(SETTLE)
    found = {candidate.path.name: candidate for candidate in taken(inbox)}
    assert {name: c.refusal.message if c.refusal else "" for name, c in found.items()} == {
        "link": "it is a symbolic link, not a file",
        "dangling": "it is a symbolic link, not a file",
        "folder": "it is a folder, not a file",
        "pipe": "it is a named pipe, not a file",
    }
    assert {c.refusal.code for c in found.values() if c.refusal} == {"E-REQUEST-NOT-A-FILE"}
    assert not any(candidate.data for candidate in found.values())


def test_a_huge_file_is_refused_and_not_read(home: Home, inbox: Inbox, clock: FakeClock) -> None:
    with (home.inbox / "high/huge").open("wb") as file:
        file.truncate(50 * 2**30)
    inbox.sweep()
    candidate, _ = wait_for(inbox, clock, SETTLE + 0.1)
    assert candidate.refusal is not None
    assert (candidate.refusal.code, candidate.data) == ("E-REQUEST-TOO-LARGE", b"")


def fail_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("swarmd.bus.drop.os.open", refuse)


def test_a_file_without_permission_gets_its_time_and_is_then_refused(
    home: Home, inbox: Inbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(home, "high/a")
    inbox.sweep()
    with monkeypatch.context() as patch:
        fail_open(patch, errno.EACCES)
        candidate, waited = wait_for(inbox, clock, SETTLE + 0.1)
    assert waited >= SETTLE - 0.01
    assert candidate.refusal is not None
    assert candidate.refusal.code == "E-REQUEST-PERMISSION"


def test_a_shortage_of_descriptors_is_no_fault_of_the_file(
    home: Home, inbox: Inbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(home, "high/a")
    inbox.sweep()
    with monkeypatch.context() as patch:
        fail_open(patch, errno.EMFILE)
        for _ in range(100):
            assert inbox.take() is None
            clock.advance(1)
    candidate, _ = wait_for(inbox, clock, 100)
    assert candidate.refusal is None


def test_files_that_vanish_at_any_point_leave_no_trace(home: Home, inbox: Inbox, clock: FakeClock) -> None:
    drop(home, "high/queued").touch()
    drop(home, "high/waiting", b"{")
    drop(home, "high/claimed")
    inbox.sweep()
    (home.inbox / "high/queued").unlink()
    claimed = list(taken(inbox))
    assert [candidate.path.name for candidate in claimed] == ["claimed"]
    (home.inbox / "high/waiting").unlink()
    claimed[0].path.unlink()
    clock.advance(100)
    assert inbox.take() is None
    inbox.done(claimed[0])
    for name in ("queued", "waiting", "claimed"):
        drop(home, f"high/{name}")
    inbox.sweep()
    assert sorted(names(inbox)) == ["claimed", "queued", "waiting"]


def test_a_file_that_took_the_place_of_a_claimed_one_is_not_lost(home: Home, inbox: Inbox) -> None:
    path = drop(home, "high/a")
    inbox.sweep()
    first = next(taken(inbox))
    other = drop(home, ".other", b'{"user_request": "the second"}')
    other.rename(path)
    inbox.done(first)
    second = next(taken(inbox))
    assert second.data == b'{"user_request": "the second"}'
    inbox.done(second)
    assert not path.exists()


def test_a_line_break_behind_the_closing_brace_makes_no_second_request(home: Home, inbox: Inbox) -> None:
    path = drop(home, "high/a")
    inbox.sweep()
    candidate = next(taken(inbox))
    with path.open("ab") as file:
        file.write(b"\n")
    inbox.done(candidate)
    assert not path.exists()
    assert inbox.take() is None


def test_other_content_written_into_a_claimed_file_is_not_lost(home: Home, inbox: Inbox) -> None:
    path = drop(home, "high/a")
    inbox.sweep()
    candidate = next(taken(inbox))
    path.write_bytes(b'{"user_request": "rewritten"}')
    inbox.done(candidate)
    assert [again.data for again in taken(inbox)] == [b'{"user_request": "rewritten"}']


def test_a_file_that_grows_while_it_is_read_is_read_again(
    home: Home, inbox: Inbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its stamp would be older than its bytes, and it would not be removed when it is done."""
    path = drop(home, "high/a", GOOD[:7])
    inbox.sweep()
    real = os.read

    def grow_and_read(fd: int, count: int) -> bytes:
        path.write_bytes(GOOD)
        return real(fd, count)

    with monkeypatch.context() as patch:
        patch.setattr("swarmd.bus.drop.os.read", grow_and_read)
        assert inbox.take() is None
    candidate, waited = wait_for(inbox, clock, 1)
    assert (candidate.data, candidate.stamp.size) == (GOOD, len(GOOD))
    assert waited < 0.2


def test_a_change_of_rights_during_a_claim_is_no_new_file(home: Home, inbox: Inbox) -> None:
    path = drop(home, "high/a")
    inbox.sweep()
    candidate = next(taken(inbox))
    path.chmod(0o600)
    inbox.done(candidate)
    assert not path.exists()
    assert inbox.take() is None


def test_a_refused_file_that_cannot_be_moved_is_passed_over_until_it_changes(
    home: Home, inbox: Inbox, clock: FakeClock
) -> None:
    path = drop(home, "high/a", b"broken")
    inbox.sweep()
    candidate, _ = wait_for(inbox, clock, SETTLE + 0.1)
    inbox.refused(candidate)
    for _ in range(3):
        inbox.sweep()
        inbox.hint(1, "a")
        clock.advance(100)
        assert inbox.take() is None
    path.write_bytes(GOOD + b" ")
    inbox.sweep()
    assert names(inbox) == ["a"]


def test_a_claim_that_is_put_back_is_offered_again(home: Home, inbox: Inbox) -> None:
    drop(home, "high/a")
    inbox.sweep()
    inbox.put_back(next(taken(inbox)))
    candidate = next(taken(inbox))
    assert candidate.path.name == "a"
    assert inbox.take() is None


def test_folders_that_went_away_are_made_again_and_read(home: Home, inbox: Inbox) -> None:
    for priority in ("critical", "high", "normal", "low"):
        (home.inbox / priority).rmdir()
    home.inbox.rmdir()
    inbox.sweep()
    assert stat.S_IMODE((home.inbox / "low").stat().st_mode) == 0o700
    drop(home, "low/a")
    inbox.sweep()
    assert (names(inbox), inbox.trouble) == (["a"], "")


def test_a_place_that_is_no_folder_is_reported_and_the_others_are_read(home: Home, inbox: Inbox) -> None:
    (home.inbox / "high").rmdir()
    (home.inbox / "high").write_text("in the way")
    drop(home, "low/a")
    inbox.sweep()
    assert "high" in inbox.trouble
    assert names(inbox) == ["a"]


@pytest.mark.parametrize(
    "name",
    [b"new\nline", "ünï\u202ecode 日本".encode(), b"\xff\xfe", b"x" * 255, b"-rf", b"a b;$(c)", b"\x1b[2J"],
)
def test_any_name_that_a_folder_can_hold_is_served(home: Home, inbox: Inbox, name: bytes) -> None:
    path = home.inbox / "high" / os.fsdecode(name)
    path.write_bytes(GOOD)
    inbox.sweep()
    candidate = next(taken(inbox))
    assert (candidate.data, os.fsencode(candidate.path.name)) == (GOOD, name)
    inbox.done(candidate)
    assert not path.exists()


def test_a_claim_reads_no_folder(home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        drop(home, f"normal/{number}")
    inbox.sweep()

    def refuse(*_: object) -> None:
        raise AssertionError("the folder was listed")

    monkeypatch.setattr(inbox_module.os, "scandir", refuse)
    monkeypatch.setattr(inbox_module.os, "listdir", refuse)
    assert inbox.depths()["normal"] == 300
    for candidate in taken(inbox):
        inbox.done(candidate)
    assert inbox.depths()["normal"] == 0


def test_the_same_file_keeps_its_source_id_and_another_has_its_own(home: Home, inbox: Inbox) -> None:
    drop(home, "high/a")
    drop(home, "high/b")
    inbox.sweep()
    first, second = taken(inbox)
    inbox.put_back(first)
    assert next(taken(inbox)).source_id == first.source_id != second.source_id


def test_files_of_one_tick_go_in_the_order_of_their_events(home: Home, inbox: Inbox) -> None:
    for name in "dbac":
        drop(home, f"high/{name}", at=7)
        inbox.hint(1, name)
    drop(home, "high/0", at=6)
    inbox.hint(1, "0")
    drop(home, "high/later", at=1000)
    inbox.hint(1, "later")
    assert names(inbox) == ["0", "d", "b", "a", "c", "later"]


# --- many at once


def run(inbox: Inbox, limit: int) -> list[Candidate]:
    return asyncio.run(inbox.next_batch(limit))


def test_a_batch_holds_all_that_is_ready_in_order_and_no_more(home: Home, inbox: Inbox) -> None:
    for number in range(10):
        drop(home, f"low/{number}", at=number)
    drop(home, "critical/half", b"{")
    drop(home, "critical/z", at=99)
    inbox.sweep()
    assert [candidate.path.name for candidate in run(inbox, 4)] == ["z", "0", "1", "2"]
    assert [candidate.path.name for candidate in run(inbox, 64)] == list("3456789")
    assert not any(inbox.depths().values())


def test_the_end_of_a_claim_costs_one_look_and_one_unlink(
    home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(home, "high/a")
    inbox.sweep()
    candidate = next(taken(inbox))
    calls: list[str] = []
    for name in ("lstat", "stat", "open", "unlink", "scandir", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, real=real, name=name, **k: calls.append(name) or real(*a, **k)
        )
    inbox.done(candidate)
    assert calls == ["lstat", "unlink"]
    assert not candidate.path.exists()


def test_a_file_that_cannot_be_removed_is_not_taken_again(
    home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(home, "high/a")
    inbox.sweep()

    def refuse(_: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        inbox.done(next(taken(inbox)))
    inbox.sweep()
    assert inbox.take() is None
    path.write_bytes(b'{"user_request": "other"}')
    inbox.sweep()
    assert [again.data for again in taken(inbox)] == [b'{"user_request": "other"}']


def test_a_file_from_the_future_cannot_wait_for_ever(home: Home, inbox: Inbox) -> None:
    now = time.time_ns()
    drop(home, "high/future", at=now + 10**9 * 86_400 * 365)
    drop(home, "high/soon", at=now + 10**9 * 30)
    drop(home, "high/later", at=now + 10**9 * 3600)
    inbox.sweep()
    candidates = list(taken(inbox))
    assert candidates[0].path.name == "soon"
    assert max(c.arrival for c in candidates) < time.time_ns() + 10**9 * 61


def test_a_long_first_listing_offers_the_oldest_of_what_it_has_found(
    home: Home, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest priority is listed first; what is offered is in order among all that was listed."""
    Inbox(request_places(home), DaemonSettings(), clock).sweep()
    for number in range(40):
        drop(home, f"low/{number:02}", at=number)
        drop(home, f"critical/{number:02}", at=number)
        drop(home, f"loose-{number:02}", at=number)
    monkeypatch.setattr(sweep, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(sweep, "_SLICE_S", 0.0)  # the loop turns after every name

    async def scenario() -> tuple[dict[Priority, int], list[Candidate]]:
        inbox = Inbox(request_places(home), DaemonSettings(), clock)
        await inbox.start()
        at_first = inbox.depths()
        got = []
        while len(got) < 120:
            got += await inbox.next_batch(1)
        await inbox.stop()
        return at_first, got

    at_first, got = asyncio.run(scenario())
    assert at_first["critical"] < 40
    assert at_first["low"] == 0
    assert len({candidate.path for candidate in got}) == 120
    expected = ["critical"] * 40 + ["normal"] * 40 + ["low"] * 40
    assert [candidate.priority for candidate in got] == expected


def test_a_short_first_listing_is_complete_before_the_first_offer(home: Home, clock: FakeClock) -> None:
    Inbox(request_places(home), DaemonSettings(), clock).sweep()
    for number in range(300):
        drop(home, f"normal/{number:03}", at=1000 - number)

    async def scenario() -> list[Candidate]:
        inbox = Inbox(request_places(home), DaemonSettings(), clock)
        await inbox.start()
        got = await inbox.next_batch(500)
        await inbox.stop()
        return got

    got = asyncio.run(scenario())
    assert [candidate.path.name for candidate in got] == [f"{number:03}" for number in reversed(range(300))]


def test_a_listing_that_fails_for_good_is_told_to_who_waits(
    home: Home, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise MemoryError

    async def scenario() -> None:
        inbox = Inbox(request_places(home), DaemonSettings(), clock)
        monkeypatch.setattr(inbox_module.os, "scandir", break_down)
        await inbox.start()
        await inbox.next_batch(1)

    with pytest.raises(MemoryError):
        asyncio.run(scenario())


def test_who_always_finds_files_lets_the_loop_turn(home: Home, inbox: Inbox) -> None:
    """Else the event that tells of a more urgent file would never be heard."""
    for number in range(5):
        drop(home, f"low/{number}")
    inbox.sweep()

    async def scenario() -> list[str]:
        drop(home, "critical/z")
        asyncio.get_running_loop().call_soon(inbox.hint, 0, "z")
        return [(await inbox.next_ready()).path.name for _ in range(2)]

    assert asyncio.run(scenario())[0] == "z"


def test_a_priority_that_is_passed_over_again_and_again_has_its_turn(inbox: Inbox, home: Home) -> None:
    patience = inbox_module.PATIENCE
    for number in range(3 * patience):
        drop(home, f"critical/c{number:03d}")
    for number in range(2):
        drop(home, f"low/l{number}")
    inbox.sweep()
    claimed = [candidate.priority for candidate in taken(inbox)]
    assert [n for n, rank in enumerate(claimed) if rank == "low"] == [patience, 2 * patience + 1]


def test_an_urgent_file_is_found_while_its_event_stands_behind_a_storm(inbox: Inbox, home: Home) -> None:
    for number in range(5):
        drop(home, f"normal/n{number}")
    inbox.sweep()

    async def claim() -> str:
        (found,) = await inbox.next_batch(1)
        return found.path.name

    async def story() -> list[str]:
        first = await claim()
        drop(home, "critical/now")  # nothing tells of it
        drop(home, "critical/too")
        return [first, await claim(), await claim(), await claim()]

    assert asyncio.run(story()) == ["n0", "now", "too", "n1"]
