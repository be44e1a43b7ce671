"""Files change in one step, folders are private, and what is not a file is never read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmd import durable


def test_a_group_that_cannot_be_written_whole_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="No such file"):
        durable.write_group({tmp_path / "a": b"new", tmp_path / "missing/b": b"new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_every_new_folder_is_private(tmp_path: Path) -> None:
    durable.make_dirs(tmp_path / "x/y/z")
    for folder in ("x", "x/y", "x/y/z"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "large"])
def test_what_is_no_small_regular_file_is_refused_and_no_descriptor_leaks(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"x" * 101)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"."):
        durable.read_regular(path, 100)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    durable.write(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"
