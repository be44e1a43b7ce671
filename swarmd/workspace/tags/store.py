"""A project's tags on disk: beside a request's survey, and in a cache by blob for the next request.

The cache has one file per workspace with the tags of the blobs of its last survey, so that it cannot
grow beyond a project, and the files of the workspaces that were used last.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from swarmd import durable
from swarmd.messages import Message, dump, load
from swarmd.workspace.tags.model import ProjectTags, Tags

__all__ = ["FILE_NAME", "TagCache", "load_tags", "save_tags", "trimmed"]

FILE_NAME = "tags.json"
"""Its name in a request's folder."""
MAX_FILE = 16 * 1024 * 1024
"""Longest file of tags that is read, in bytes."""
MAX_DEFINITIONS = 20_000
"""Most definitions of one project."""
MAX_WORKSPACES = 32
"""Most workspaces in the cache."""
EDITION = 1
"""Goes up when the same text would get other tags than before."""


class _Blobs(Message):
    """A file of the cache."""

    edition: int
    blobs: dict[str, Tags] = Field(default_factory=dict)


class TagCache:
    """Tags of blobs, for one workspace. Whatever goes wrong with it only costs time."""

    def __init__(self, folder: Path, workspace: str) -> None:
        """``folder``: the cache's; it need not exist yet."""
        self._folder = folder
        self._path = folder / f"{hashlib.sha256(workspace.encode('utf-8', 'replace')).hexdigest()[:16]}.json"

    def load(self) -> dict[str, Tags]:
        """The known tags, by language and blob id; none when there is no usable file."""
        try:
            found = load(_Blobs, durable.read_regular(self._path, MAX_FILE))
        except (OSError, ValidationError):
            return {}
        return found.blobs if found.edition == EDITION else {}

    def save(self, blobs: Mapping[str, Tags]) -> None:
        """Keep ``blobs`` instead; the files of workspaces that were not used for long go."""
        data = dump(_Blobs(edition=EDITION, blobs=dict(blobs)))
        if len(data) > MAX_FILE:
            return
        with contextlib.suppress(OSError):
            durable.make_dirs(self._folder)
            durable.write(self._path, data, durable=False)
            files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in files[:-MAX_WORKSPACES]:
                path.unlink(missing_ok=True)


def trimmed(files: Mapping[str, Tags], order: Iterable[str]) -> dict[str, Tags]:
    """``files`` in ``order``, as far as MAX_DEFINITIONS goes, without mentions of what none defines."""
    kept: dict[str, Tags] = {}
    room = MAX_DEFINITIONS
    for path in order:
        if path in files and len(files[path].definitions) <= room:
            kept[path] = files[path]
            room -= len(files[path].definitions)
    names = {one.name for tags in kept.values() for one in tags.definitions}
    return {path: _only(tags, names) for path, tags in kept.items()}


def _only(tags: Tags, names: Collection[str]) -> Tags:
    wanted = {name: count for name, count in tags.references.items() if name in names}
    return tags.model_copy(update={"references": wanted})


def save_tags(folder: Path, tags: ProjectTags) -> None:
    """Write ``tags`` into a request's folder, unless they are too many. Raises OSError."""
    data = dump(tags)
    if len(data) <= MAX_FILE:
        durable.write(folder / FILE_NAME, data, durable=False)


def load_tags(folder: Path) -> ProjectTags:
    """The tags in a request's folder; none when there is no usable file."""
    try:
        return load(ProjectTags, durable.read_regular(folder / FILE_NAME, MAX_FILE))
    except (OSError, ValidationError):
        return ProjectTags()
