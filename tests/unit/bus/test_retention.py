"""What is kept of ended requests, and what never goes."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from swarmd import durable
from swarmd.bus.retention import Keep, sweep
from swarmd.home import Home

TODAY = date(2026, 3, 31)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    durable.make_dirs(*home.folders())
    return home


def end(home: Home, request_id: str, day: str, size: int = 10) -> Path:
    folder = home.done / day / request_id
    durable.make_dirs(folder)
    (folder / "result.json").write_bytes(b"x" * size)
    (home.outbox / f"{request_id}.json").write_bytes(b"x")
    os.utime(folder)
    return folder


def left(home: Home) -> set[str]:
    folders = {folder.name for day in home.done.iterdir() for folder in day.iterdir()}
    assert {path.stem for path in home.outbox.iterdir()} == folders, "a result goes with its folder"
    return folders


def test_nothing_goes_while_there_are_no_limits(home: Home) -> None:
    end(home, "old", "2001-01-01", size=10_000)
    assert sweep(home, TODAY, Keep(), spare=()) == []
    assert left(home) == {"old"}


def test_what_is_older_than_the_days_that_are_kept_goes(home: Home) -> None:
    end(home, "edge", "2026-03-01")
    end(home, "old", "2026-02-28")
    assert sweep(home, TODAY, Keep(days=30), spare=()) == ["old"]
    assert left(home) == {"edge"}
    assert not (home.done / "2026-02-28").exists()


def test_beyond_a_number_or_a_size_the_oldest_go(home: Home) -> None:
    for number, day in enumerate(("2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31")):
        end(home, f"r{number}", day, size=100)
    assert sweep(home, TODAY, Keep(requests=3), spare=()) == ["r0"]
    assert sweep(home, TODAY, Keep(size=250), spare=()) == ["r1"]
    assert left(home) == {"r2", "r3"}


def test_what_is_not_finished_or_not_ours_stays(home: Home) -> None:
    end(home, "again", "2001-01-01")
    end(home, "gone", "2001-01-01")
    notes = home.done / "my notes"
    notes.mkdir()
    (notes / "todo.txt").write_text("keep")
    assert sweep(home, TODAY, Keep(days=1), spare={"again"}) == ["gone"]
    assert (home.done / "2001-01-01/again/result.json").exists()
    assert (notes / "todo.txt").exists()


def test_a_link_among_the_days_is_not_followed(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "precious"
    elsewhere.mkdir(parents=True)
    (home.done / "2001-01-01").symlink_to(elsewhere.parent)
    assert sweep(home, TODAY, Keep(days=1), spare=()) == []
    assert elsewhere.exists()
