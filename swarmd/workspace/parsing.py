"""Reading unified diffs strictly.

What a model writes is untrusted. Lenient readers skip what they do not understand, and what one tool
skips another one applies; this one refuses every line that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from swarmd.errors import PatchError
from swarmd.workspace import paths
from swarmd.workspace.hunks import FilePatch, Hunk, Mark, ParsedPatch

__all__ = ["MAX_BYTES", "parse"]

MAX_BYTES = 4 * 1024 * 1024
"""No patch is larger, however few its lines are."""

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?", re.DOTALL)
_INDEX = re.compile(r"index [0-9a-f]{4,64}\.\.[0-9a-f]{4,64}(?: (\d+))?")
_MARKS: dict[str, Mark] = {" ": " ", "-": "-", "+": "+"}
_RENAMES = ("rename ", "copy ", "similarity index ", "dissimilarity index ")
_BINARY = ("Binary files ", "GIT binary patch")
_NOWHERE = "/dev/null"


def parse(patch: str, *, max_lines: int) -> ParsedPatch:
    """Read a unified diff, with or without ``diff --git`` lines, quoted names and ``a/ b/`` prefixes.

    ``max_lines`` caps added plus removed lines. Renames and copies are refused: delete and create
    instead. Raises PatchError with one of E-PATCH-MALFORMED, -TOO-LARGE, -BINARY, -MODE, -SYMLINK,
    -SUBMODULE, -OUTSIDE, -GIT.
    """
    if "\0" in patch:
        raise PatchError("the patch has a NUL character in it", code="E-PATCH-BINARY")
    try:
        size = len(patch.encode())
    except UnicodeEncodeError as error:
        raise PatchError("the patch is not valid Unicode", code="E-PATCH-MALFORMED") from error
    if size > MAX_BYTES:
        raise PatchError(f"the patch has {size} bytes", code="E-PATCH-TOO-LARGE")
    parsed = ParsedPatch(tuple(_Reader(patch).sections()))
    if parsed.changed_lines > max_lines:
        raise PatchError(
            f"the patch changes {parsed.changed_lines} lines; the limit is {max_lines}",
            code="E-PATCH-TOO-LARGE",
            hint="Ask for something smaller, or raise policy.max_patch_lines in swarmd.toml.",
        )
    _check_set(parsed)
    return parsed


def _check_set(parsed: ParsedPatch) -> None:
    if not parsed.files:
        raise PatchError("there is no file in the patch", code="E-PATCH-MALFORMED")
    seen: set[str] = set()
    for path in parsed.paths:
        above = {path[: at.start()] for at in re.finditer("/", path)}
        twin = path if path in seen else paths.collision(path, seen)
        if twin is not None:
            raise PatchError(
                f"the patch names {path} twice, or as {twin}", code="E-PATCH-MALFORMED", field=path
            )
        if above & set(parsed.paths):
            raise PatchError(
                f"the patch has a file where {path} needs a folder", code="E-PATCH-MALFORMED", field=path
            )
        seen.add(path)


@dataclass
class _Head:
    """What the lines before a file's hunks say."""

    path: str | None = None
    prefixed: bool = False
    kind: Literal["create", "modify", "delete"] | None = None


class _Reader:
    """A cursor over the lines of a patch."""

    def __init__(self, text: str) -> None:
        self._lines = text.removesuffix("\n").split("\n")
        self._at = 0

    def sections(self) -> list[FilePatch]:
        """All files of the patch."""
        found = []
        while self._at < len(self._lines):
            if self._peek() == "":
                self._at += 1
            else:
                found.append(self._section())
        return found

    def _peek(self) -> str | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _take(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        return line

    def _fail(self, why: str, code: str = "MALFORMED") -> NoReturn:
        raise PatchError(f"line {self._at} of the patch: {why}", code=f"E-PATCH-{code}")

    def _section(self) -> FilePatch:
        head = _Head()
        if (self._peek() or "").startswith("diff --git "):
            self._git_head(self._take().removeprefix("diff --git "), head)
            self._extended(head)
        if (self._peek() or "").startswith("--- "):
            self._file_lines(head)
            hunks = self._hunks()
        elif head.path is None:
            line = self._take()
            if line.startswith(_BINARY):
                self._fail("binary changes are not taken", "BINARY")
            self._fail(f"{line[:80]!a} is no part of a diff")
        else:
            hunks = ()
        path = paths.check(head.path or "")
        file = FilePatch(path, head.kind or "modify", hunks)
        self._check(file)
        return file

    def _git_head(self, rest: str, head: _Head) -> None:
        """The two names of a ``diff --git`` line; unquoted ones may have blanks, so halves must match."""
        if rest.startswith('"'):
            old, rest = paths.unquote(rest)
            new = paths.unquote(rest[1:])[0] if rest.startswith(' "') else rest[1:]
        elif rest.endswith('"') and ' "' in rest:
            old, _, quoted = rest.partition(' "')
            new = paths.unquote('"' + quoted)[0]
        else:
            middle = len(rest) // 2
            old, new = rest[:middle], rest[middle + 1 :]
            if rest[middle : middle + 1] != " ":
                self._fail("the two names differ: renames are not taken, delete and create instead")
        head.prefixed = old.startswith("a/") and new.startswith("b/")
        if (old[2:] != new[2:]) if head.prefixed else (old != new):
            self._fail("the two names differ: renames are not taken, delete and create instead")
        head.path = paths.check(old[2:] if head.prefixed else old)

    def _extended(self, head: _Head) -> None:
        while (line := self._peek()) is not None:
            if line.startswith(("new file mode ", "deleted file mode ")):
                self._at += 1
                if head.kind is not None:
                    self._fail("the file is created or deleted twice")
                head.kind = "create" if line.startswith("new") else "delete"
                self._mode(line.rsplit(" ", 1)[1], new=head.kind == "create")
            elif line.startswith("index "):
                self._at += 1
                found = _INDEX.fullmatch(line)
                if found is None:
                    self._fail("the index line cannot be read")
                self._mode(found[1] or "100644")
            elif line.startswith(("old mode ", "new mode ")):
                self._at += 1
                self._mode(line.rsplit(" ", 1)[1])
                self._fail("changes of a file's mode are not taken", "MODE")
            elif line.startswith(_RENAMES):
                self._at += 1
                self._fail("renames are not taken, delete and create instead")
            elif line.startswith(_BINARY):
                self._at += 1
                self._fail("binary changes are not taken", "BINARY")
            else:
                return

    def _mode(self, mode: str, *, new: bool = False) -> None:
        if mode == "120000":
            self._fail("symbolic links are not taken", "SYMLINK")
        if mode == "160000":
            self._fail("submodules are not taken", "SUBMODULE")
        if mode not in (("100644",) if new else ("100644", "100755")):
            self._fail(f"the mode {mode[:20]!a} is not taken; new files are 100644", "MODE")

    def _file_lines(self, head: _Head) -> None:
        old = self._name(self._take().removeprefix("--- "))
        if not (self._peek() or "").startswith("+++ "):
            self._fail("a '+++' line must follow")
        new = self._name(self._take().removeprefix("+++ "))
        kind: Literal["create", "modify", "delete"] = "modify"
        if old == _NOWHERE:
            kind = "create"
        elif new == _NOWHERE:
            kind = "delete"
        if old == new == _NOWHERE:
            self._fail("the file is neither there before nor after")
        path = self._one_path(old, new, head)
        if head.path not in (None, path) or head.kind not in (None, kind):
            self._fail("the lines before the hunks contradict each other")
        head.path, head.kind = path, kind

    def _name(self, text: str) -> str:
        if text.startswith('"'):
            name, rest = paths.unquote(text)
            if rest and not rest.startswith("\t"):
                self._fail("something follows the quoted name")
            return name
        return text.split("\t", 1)[0]  # a time may follow; a name with a tab in it is quoted

    def _one_path(self, old: str, new: str, head: _Head) -> str:
        sides = [(name, prefix) for name, prefix in ((old, "a/"), (new, "b/")) if name != _NOWHERE]
        strip = all(name.startswith(prefix) for name, prefix in sides)
        if head.path is not None:
            strip = head.prefixed
        names = {name.removeprefix(prefix) if strip else name for name, prefix in sides}
        if len(names) != 1 or (strip and not all(name.startswith(prefix) for name, prefix in sides)):
            self._fail("the two names differ: renames are not taken, delete and create instead")
        return names.pop()

    def _hunks(self) -> tuple[Hunk, ...]:
        hunks = []
        while (self._peek() or "").startswith("@@ "):
            hunks.append(self._hunk())
        if not hunks:
            self._fail("no hunk follows")
        return tuple(hunks)

    def _hunk(self) -> Hunk:
        found = _HUNK.fullmatch(self._take())
        if found is None:
            self._fail("the hunk's head cannot be read")
        old_start, old_left, new_start, new_left = (int(part or "1") for part in found.groups())
        lines: list[tuple[Mark, bytes]] = []
        while old_left or new_left:
            if self._peek() is None:
                self._fail("the last hunk is cut off")
            text = self._take()
            if text.startswith("\\ "):
                self._cut_newline(lines)
                continue
            mark = _MARKS.get(text[:1] or " ")  # editors strip the blank of an empty context line
            if mark is None:
                self._fail(f"{text[:80]!a} does not belong in a hunk, or its counts are wrong")
            old_left -= mark != "+"
            new_left -= mark != "-"
            if old_left < 0 or new_left < 0:
                self._fail("the hunk has more lines than its head says")
            lines.append((mark, text[1:].encode() + b"\n"))
        if (self._peek() or "").startswith("\\ "):
            self._at += 1
            self._cut_newline(lines)
        return Hunk(old_start, new_start, tuple(lines))

    def _cut_newline(self, lines: list[tuple[Mark, bytes]]) -> None:
        if not lines or not lines[-1][1].endswith(b"\n") or lines[-1][1] == b"\n":
            self._fail("no line that could lack its newline comes before this one")
        mark, line = lines[-1]
        lines[-1] = (mark, line[:-1])

    def _check(self, file: FilePatch) -> None:
        if file.kind == "modify" and not any(hunk.changed for hunk in file.hunks):
            self._fail(f"nothing changes in {file.path}")
        if file.kind == "create" and (len(file.hunks) > 1 or any(hunk.old for hunk in file.hunks)):
            self._fail(f"{file.path} is new, but the hunk expects lines in it")
        if file.kind == "delete" and (len(file.hunks) > 1 or any(hunk.new for hunk in file.hunks)):
            self._fail(f"{file.path} is deleted, but lines of it are kept")
        for hunk in file.hunks:
            for side in (hunk.old, hunk.new):
                self._check_newlines(side)

    def _check_newlines(self, side: Sequence[bytes]) -> None:
        if any(not line.endswith(b"\n") for line in side[:-1]):
            self._fail("only the last line of a file can lack its newline")
