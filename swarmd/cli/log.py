"""``swarmd log``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import orjson

from swarmd.audit import Follower, Line, follow, read_back
from swarmd.audit.pretty import LEVELS
from swarmd.audit.segments import ARCHIVE
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.lines import print_line
from swarmd.cli.log_filter import LogFilter, moment
from swarmd.errors import AuditError, UsageError

__all__ = ["log"]

FOLLOW_TAIL = 10
"""Lines that -f shows first, unless --tail or --since says otherwise."""

CLOCK_SLACK = timedelta(hours=1)
"""Lines stand in the order in which they happened; their times may not, where the wall clock was set."""


@click.command(cls=Command)
@click.option("-f", "--follow", "keep_on", is_flag=True, help="Wait for new lines; Ctrl-C ends it.")
@click.option("--task", metavar="ID", help="Lines of a request, or of one task: ID/task-001.")
@click.option("--agent", metavar="NAME", help="Lines of an agent (coding.1) or of a type (coding).")
@click.option("--level", type=click.Choice(LEVELS), help="The least level. Default: info; with -v: debug.")
@click.option("--since", metavar="TIME", help="Lines not older: 90s, 10m, 2h, 1d, or a date and time.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N of those lines.")
@click.option(
    "--log",
    "name",
    default="master",
    metavar="NAME",
    help="Which log: master (default), models, agents/coding.",
)
@pass_context
def log(
    context: Context,
    keep_on: bool,
    task: str | None,
    agent: str | None,
    level: str | None,
    since: str | None,
    tail: int | None,
    name: str,
) -> None:
    """Show the log: one line per event. With --json, the log's own lines."""
    path = _path(context, name)
    level = level or ("debug" if context.verbose or context.json else "info")
    wanted = LogFilter(task, agent, level, moment(since, datetime.now(UTC)) if since else None)
    if tail is None and keep_on and not since:
        tail = FOLLOW_TAIL
    try:
        so_far = Follower(path, _start(path, wanted, tail))
        for line in so_far.new():
            if wanted(line):
                print_line(context, line)
        if keep_on:
            for line in follow(path, offset=so_far.offset):
                if wanted(line):
                    print_line(context, line)
    except orjson.JSONDecodeError as error:
        raise AuditError(f"{path} holds a line that is not JSON: {error}") from error


def _start(path: Path, wanted: LogFilter, tail: int | None) -> int:
    """The offset from which on the log has to be read, which may be long: it is looked for from the end."""
    if tail is None and wanted.since is None:
        return 0
    found = 0
    for line, end in read_back(path):
        if found == tail or (wanted.since and not _may_be_since(line, wanted.since - CLOCK_SLACK)):
            return end
        found += wanted(line)
    return 0


def _may_be_since(line: Line, since: datetime) -> bool:
    return LogFilter(since=since)(line)


def _path(context: Context, name: str) -> Path:
    logs = context.existing_home().logs
    files = (path.relative_to(logs) for path in logs.rglob("*.jsonl"))
    known = sorted(path.with_suffix("").as_posix() for path in files if path.parent.name != ARCHIVE)
    name = name.removesuffix(".jsonl")
    if name not in known and name != "master":
        raise UsageError(f"there is no log {name!r}", hint=f"There are: {', '.join(known) or 'none yet'}.")
    return logs / f"{name}.jsonl"
