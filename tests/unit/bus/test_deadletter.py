"""Dead letters: whatever lies there has a reason beside it, and nothing is followed or overwritten."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from swarmd.bus.deadletter import bury, listing
from swarmd.errors import RequestError
from swarmd.home import Home

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ERROR = RequestError("the file is empty", code="E-REQUEST-EMPTY", field="x")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    (home.inbox / "high").mkdir(parents=True)
    return home


def drop(home: Home, name: str, text: str = "content") -> Path:
    path = home.inbox / "high" / name
    path.write_text(text)
    return path


def test_the_file_and_the_reason_lie_side_by_side(home: Home) -> None:
    path = drop(home, "login.json")
    letter = bury(home, path, ERROR, NOW)
    assert not path.exists()
    assert (home.deadletter / "login.json").read_text() == "content"
    record = json.loads((home.deadletter / "login.json.error.json").read_text())
    assert (record["code"], record["field"], record["message"]) == (
        "E-REQUEST-EMPTY",
        "x",
        "the file is empty",
    )
    assert record["hint"] == ERROR.hint
    assert listing(home) == [letter]


def test_nothing_is_overwritten(home: Home) -> None:
    names = {bury(home, drop(home, "a.json", str(number)), ERROR, NOW).name for number in range(20)}
    assert len(names) == 20
    assert {(home.deadletter / name).read_text() for name in names} == {str(number) for number in range(20)}
    assert all(name.startswith("a") and name.endswith(".json") for name in names)
    assert len(listing(home)) == 20


def test_a_dangling_link_in_the_dead_letters_is_not_overwritten_either(home: Home) -> None:
    home.deadletter.mkdir()
    (home.deadletter / "a.json").symlink_to("nowhere")
    assert bury(home, drop(home, "a.json"), ERROR, NOW).name != "a.json"
    assert (home.deadletter / "a.json").is_symlink()


def test_links_and_folders_are_moved_as_they_are(home: Home) -> None:
    target = home.root / "precious"
    target.write_text("precious")
    link = home.inbox / "high/link"
    link.symlink_to(target)
    folder = home.inbox / "high/folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/file").write_text("kept")
    bury(home, link, ERROR, NOW)
    bury(home, folder, ERROR, NOW)
    assert (home.deadletter / "link").is_symlink()
    assert target.read_text() == "precious"
    assert (home.deadletter / "folder/deep/file").read_text() == "kept"


@pytest.mark.parametrize(
    "name",
    [
        b"new\nline",
        b"\xff\xfe",
        "日本\u202e.json".encode(),
        b"x" * 255,
        "ü".encode() * 127,
        b".error.json",
        b"...",
        b"\x1b",
    ],
)
def test_odd_names_are_kept_readable_and_short_enough(home: Home, name: bytes) -> None:
    path = home.inbox / "high" / os.fsdecode(name)
    path.write_bytes(b"")
    letter = bury(home, path, ERROR, NOW)
    assert (letter.name + letter.original_name).isprintable()
    assert not letter.name.startswith(".")
    assert (home.deadletter / letter.name).exists()
    assert listing(home) == [letter]


def test_a_dropped_file_cannot_forge_the_record_of_another(home: Home) -> None:
    forged = drop(home, "a.json.error.json", json.dumps({"name": "a.json"}))
    bury(home, forged, ERROR, NOW)
    bury(home, drop(home, "a.json"), ERROR, NOW)
    assert sorted(letter.original_name for letter in listing(home)) == ["a.json", "a.json.error.json"]


def test_what_cannot_be_moved_still_gets_a_record_that_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(home, "a.json")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        letter = bury(home, path, ERROR, NOW)
    assert "could not be moved" in letter.hint
    assert str(path) in letter.hint
    assert listing(home) == [letter]
    again = bury(home, path, ERROR, NOW)
    assert again.name == letter.name, "after a restart the same file takes up its own record"
    assert len(listing(home)) == 1


def test_a_file_that_went_away_by_itself_leaves_its_reason(home: Home) -> None:
    letter = bury(home, home.inbox / "high/gone.json", ERROR, NOW)
    assert letter.hint == ERROR.hint
    assert listing(home) == [letter]


def test_what_is_no_record_is_passed_over(home: Home) -> None:
    assert listing(home) == []
    home.deadletter.mkdir()
    (home.deadletter / "a.error.json").write_text("no record")
    (home.deadletter / "b.error.json").mkdir()
    (home.deadletter / "c.error.json").symlink_to("/etc/passwd")
    assert listing(home) == []
    letter = bury(home, drop(home, "a.json"), ERROR, NOW)
    copy = home.deadletter / "other.error.json"
    copy.write_bytes((home.deadletter / "a.json.error.json").read_bytes())
    assert listing(home) == [letter], "a record under another file's name is not that file's"
