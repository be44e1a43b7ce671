"""Applying patches: strictly, never through a link, all files or none."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unidiff import PatchSet  # an independent reader of the same format

from swarmd.errors import PatchError
from swarmd.workspace import patch as patch_module
from swarmd.workspace.patch import FileChange, apply, make, parse

LINES = st.lists(
    st.sampled_from(
        ["", "a", "b", "x = 1", "\tindented", "cr\r", "- minus", "--- a/x", "@@ -1 +1 @@", "\x0cü\u2028é"]
    ),
    max_size=12,
)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())


def tree(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


def edit(root: Path, *changes: FileChange) -> list[str]:
    return apply(parse(make(changes), max_lines=1000), root)


def refused(root: Path, text: str) -> PatchError:
    before = tree(root)
    with pytest.raises(PatchError) as caught:
        apply(parse(text, max_lines=1000), root)
    assert tree(root) == before
    return caught.value


@settings(max_examples=300, deadline=None)
@given(old=st.none() | TEXTS, new=st.none() | TEXTS)
def test_what_make_writes_parse_and_patched_turn_into_the_new_text(old: str | None, new: str | None) -> None:
    text = make([FileChange("dir/a file.py", old, new)])
    if old == new:
        assert text == ""
        return
    parsed = parse(text, max_lines=1000)
    [file] = parsed.files
    after = file.patched(None if old is None else old.encode())
    assert after == (None if new is None else new.encode())
    assert parsed.render() == text


@settings(max_examples=100, deadline=None)
@given(
    old=st.lists(st.sampled_from(["a", "b", "", "x = 1"]), min_size=1, max_size=12),
    new=st.lists(st.sampled_from(["a", "b", "", "x = 1"]), min_size=1, max_size=12),
)
def test_another_reader_counts_the_same_lines(old: list[str], new: list[str]) -> None:
    text = make([FileChange("a.py", "\n".join(old) + "\n", "\n".join(new) + "\n")])
    if text:
        [other] = PatchSet(text)
        assert other.added + other.removed == parse(text, max_lines=1000).changed_lines


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet="+- @a/\\\n.", max_size=60).map(
        lambda tail: "--- a/x\n+++ b/x\n@@ -1 +1 @@\n" + tail
    )
)
def test_garbage_is_refused_or_harmless_but_never_crashes(text: str) -> None:
    try:
        parsed = parse(text, max_lines=10)
    except PatchError:
        return
    assert parse(parsed.render(), max_lines=10) == parsed


def test_several_files_change_together(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "one\n", "old/gone.py": "x\n", "keep.txt": "k"})
    touched = edit(
        tmp_path,
        FileChange("a.py", "one\n", "two\n"),
        FileChange("old/gone.py", "x\n", None),
        FileChange("new/deep/b.py", None, "b\n"),
    )
    assert touched == ["a.py", "old/gone.py", "new/deep/b.py"]
    assert tree(tmp_path) == {
        "a.py": b"two\n",
        "keep.txt": b"k",
        "new": None,
        "new/deep": None,
        "new/deep/b.py": b"b\n",
    }


def test_carriage_returns_and_a_missing_final_newline_are_kept(tmp_path: Path) -> None:
    old = "a\r\nb\r\nc"
    write(tmp_path, {"dos.txt": old})
    edit(tmp_path, FileChange("dos.txt", old, "a\r\nB\r\nc"))
    assert (tmp_path / "dos.txt").read_bytes() == b"a\r\nB\r\nc"


def test_a_patch_without_carriage_returns_does_not_fit_a_file_with_them(tmp_path: Path) -> None:
    write(tmp_path, {"dos.txt": "a\r\nb\r\n"})
    assert refused(tmp_path, make([FileChange("dos.txt", "a\nb\n", "a\nc\n")])).code == "E-PATCH-APPLY"


def test_the_executable_bit_is_kept_and_new_files_have_none(tmp_path: Path) -> None:
    write(tmp_path, {"run.sh": "a\n"})
    (tmp_path / "run.sh").chmod(0o755)
    edit(tmp_path, FileChange("run.sh", "a\n", "b\n"), FileChange("new.sh", None, "c\n"))
    assert (tmp_path / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "new.sh").stat().st_mode & 0o7777 == 0o644


def test_a_hunk_is_found_a_few_lines_away_but_only_if_the_place_is_unique(tmp_path: Path) -> None:
    old = "".join(f"line {number}\n" for number in range(20))
    text = make([FileChange("x", old, old.replace("line 10\n", "ten\n"))])
    write(tmp_path, {"x": "new top\n" * 5 + old})
    apply(parse(text, max_lines=10), tmp_path)
    assert "line 9\nten\nline 11\n" in (tmp_path / "x").read_text()

    write(tmp_path, {"x": "other\n" * 5 + old + old})
    assert "2 places" in refused(tmp_path, text).message


def test_context_is_exact_and_the_error_says_which_line_differs(tmp_path: Path) -> None:
    write(tmp_path, {"x": "one\nTWO\nthree\n"})
    error = refused(tmp_path, make([FileChange("x", "one\ntwo\nthree\n", "one\ntwo\ndrei\n")]))
    assert error.code == "E-PATCH-APPLY"
    assert "line 2 should be 'two\\n', but it is 'TWO\\n'" in error.message


def test_an_insertion_without_context_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"x": "one\n"})
    assert "no context" in refused(tmp_path, "--- a/x\n+++ b/x\n@@ -1,0 +2 @@\n+two\n").message


def test_a_line_is_never_joined_with_the_next_one(tmp_path: Path) -> None:
    write(tmp_path, {"x": "one\ntwo\n"})
    text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+uno\n\\ No newline at end of file\n"
    assert refused(tmp_path, text).code == "E-PATCH-APPLY"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (FileChange("absent.py", "a\n", "b\n"), "no such file"),
        (FileChange("absent/absent.py", "a\n", None), "no such file"),
        (FileChange("x", None, "b\n"), "there already"),
        (FileChange("x", "one\n", None), "not all of its lines"),
        (FileChange("dir", None, "b\n"), "not a regular file"),
        (FileChange("x/y", None, "b\n"), "x: Not a directory"),
        (FileChange("X", None, "b\n"), "only in case"),
        (FileChange("DIR/new.py", None, "b\n"), "only in case"),
    ],
)
def test_what_does_not_fit_the_tree_is_refused(tmp_path: Path, change: FileChange, why: str) -> None:
    write(tmp_path, {"x": "one\ntwo\n", "dir/y": "y\n"})
    error = refused(tmp_path, make([change]))
    assert error.code == "E-PATCH-APPLY"
    assert why in error.message


def test_one_file_that_does_not_fit_stops_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, {"a": "a\n", "b": "b\n"})
    refused(tmp_path, make([FileChange("a", "a\n", "A\n"), FileChange("b", "other\n", "B\n")]))


@pytest.mark.parametrize("target", ["outside", "inside", "dangling", "/"])
@pytest.mark.parametrize("name", ["link/new.py", "link/there.py", "file-link"])
def test_nothing_is_written_or_read_through_a_symbolic_link(tmp_path: Path, target: str, name: str) -> None:
    root = tmp_path / "root"
    write(tmp_path, {"outside/there.py": "a\n", "root/inside/there.py": "a\n", "outside.txt": "a\n"})
    (root / "link").symlink_to({"outside": "../outside", "inside": "inside"}.get(target, target))
    (root / "file-link").symlink_to("../outside.txt" if target == "outside" else "inside/there.py")
    before = tree(tmp_path)
    new_only = name == "link/new.py"
    text = make([FileChange(name, None if new_only else "a\n", "b\n")])
    assert refused(root, text).code == "E-PATCH-SYMLINK"
    assert refused(root, make([FileChange(name, "a\n", None)])).code == "E-PATCH-SYMLINK"
    assert tree(tmp_path) == before
    assert (root / "link").is_symlink()


def test_a_hard_link_is_broken_not_written_through(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, {"outside.txt": "secret\n", "root/x": ""})
    (root / "x").unlink()
    (root / "x").hardlink_to(tmp_path / "outside.txt")
    edit(root, FileChange("x", "secret\n", "changed\n"))
    assert (tmp_path / "outside.txt").read_text() == "secret\n"
    assert (root / "x").read_text() == "changed\n"


def test_a_pipe_in_the_tree_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path, make([FileChange("pipe", "a\n", "b\n")])).message


@pytest.mark.parametrize("failing", range(1, 5))
def test_a_failure_half_way_undoes_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write(tmp_path, {"a": "a\n", "b": "b\n", "c/d": "d\n"})
    (tmp_path / "a").chmod(0o755)
    before = tree(tmp_path)
    replace, calls = patch_module._replace, []

    def replace_or_fail(root_fd: int, one: patch_module._Edit) -> None:
        calls.append(one)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        replace(root_fd, one)

    monkeypatch.setattr(patch_module, "_replace", replace_or_fail)
    with pytest.raises(PatchError, match="No space left"):
        edit(
            tmp_path,
            FileChange("a", "a\n", "A\n"),
            FileChange("new/e", None, "e\n"),
            FileChange("b", "b\n", None),
            FileChange("c/d", "d\n", "D\n"),
        )
    assert tree(tmp_path) == before
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_make_refuses_what_parse_would_refuse() -> None:
    with pytest.raises(PatchError, match="belongs to git"):
        make([FileChange(".git/config", None, "x")])
    with pytest.raises(PatchError, match="NUL"):
        make([FileChange("x", None, "a\0b")])
    with pytest.raises(PatchError, match="not valid Unicode"):
        make([FileChange("x", None, "\ud800")])
