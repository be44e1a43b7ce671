"""Coming back after any death: fold the log, repair the folders, sweep what the dead left."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydantic import ValidationError

from swarmd.agents.zygote import process_start
from swarmd.audit import Line, find_last, read_lines
from swarmd.bus import outbox
from swarmd.bus.drop import stamp
from swarmd.bus.inbox import request_places
from swarmd.clock import boot_id
from swarmd.council.registry import read_active
from swarmd.daemon.context import Context
from swarmd.daemon.finish import clear_workspace, publish_result
from swarmd.daemon.journal import event
from swarmd.daemon.state import State
from swarmd.daemon.sweep import sweep_stale
from swarmd.errors import AuditError, WorkspaceError
from swarmd.home import Home
from swarmd.workspace import remove_tree

__all__ = ["end_orphans", "fold", "mend", "payload"]


MAX_TOLD = 1000
"""Most things that are told one by one; the rest is only counted."""
CANARY = "canary-"
"""How the folders begin in which a sandbox is proven, in the runtime folder."""


def payload(home: Home, request_id: str, name: str) -> bytes:
    """A file of a request, active or (where it is about to be opened again) ended. Raises OSError."""
    try:
        with open(f"{home.active}/{request_id}/{name}", "rb") as file:  # noqa: PTH123 - many, at a start
            return file.read()
    except FileNotFoundError:
        folder = outbox.find_done(home, request_id)
        if folder is None:
            raise
        return (folder / name).read_bytes()


def fold(path: Path, state: State) -> int:
    """Apply to ``state`` what the log says of requests that have not ended. Returns lines read.

    Raises AuditError when a line is damaged: what it committed is then unknown.
    """
    gc.disable()  # everything that is made here stays: looking for garbage takes half of the time
    try:
        return _fold(path, state)
    finally:
        gc.enable()


def _fold(path: Path, state: State) -> int:
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
        elif number == ends.get(request_id):
            state.ending[line["request_id"]] = offset
        elif line["event"] == "request_received":
            state.taken[line["data"].get("source_id", "")] = line["request_id"]
    for request_id in state.requests:
        state.ending.pop(request_id, None)
    return len(lines)


def _lines(path: Path, offset: int) -> Iterator[tuple[Line, int]]:
    for line, end in read_lines(path, offset=offset):
        yield line, offset
        offset = end


def _fold_start(path: Path) -> int:
    """The offset in the log that its last checkpoint names; 0 when there is none."""
    found = find_last(path, "checkpoint")
    return int(found["data"]["fold_from"]) if found is not None else 0


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
    mended = [*_return_reopened(context), *await _publish_ended(context), *_sweep_workspaces(context)]
    for folder in sorted(context.home.spools.iterdir()):
        remove_tree(folder, within=context.home.spools)
        mended.append(f"removed the spool of {folder.name}")
    mended += [f"removed {name}, which was never finished" for name in sweep_stale(context.home)]
    mended += _sweep_temporary(context.home)
    mended += _drop_taken(context)
    if mended or context.state.requests:
        data = {"mended": len(mended), "active": len(context.state.requests)}
        each = (event("mended", data={"what": text}) for text in mended[:MAX_TOLD])
        await context.journal.commit(*each, event("recovered", data=data))
    return mended


def _return_reopened(context: Context) -> list[str]:
    """The folder of a request that was opened again follows it, if the last daemon did not come to it."""
    mended = []
    for request_id, request in context.state.requests.items():
        if request.reopened and (
            outbox.find_done(context.home, request_id) is not None
            or outbox.result_file(context.home, request_id).exists()
        ):
            outbox.take_back(context.home, request_id)
            mended.append(f"made {request_id}, which was opened again, active")
    return mended


async def _publish_ended(context: Context) -> list[str]:
    """Requests that ended: their result belongs into the outbox and their folder into done/. A folder
    that no line ever spoke of goes away."""
    home, mended = context.home, []
    unknown = set(os.listdir(home.active)) - context.state.requests.keys()  # noqa: PTH208 - there may be many
    for folder in (home.active / name for name in sorted(unknown)):
        result = folder / "result.json"
        if result.is_file():  # written with the line that ended it, which is why it is not active
            data = result.read_bytes()
            with contextlib.suppress(OSError):  # in the way of what follows, which says so
                outbox.reunite(home, folder.name, data)
            await publish_result(context, folder.name, data)
            mended.append(f"published the result of {folder.name}")
        else:
            remove_tree(folder, within=home.active)
            mended.append(f"removed {folder.name}, which was never committed")
    for request_id in list(context.state.ending):
        result_file = outbox.result_file(home, request_id)
        done = outbox.find_done(home, request_id)
        if done is not None and not result_file.exists():
            with contextlib.suppress(OSError):
                outbox.put(home, request_id, (done / "result.json").read_bytes())
                mended.append(f"published the result of {request_id}")
        if request_id not in context.unpublished:
            context.state.published(request_id)
    return mended


def _sweep_workspaces(context: Context) -> list[str]:
    mended = []
    for repository in sorted(context.home.workspaces.glob("*/repo.git")):
        request_id = repository.parent.name
        if request_id in context.state.requests:
            continue
        done = outbox.find_done(context.home, request_id)
        keep = done is not None and (done / "state.json").exists()
        if not keep or len(list(repository.parent.iterdir())) > 1:
            clear_workspace(context.home, request_id, keep_work=keep)
            mended.append(f"cleared the workspace of {request_id}")
    return mended


def _sweep_temporary(home: Home) -> list[str]:
    """Temporary folders of processes that were killed: a sandbox's trials in the runtime folder, and
    verifiers' in the system's, whose names bear the pid."""
    left = [(folder, home.runtime()) for folder in home.runtime().glob(f"{CANARY}*")]
    system = Path(tempfile.gettempdir())
    for folder in (*system.glob("swarmd-status-*"), *system.glob("swarmd-run-*")):
        pid = folder.name.split("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and folder.lstat().st_uid == os.getuid():
            left.append((folder, system))
    swept = []
    for folder, within in left:
        with contextlib.suppress(OSError, WorkspaceError):
            remove_tree(folder, within=within)
            swept.append(f"removed {folder}, left by a process that was killed")
    return swept


def _drop_taken(context: Context) -> list[str]:
    """Remove dropped files that were acknowledged just before the last daemon died. This cannot wait
    for their turn in the inbox: by then the request may have ended, and would be taken again."""
    taken = context.state.taken | context.state.sources
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
