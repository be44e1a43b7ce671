"""What stays of a gate run: its full output by hash, and one result for people and programs."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

from swarmd import durable

__all__ = ["Artifacts", "clean"]

MAX_ARTIFACT = 4 * 1024 * 1024
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Artifacts:
    """The folder that holds files named by the SHA-256 of their bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, data: bytes) -> str:
        """Store ``data`` (its first 4 MiB) and return its name. Storing it again changes nothing."""
        data = data[:MAX_ARTIFACT]
        name = hashlib.sha256(data).hexdigest()
        target = self._folder / name
        if not target.is_file():
            durable.make_dirs(self._folder)
            durable.write(target, data)
        return name


def clean(text: str) -> str:
    """``text`` without terminal escapes, control characters and characters that reorder or hide
    others: what untrusted code printed is going to be read by people and by models."""
    plain = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        char for char in plain if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs")
    )
