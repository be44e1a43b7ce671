"""Removing folders that hostile code may have prepared."""

import os
from pathlib import Path

import pytest

from swarmd.errors import WorkspaceError
from swarmd.workspace.removal import remove_tree


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "tree/sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "keep").write_text("k")
    (root / "tree/to-folder").symlink_to(outside)
    (root / "tree/sub/to-file").symlink_to(outside / "keep")
    (root / "tree/hard").hardlink_to(outside / "keep")
    (root / "tree/sub/dangling").symlink_to("nowhere")
    os.mkfifo(root / "tree/pipe")
    remove_tree(root / "tree", within=root)
    assert list(root.iterdir()) == []
    assert (outside / "keep").read_text() == "k"


def test_the_path_itself_may_be_a_link_or_a_file(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "keep").touch()
    (root / "link").symlink_to(outside)
    (root / "file").touch()
    remove_tree(root / "link", within=root)
    remove_tree(root / "file", within=root)
    remove_tree(root / "absent", within=root)
    assert list(root.iterdir()) == []
    assert (outside / "keep").exists()


def test_a_link_on_the_way_stops_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    (outside / "victim").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    with pytest.raises(WorkspaceError, match="cannot be removed"):
        remove_tree(root / "link" / "victim", within=root)
    assert (outside / "victim").exists()


@pytest.mark.parametrize("path", [".", "..", "../root", "../other", "a/../../other", "/", "/tmp"])
def test_nothing_outside_is_removed(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "other").mkdir()
    with pytest.raises(WorkspaceError, match="is not inside"):
        remove_tree(root / path, within=root)
    assert root.exists()
    assert (tmp_path / "other").exists()


def test_read_only_folders_are_coped_with(tmp_path: Path) -> None:
    deep = tmp_path / "tree/a/b"
    deep.mkdir(parents=True)
    (deep / "file").touch(0o400)
    for folder in (deep, deep.parent, tmp_path / "tree"):
        folder.chmod(0o000)
    remove_tree(tmp_path / "tree", within=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nesting_deeper_than_any_path_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    fd = os.open(tmp_path / "tree", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 10, dir_fd=fd)
        above, fd = fd, os.open("d" * 10, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    os.close(os.open("bottom", os.O_CREAT, dir_fd=fd))
    os.close(fd)
    remove_tree(tmp_path / "tree", within=tmp_path)
    assert list(tmp_path.iterdir()) == []
