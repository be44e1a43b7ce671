"""A process that tags a project's files: ``python -m swarmd.verify.tagger``.

The parsers are C and the files untrusted, so that it is confined like an agent before it reads any: it
can read the checkout, and write what it found to the file that it was given as standard output.

stdin: one JSON document, ``{"root": folder, "files": [path, …], "require": whether it must be confined}``.
stdout: for each file one line of JSON, ``[path, tags or null]``, at once, so that of a run that ends
early all the lines count.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import sys
from pathlib import Path

import orjson

from swarmd.errors import SandboxError
from swarmd.sandbox import confine
from swarmd.workspace.tags import MAX_BYTES, language_of, tags_of
from swarmd.workspace.tags.grammar import grammar

__all__ = ["NOT_CONFINED", "main"]

MAX_OUTPUT = 64 * 1024 * 1024
MAX_MEMORY = 2 * 1024**3
CPU_SECONDS = 120
NOT_CONFINED = 3
"""Exit status when it must be confined and cannot be."""
PR_SET_PDEATHSIG = 1
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def main() -> int:
    """Tag the files that stdin names. Exit status 0, or NOT_CONFINED."""
    if sys.platform == "linux":  # a verifier that is killed takes it along
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    task = orjson.loads(sys.stdin.buffer.read())
    root, files = Path(task["root"]), list(task["files"])
    for language in {language_of(path) for path in files} - {None}:
        grammar(str(language))  # before the confinement: it need not look for modules then
    for limit, value in (
        (resource.RLIMIT_FSIZE, MAX_OUTPUT),
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
    ):
        resource.setrlimit(limit, (value, value))
    try:
        confine(read=[root], write=[])
    except SandboxError:
        if task["require"]:
            return NOT_CONFINED
    for path in files:
        text = _read(root / path)
        tags = tags_of(path, text) if text is not None else None
        line = orjson.dumps([path, tags.model_dump(mode="json") if tags else None])
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    return 0


def _read(path: Path) -> str | None:
    """The file's text; None when it is no plain file, too large, or not text."""
    try:
        fd = os.open(path, _FLAGS)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return None
        data = file.read(MAX_BYTES + 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


if __name__ == "__main__":
    raise SystemExit(main())
