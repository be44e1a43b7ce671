"""Coming back after any death: fold the log, repair the folders, sweep what the dead left."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import ValidationError

from swarmd.agents.zygote import process_start
from swarmd.audit import Line, read_lines
from swarmd.bus.drop import stamp
from swarmd.bus.inbox import request_places
from swarmd.clock import boot_id
from swarmd.council.registry import read_active
from swarmd.daemon.context import Context
from swarmd.daemon.finish import clear_workspace, publish_result
from swarmd.daemon.journal import event
from swarmd.daemon.state import State
from swarmd.errors import AuditError
from swarmd.home import Home
from swarmd.workspace import remove_tree

__all__ = ["end_orphans", "fold", "mend"]

CHUNK = 1 << 20


def fold(path: Path, state: State) -> int:
    """Apply to ``state`` what the log says of requests that have not ended. Returns lines read.

    Raises AuditError when a line is damaged: what it committed is then unknown.
    """
    try:
        lines = list(_lines(path, _fold_start(path)))
    except (ValueError, KeyError) as error:
        raise AuditError(f"{path} is damaged: {error}", code="E-AUDIT-DAMAGED") from error
    # By place, not by id alone: who clears outbox/ and done/ may use an id again.
    ends = {line["request_id"]: n for n, (line, _) in enumerate(lines) if line["event"] == "request_complete"}
    lost = set()
    for number, (line, offset) in enumerate(lines):
        request_id = line.get("request_id")
        if number > ends.get(request_id, -1) and request_id not in lost:
            try:
                state.apply(line, offset)
            except (OSError, ValidationError) as error:
                lost.add(request_id)
                state.lose(line, offset, str(error))
        elif line["event"] == "request_complete":
            state.finished[line["request_id"]] = line["status"]
    return len(lines)


def _lines(path: Path, offset: int) -> Iterator[tuple[Line, int]]:
    for line, end in read_lines(path, offset=offset):
        yield line, offset
        offset = end


def _fold_start(path: Path) -> int:
    """The byte offset that the last checkpoint names; 0 when there is none."""
    mark = b'"event":"checkpoint"'
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    with path.open("rb") as file:
        end, tail = size, b""
        while end > 0:
            start = max(0, end - CHUNK)
            file.seek(start)
            block = file.read(end - start) + tail
            found = block.rfind(mark)
            first = block.find(b"\n") + 1 if start else 0
            if found >= first:
                begin = block.rfind(b"\n", 0, found) + 1
                stop = block.find(b"\n", found)
                if stop != -1:
                    return int(orjson.loads(block[begin:stop])["data"]["fold_from"])
            tail, end = block[:first], start
    return 0


def end_orphans(home: Home) -> list[str]:
    """Kill what a daemon that died left running: workers are known by pid, start time and boot id."""
    ended = []
    known = read_active(home)
    for name, agent in known.agents.items() if known else ():
        if agent.boot_id != boot_id():
            continue
        with contextlib.suppress(OSError):
            if process_start(agent.pid) == agent.start_ticks:
                os.kill(agent.pid, signal.SIGKILL)
                ended.append(name)
    return ended


async def mend(context: Context) -> list[str]:
    """Repair the folders, which are views of the log, and say what was mended."""
    mended = []
    home = context.home
    for folder in sorted(home.active.iterdir()):
        if folder.name in context.state.requests:
            continue
        result = folder / "result.json"
        if result.is_file():  # written with the line that ended it, which is why it is not active
            await publish_result(context, folder.name, result.read_bytes())
            mended.append(f"published the result of {folder.name}")
        else:
            remove_tree(folder, within=home.active)
            mended.append(f"removed {folder.name}, which was never committed")
    for repository in sorted(home.workspaces.glob("*/repo.git")):
        if repository.parent.name not in context.state.requests:
            clear_workspace(home, repository.parent.name)
            mended.append(f"removed the workspace of {repository.parent.name}")
    for folder in sorted(home.spools.iterdir()):
        remove_tree(folder, within=home.spools)
        mended.append(f"removed the spool of {folder.name}")
    mended += _drop_taken(context)
    if mended or context.state.requests:
        data = {"mended": mended[:50], "active": sorted(context.state.requests)[:100]}
        await context.journal.commit(event("recovered", data=data))
    return mended


def _drop_taken(context: Context) -> list[str]:
    """Remove dropped files that were acknowledged just before the last daemon died. This cannot wait
    for their turn in the inbox: by then the request may have ended, and would be taken again."""
    taken = {r.request.source_id: name for name, r in context.state.requests.items() if r.request.source_id}
    dropped = []
    for place in request_places(context.home) if taken else ():
        with contextlib.suppress(OSError), os.scandir(place.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    request_id = taken.get(stamp(entry.stat(follow_symlinks=False)).source_id)
                    if request_id is not None and entry.is_file(follow_symlinks=False):
                        Path(entry.path).unlink()
                        dropped.append(f"removed the dropped file of {request_id}, which was taken")
    return dropped
