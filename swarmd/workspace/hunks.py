"""A parsed patch, and its strict application to bytes: the part that touches no file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from swarmd.workspace.beneath import misfit
from swarmd.workspace.paths import quote

__all__ = ["MAX_OFFSET", "FilePatch", "Hunk", "ParsedPatch", "split_lines"]

MAX_OFFSET = 100
"""A hunk may stand so many lines away from where it says, if that is the only place that fits."""

Mark = Literal[" ", "-", "+"]


def split_lines(data: bytes) -> list[bytes]:
    """``data`` as lines with their newlines. Only ``\\n`` ends a line, as in git."""
    *whole, rest = data.split(b"\n")
    lines = [line + b"\n" for line in whole]
    return [*lines, rest] if rest else lines


@dataclass(frozen=True)
class Hunk:
    """One ``@@`` block: where it says that it stands, and its lines."""

    old_start: int
    new_start: int
    lines: tuple[tuple[Mark, bytes], ...]
    """Each with its newline; one without ends a file that has none at its end."""

    @property
    def old(self) -> list[bytes]:
        """The lines that must be there."""
        return [line for mark, line in self.lines if mark != "+"]

    @property
    def new(self) -> list[bytes]:
        """The lines that take their place."""
        return [line for mark, line in self.lines if mark != "-"]

    @property
    def changed(self) -> int:
        """Added and removed lines."""
        return sum(mark != " " for mark, _ in self.lines)

    def render(self) -> Iterator[str]:
        """The hunk as text, line by line."""
        yield f"@@ -{_range(self.old_start, len(self.old))} +{_range(self.new_start, len(self.new))} @@\n"
        for mark, line in self.lines:
            yield mark + line.decode()
            if not line.endswith(b"\n"):
                yield "\n\\ No newline at end of file\n"


def _range(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start},{count}"


@dataclass(frozen=True)
class FilePatch:
    """What a patch does to one file."""

    path: str
    kind: Literal["create", "modify", "delete"]
    hunks: tuple[Hunk, ...]

    def patched(self, old: bytes | None) -> bytes | None:
        """The file after the patch; None stands for an absent file, before and after.

        Every context line must be there exactly. Raises PatchError E-PATCH-APPLY.
        """
        if self.kind == "create":
            if old is not None:
                raise misfit(self.path, "the patch creates it, but it is there already")
            return b"".join(line for hunk in self.hunks for line in hunk.new)
        if old is None:
            raise misfit(self.path, "there is no such file")
        new = self._replaced(split_lines(old))
        if self.kind == "modify":
            return new
        if new:
            raise misfit(self.path, "the patch deletes it, but not all of its lines")
        return None

    def _replaced(self, lines: Sequence[bytes]) -> bytes:
        result: list[bytes] = []
        at = shift = 0
        for number, hunk in enumerate(self.hunks, 1):
            old, said = hunk.old, max(hunk.old_start - 1, 0)
            if not old and lines:
                raise misfit(self.path, f"hunk {number} has no context line to find its place by")
            place = _find(lines, old, said + shift, at)
            if isinstance(place, str):
                raise misfit(self.path, f"hunk {number} of {len(self.hunks)}: {place}")
            result += [*lines[at:place], *hunk.new]
            at, shift = place + len(old), place - said
        result += lines[at:]
        if any(not line.endswith(b"\n") for line in result[:-1]):
            raise misfit(self.path, "a line without newline would be joined with the next one")
        return b"".join(result)

    def render(self) -> str:
        """The file's part of the patch, as git writes it."""
        old, new = quote(f"a/{self.path}"), quote(f"b/{self.path}")
        head = [f"diff --git {old} {new}\n"]
        if self.kind != "modify":
            head.append({"create": "new", "delete": "deleted"}[self.kind] + " file mode 100644\n")
        if self.hunks:
            end = "\t\n" if " " in self.path else "\n"  # else other tools cut the name at the blank
            head.append("--- /dev/null\n" if self.kind == "create" else f"--- {old}{end}")
            head.append("+++ /dev/null\n" if self.kind == "delete" else f"+++ {new}{end}")
        return "".join(head) + "".join(line for hunk in self.hunks for line in hunk.render())


def _find(lines: Sequence[bytes], old: Sequence[bytes], said: int, lowest: int) -> int | str:
    """Where ``old`` stands in ``lines``: at ``said``, else at the one place near it; or why not."""

    def fits(place: int) -> bool:
        return list(lines[place : place + len(old)]) == list(old)

    if said >= lowest and fits(said):
        return said
    first, last = max(lowest, said - MAX_OFFSET), min(len(lines) - len(old), said + MAX_OFFSET)
    places = [place for place in range(first, last + 1) if fits(place)]
    if len(places) == 1:
        return places[0]
    if places:
        return f"its context fits in {len(places)} places near line {said + 1}"
    for offset, line in enumerate(old):
        there = lines[said + offset] if said + offset < len(lines) else None
        if there != line:
            return f"line {said + offset + 1} should be {_show(line)}, but it is {_show(there)}"
    return "it overlaps the hunk before it"


def _show(line: bytes | None) -> str:
    return "past the end of the file" if line is None else repr(line[:120].decode(errors="replace"))


@dataclass(frozen=True)
class ParsedPatch:
    """A patch that keeps the rules: one entry per file, no path twice."""

    files: tuple[FilePatch, ...]

    @property
    def paths(self) -> list[str]:
        """The files that it touches, in its own order."""
        return [file.path for file in self.files]

    @property
    def changed_lines(self) -> int:
        """Added and removed lines over all files."""
        return sum(hunk.changed for file in self.files for hunk in file.hunks)

    def without(self, paths: Collection[str]) -> ParsedPatch:
        """The same patch less what it does to ``paths``."""
        return ParsedPatch(tuple(file for file in self.files if file.path not in paths))

    def render(self) -> str:
        """The patch as text, in one canonical form: equal patches give equal bytes."""
        return "".join(file.render() for file in self.files)
