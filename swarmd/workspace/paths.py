"""Which paths a proposed edit may name, and how git writes names that need quotes.

The rules are those of git itself and stricter: what is refused on any platform is refused on all,
because the branch will be checked out on machines that we do not know.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from swarmd.errors import PatchError

__all__ = ["check", "collision", "quote", "unquote"]

_FORBIDDEN = re.compile(
    # ~1: what Windows' file systems call these files for short; gi7eba, gi7d29: the same, hashed.
    r"\.git|\.gitmodules|\.gitattributes|git~\d+|gitmod~\d+|gitatt~\d+|gi7eba~\d+|gi7d29~\d+"
)
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, invisible, surrogate, line separators
_ESCAPES = {
    "a": 7,
    "b": 8,
    "t": 9,
    "n": 10,
    "v": 11,
    "f": 12,
    "r": 13,
    '"': 34,
    "\\": 92,
}


def check(path: str) -> str:
    """Return ``path`` when an edit may name it: relative, inside the project, nothing of git's.

    Raises PatchError: E-PATCH-OUTSIDE, E-PATCH-GIT, or E-PATCH-MALFORMED for names that cannot be
    shown to a person or stored everywhere.
    """
    parts = path.split("/")
    if any(_is_gits(part) for part in parts):
        raise _refuse(path, "belongs to git", "GIT")
    if any(unicodedata.category(char) in _UNSAFE for char in path):
        raise _refuse(path, "has control or invisible characters in it", "MALFORMED")
    if path.startswith("/") or "\\" in path or re.match(r"[A-Za-z]:", path):
        raise _refuse(path, "is not a path relative to the project's root", "OUTSIDE")
    if any(part in ("", ".", "..") for part in parts):
        raise _refuse(path, "has an empty, '.' or '..' component", "OUTSIDE")
    if len(path.encode()) > 1024 or any(len(part.encode()) > 255 for part in parts):
        raise _refuse(path, "is too long", "MALFORMED")
    return path


def _is_gits(component: str) -> bool:
    # Mac file systems drop invisible characters, Windows' trailing dots and spaces and ":stream".
    visible = "".join(char for char in component if unicodedata.category(char) not in _UNSAFE)
    plain = unicodedata.normalize("NFKC", visible).casefold()
    return any(
        _FORBIDDEN.fullmatch(piece.split(":")[0].rstrip(". ")) is not None for piece in plain.split("\\")
    )


def _refuse(path: str, what: str, code: str) -> PatchError:
    shown = ascii(path[:200])
    return PatchError(f"the path {shown} {what}", code=f"E-PATCH-{code}", field=path[:200])


def collision(path: str, existing: Iterable[str]) -> str | None:
    """The part of a path in ``existing`` from which ``path`` differs only in case, or in how accents
    are coded: such a pair cannot be checked out on the usual file systems of Macs and Windows.
    """
    parts = path.split("/")
    ours = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    folded = [_fold(part) for part in ours]
    for other in existing:
        theirs = _fold(other)
        for depth, (mine, fold) in enumerate(zip(ours, folded, strict=True)):
            if theirs == fold or theirs.startswith(fold + "/"):
                same = "/".join(other.split("/")[: depth + 1])
                if same != mine:
                    return same
    return None


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def quote(name: str) -> str:
    """``name`` as git writes it in a diff: in double quotes when it needs them."""
    if not re.search(r'[\x00-\x1f\x7f"\\]', name):
        return name
    back = {value: key for key, value in _ESCAPES.items()}
    return '"' + "".join(_escape(char, back) for char in name) + '"'


def _escape(char: str, back: dict[int, str]) -> str:
    if ord(char) in back:
        return "\\" + back[ord(char)]
    return f"\\{ord(char):03o}" if ord(char) < 32 or ord(char) == 127 else char


def unquote(text: str) -> tuple[str, str]:
    """Split ``text``, which begins with a double quote, into the name and what follows it.

    Raises PatchError E-PATCH-MALFORMED.
    """
    found = re.match(r'"((?:[^"\\]|\\[abtnvfr"\\]|\\[0-3][0-7]{2})*)"', text)
    if found is None:
        raise PatchError(f"the quoted name {text[:200]!a} cannot be read", code="E-PATCH-MALFORMED")
    data = bytearray()
    for piece in re.finditer(r"\\([0-3][0-7]{2})|\\(.)|([^\\]+)", found[1]):
        octal, letter, plain = piece.groups()
        data += plain.encode() if plain else bytes([int(octal, 8) if octal else _ESCAPES[letter]])
    try:
        return data.decode(), text[found.end() :]
    except UnicodeDecodeError as error:
        raise PatchError("a file name is not valid UTF-8", code="E-PATCH-MALFORMED") from error
