"""Group commit: many changes, one sync, and nothing that happens without being written."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd import durable
from swarmd.audit import Chain, Line, read_lines
from swarmd.bus import wal
from swarmd.bus.journal import GROUP, LINGER_TURNS, Journal
from swarmd.bus.replay import mark, replay
from swarmd.bus.wal import WriteAhead
from swarmd.errors import AuditError

FULL = OSError(errno.ENOSPC, "No space left on device")


class Home:
    """A journal on a fresh folder, and what it applied."""

    def __init__(self, root: Path, *, ahead: bool = True) -> None:
        self.root = root
        self.log = root / "logs/master.jsonl"
        self.wal = root / "wal"
        self.applied: list[str] = []
        self.ahead = ahead
        durable.make_dirs(root / "logs", self.wal)

    def open(self) -> Journal:
        chain = Chain(self.log, "1", segment_bytes=4096)
        ahead = WriteAhead(self.wal, chain.size) if self.ahead else None
        return Journal(chain, ahead, self.root, self._apply, lambda: "2026-01-01T00:00:00.000Z")

    def _apply(self, line: Line, offset: int) -> None:
        self.applied.append(line["event"])

    def events(self) -> list[str]:
        return [line["event"] for line, _ in read_lines(self.log)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(wal, "SIZE", 32 * 1024)
    return Home(tmp_path)


def line(name: str) -> dict[str, Any]:
    return {"event": name, "level": "info", "actor": "test", "data": {}}


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    real = durable.sync

    def sync(fd: int) -> None:
        counted.append(fd)
        real(fd)

    monkeypatch.setattr(durable, "sync", sync)
    return counted


def test_changes_that_are_due_at_the_same_time_share_one_sync(home: Home, syncs: list[int]) -> None:
    async def story() -> None:
        journal = home.open()
        syncs.clear()
        await journal.commit(line("alone"), files={home.root / "a/one.json": b"1"})
        assert len(syncs) == 1
        many = (journal.commit(line(f"n{n}"), files={home.root / f"b/{n}": b"x"}) for n in range(GROUP + 1))
        await asyncio.gather(*many)
        assert len(syncs) == 3, "a full group, and one for the change that did not fit"
        journal.close()

    asyncio.run(story())
    assert home.applied == home.events() == ["alone", *(f"n{n}" for n in range(GROUP + 1))]


def test_who_asks_hears_of_its_own_lines_after_they_have_taken_effect(home: Home) -> None:
    async def story() -> None:
        journal = home.open()

        async def ask(*names: str) -> None:
            lines = await journal.commit(*map(line, names))
            assert [found["event"] for found in lines] == list(names)
            assert set(names) <= set(home.applied)

        await asyncio.gather(ask("a", "b"), ask("c"), ask("d", "e", "f"))
        journal.close()

    asyncio.run(story())


@pytest.mark.parametrize("write", ["file", "log", "reserve", "ahead"])
def test_a_full_disk_is_waited_for_and_the_order_is_kept(
    home: Home, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [FULL, FULL]
    monkeypatch.setattr("swarmd.bus.journal._ROOM_S", 0.001)

    def sometimes(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return real(*args, **options)

        return call

    async def story() -> None:
        journal = home.open()
        match write:
            case "file":
                monkeypatch.setattr(durable, "create_group", sometimes(durable.create_group))
            case "log":
                monkeypatch.setattr(journal.chain, "write", sometimes(journal.chain.write))
            case "ahead":
                monkeypatch.setattr(journal._wal, "append", sometimes(journal._wal.append))  # type: ignore[union-attr]
            case "reserve":
                monkeypatch.setattr(journal._wal, "reserve", sometimes(journal._wal.reserve))  # type: ignore[union-attr]
        first = asyncio.ensure_future(journal.commit(line("first"), files={home.root / "f": b"1"}))
        second = asyncio.ensure_future(journal.commit(line("second")))
        for _ in range(LINGER_TURNS + 2):
            await asyncio.sleep(0)
        assert journal.waiting_for_space
        assert not home.applied
        await asyncio.gather(first, second)
        assert not journal.waiting_for_space
        journal.close()

    asyncio.run(story())
    assert not failures
    assert home.applied == home.events() == ["first", "second"]


def test_a_change_that_cannot_be_written_is_refused_and_those_beside_it_are_not(home: Home) -> None:
    (home.root / "file").write_text("in the way of a folder")

    async def story() -> list[Any]:
        journal = home.open()
        done = await asyncio.gather(
            journal.commit(line("good")),
            journal.commit({**line("half"), "data": {"number": 0.5}}),
            journal.commit(line("nowhere"), files={home.root / "file/under": b"x"}),
            journal.commit(line("also good"), files={home.root / "folder/f": b"x"}),
            return_exceptions=True,
        )
        journal.close()
        return done

    good, half, nowhere, also = asyncio.run(story())
    assert isinstance(half, AuditError)
    assert isinstance(nowhere, OSError)
    assert isinstance(good, list)
    assert isinstance(also, list)
    assert home.applied == home.events() == ["good", "also good"]


def test_after_a_failed_sync_nothing_can_be_committed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        journal = home.open()

        def broken(fd: int) -> None:
            raise durable.FsyncFailedError(errno.EIO, "fsync failed")

        with monkeypatch.context() as patch:
            patch.setattr(durable, "sync", broken)
            with pytest.raises(durable.FsyncFailedError):
                await journal.commit(line("unknown"))
        with pytest.raises(durable.FsyncFailedError):
            await journal.commit(line("never"))
        journal.close()

    asyncio.run(story())
    assert home.applied == []


def test_after_a_failed_sync_no_checkpoint_covers_up_what_was_lost(
    home: Home, monkeypatch: pytest.MonkeyPatch, syncs: list[int]
) -> None:
    def broken(path: Path) -> None:
        raise durable.FsyncFailedError(errno.EIO, "syncfs failed")

    async def story() -> None:
        journal = home.open()
        await journal.commit(line("one"))
        monkeypatch.setattr(durable, "sync_file_system", broken)
        with pytest.raises(durable.FsyncFailedError):
            await journal.checkpoint()
        syncs.clear()
        for _ in range(2):
            with pytest.raises(durable.FsyncFailedError):
                await journal.checkpoint()
        with pytest.raises(durable.FsyncFailedError):
            await journal.commit(line("never"))
        assert not syncs
        journal.close()

    asyncio.run(story())
    assert replay(home.root, home.wal, home.log, "another boot").log_bytes == 0


def test_after_a_failed_sync_of_a_folder_nothing_is_synced_any_more(
    home: Home, monkeypatch: pytest.MonkeyPatch, syncs: list[int]
) -> None:
    def broken(path: Path) -> None:
        raise durable.FsyncFailedError(errno.EIO, "fsync failed")

    async def story() -> None:
        journal = home.open()
        await journal.commit(line("one"))
        with monkeypatch.context() as patch:
            patch.setattr(durable, "sync_dir", broken)
            with pytest.raises(durable.FsyncFailedError):
                journal.sync_dir(home.root)
        syncs.clear()
        with pytest.raises(durable.FsyncFailedError):
            await journal.commit(line("never"))
        with pytest.raises(durable.FsyncFailedError):
            await journal.checkpoint()
        assert not syncs
        journal.close()

    asyncio.run(story())


def test_a_state_that_cannot_take_a_line_ends_all_commits(home: Home) -> None:
    def broken(found: Line, offset: int) -> None:
        raise KeyError("a line that the state does not understand")

    async def story() -> None:
        journal = home.open()
        journal._apply = broken
        for _ in range(2):
            with pytest.raises(KeyError):
                await journal.commit(line("odd"))
        journal.close()

    asyncio.run(story())


def commit_all(home: Home, *names: str) -> None:
    async def story() -> None:
        journal = home.open()
        for name in names:
            await journal.commit(line(name), files={home.root / f"payload/{name}.json": name.encode() * 40})
        journal.close()

    asyncio.run(story())


@pytest.mark.parametrize("lost", range(0, 900, 37))
def test_after_power_loss_the_end_of_the_log_and_the_payloads_are_put_back(home: Home, lost: int) -> None:
    commit_all(home, "one", "two", "three")
    before = home.log.read_bytes()
    os.truncate(home.log, max(0, len(before) - lost))
    (home.root / "payload/one.json").unlink()
    (home.root / "payload/two.json").write_bytes(b"")
    mark(home.wal, "the boot before")
    found = replay(home.root, home.wal, home.log, "this boot")
    assert home.log.read_bytes() == before
    assert found.files == 2
    assert found.log_bytes == min(lost, len(before))
    assert (home.root / "payload/two.json").read_bytes() == b"two" * 40
    assert not replay(home.root, home.wal, home.log, "this boot"), "it may be repeated"
    assert home.open().chain.head.seq == 3


def test_after_power_loss_lines_that_were_never_acknowledged_are_gone(home: Home) -> None:
    commit_all(home, "one")
    before = home.log.read_bytes()
    with home.log.open("ab") as log:
        log.write(b'{"event":"written, and the power went before the sync"}\n')
    assert replay(home.root, home.wal, home.log, "another boot")
    assert home.log.read_bytes() == before


def test_a_killed_process_lost_nothing_and_nothing_is_put_back(home: Home) -> None:
    commit_all(home, "one")
    mark(home.wal, "this boot")
    (home.root / "payload/one.json").unlink()  # moved on since, as the folders of ended requests do
    assert not replay(home.root, home.wal, home.log, "this boot")
    assert not (home.root / "payload").joinpath("one.json").exists()


def test_half_a_group_that_a_killed_process_had_written_goes_away_whole(home: Home) -> None:
    commit_all(home, "one")
    mark(home.wal, "this boot")
    before = home.log.read_bytes()
    chain = Chain(home.log, "2")
    group = chain.prepare([line("first of two"), line("second of two")]).raw
    chain.close()
    with home.log.open("ab") as log:
        log.write(group[: group.index(b"\n") + 1])
    assert replay(home.root, home.wal, home.log, "this boot").log_bytes
    assert home.log.read_bytes() == before


def test_a_checkpoint_frees_the_write_ahead_file_and_begins_a_new_segment(home: Home) -> None:
    async def story() -> None:
        journal = home.open()
        for number in range(12):
            data = {"text": "x" * 500}
            await journal.commit({**line(f"n{number}"), "data": data}, files={home.root / "f": b"x" * 2000})
        assert journal.checkpoint_is_due
        await journal.checkpoint()
        assert not journal.checkpoint_is_due
        await journal.commit(line("after"))
        journal.close()

    asyncio.run(story())
    assert [path.name for path in (home.root / "logs/archive").iterdir()] == ["master.000000000001.jsonl"]
    before = home.log.read_bytes()
    os.truncate(home.log, len(before) - 1)
    assert replay(home.root, home.wal, home.log, "another boot").log_bytes == 1
    assert home.log.read_bytes() == before


def test_a_payload_that_is_kept_is_not_written_again_but_is_put_back_after_power_loss(home: Home) -> None:
    dropped = home.root / "inbox/a.json"
    dropped.parent.mkdir()
    dropped.write_bytes(b"payload")
    before = dropped.stat()

    async def story() -> None:
        journal = home.open()
        mark(home.wal, "boot-1")
        await journal.commit(line("taken"), kept={dropped: b"payload"})
        journal.close()

    asyncio.run(story())
    after = dropped.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    dropped.write_bytes(b"")
    replay(home.root, home.wal, home.log, "boot-2")
    assert dropped.read_bytes() == b"payload"


@pytest.mark.parametrize("way", ["files", "kept"])
def test_a_payload_outside_the_home_is_refused_and_harms_nobody(home: Home, way: str) -> None:
    async def story() -> list[object]:
        journal = home.open()
        outside = {way: {Path("/elsewhere/x"): b""}}
        changes = journal.commit(line("bad"), **outside), journal.commit(line("good"))
        done = await asyncio.gather(*changes, return_exceptions=True)
        journal.close()
        return list(done)

    bad, good = asyncio.run(story())
    assert isinstance(bad, ValueError)
    assert isinstance(good, list)
    assert home.events() == ["good"]
