"""Where in a log the lines of a time begin."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from swarmd.audit import read_back
from swarmd.cli.log_filter import LogFilter

__all__ = ["CLOCK_SLACK", "offset_since"]

CLOCK_SLACK = timedelta(hours=1)
"""Lines stand in the order in which they happened; their times may not, where the wall clock was set."""


def offset_since(path: Path, since: datetime) -> int:
    """The offset from which on the log has to be read for all lines from ``since`` on. It is looked for from
    the end: most of a long log is older. Raises what ``read_back`` raises."""
    may_be_wanted = LogFilter(since=since - CLOCK_SLACK)
    return next((end for line, end in read_back(path) if not may_be_wanted(line)), 0)
