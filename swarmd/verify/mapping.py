"""Tags the base commit's files for the request's agents, and remembers them for the next request."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import orjson
from pydantic import ValidationError

from swarmd.verify.bench import Bench
from swarmd.verify.protect import is_test_file
from swarmd.verify.tagger import NOT_CONFINED
from swarmd.workspace import PrivateRepo
from swarmd.workspace.tags import ProjectTags, Tags, language_of
from swarmd.workspace.tags.store import TagCache, save_tags, trimmed
from swarmd.workspace.tree import entries

__all__ = ["map_project", "run_tagger"]

MAX_FILES = 3_000
"""Most files that are tagged, those of the tests last."""
SECONDS = 60.0
"""Longest time for the files that the cache does not know."""
MAX_RESTARTS = 3
"""How often tagging goes on behind a file that ended it."""
WAIT_S = 0.2
MAX_LINE = 1024 * 1024


def map_project(bench: Bench, repo: PrivateRepo, commit: str, checkout: Path, workspace: Path) -> None:
    """Write the tags of ``commit``, whose untouched files are in ``checkout``, beside the survey.

    They only make prompts better: whatever goes wrong leaves files without tags, and raises nothing but
    OSError when the disk does not take what was found.
    """
    found = entries(repo.git, commit)
    known = [path for path, entry in found.items() if entry.regular and path.isprintable()]
    paths = sorted((path for path in known if language_of(path)), key=lambda path: (is_test_file(path), path))
    if len([path for path in paths if not is_test_file(path)]) < 2:
        return  # the one file is shown anyway
    keys = {path: f"{language_of(path)}:{found[path].oid}" for path in paths[:MAX_FILES]}
    cache = TagCache(bench.shop.home.cache / "tags", str(workspace))
    cached = cache.load()
    missing = [path for path, key in keys.items() if key not in cached]
    if missing:
        require = bench.shop.settings.sandbox.agents == "require"
        made = run_tagger(checkout, missing, require=require, on_wait=bench.shop.on_wait)
        cached |= {keys[path]: tags for path, tags in made.items()}
        cache.save({key: cached[key] for key in dict.fromkeys(keys.values()) if key in cached})
    tagged = {path: cached[key] for path, key in keys.items() if key in cached}
    files = trimmed(tagged, paths)
    save_tags(bench.folder, ProjectTags(files=files, skipped=len(paths) - len(files)))


def run_tagger(
    root: Path, paths: Sequence[str], *, require: bool, on_wait: Callable[[], None], seconds: float = SECONDS
) -> dict[str, Tags]:
    """The tags of ``paths`` below ``root``, made by a confined process. Files that cannot be tagged get
    none; when the process dies of one, it goes on behind it. ``require``: not without confinement."""
    found: dict[str, Tags] = {}
    left, end = list(paths), time.monotonic() + seconds
    for _ in range(MAX_RESTARTS):
        seen, code = _run(root, left, require, on_wait, end)
        found |= {path: tags for path, tags in zip(left, seen, strict=False) if tags is not None}
        left = left[len(seen) + 1 :]  # the next one has ended it
        if code in (0, NOT_CONFINED) or not left or time.monotonic() >= end:
            break
    return found


def _run(
    root: Path, paths: Sequence[str], require: bool, on_wait: Callable[[], None], end: float
) -> tuple[list[Tags | None], int]:
    """What one process says of the first of ``paths``, and its exit status."""
    task = orjson.dumps({"root": str(root), "files": list(paths), "require": require})
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        told.write(task)
        told.seek(0)
        argv = [sys.executable, "-P", "-B", "-m", "swarmd.verify.tagger"]
        process = subprocess.Popen(argv, stdin=told, stdout=said, stderr=subprocess.DEVNULL)
        try:
            _wait(process, on_wait, end)
        finally:
            process.kill()
            code = process.wait()
        said.seek(0)
        return _parse(said, paths), code


def _wait(process: subprocess.Popen[bytes], on_wait: Callable[[], None], end: float) -> None:
    while time.monotonic() < end:
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            on_wait()
        else:
            return


def _parse(said: IO[bytes], paths: Sequence[str]) -> list[Tags | None]:
    """The lines, as long as they speak of ``paths`` one after the other: their writer is not trusted."""
    found: list[Tags | None] = []
    for path in paths:
        line = said.readline(MAX_LINE)
        try:
            spoken, tags = orjson.loads(line)
            if spoken != path:
                break
            found.append(None if tags is None else Tags.model_validate(tags))
        except (ValueError, TypeError, ValidationError):
            break
    return found
