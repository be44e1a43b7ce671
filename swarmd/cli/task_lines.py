"""The log lines of one request, as they come."""

from __future__ import annotations

from collections.abc import Callable

from swarmd.audit import Line
from swarmd.cli.context import Context
from swarmd.cli.lines import print_line

__all__ = ["COMPACT", "line_printer"]

COMPACT = frozenset(
    {
        "escalation",
        "needs_input",
        "plan_created",
        "privacy_blocked",
        "request_cancelling",
        "request_complete",
        "request_delivered",
        "request_failing",
        "request_received",
        "task_abort",
        "task_complete",
        "verification_fail",
        "verification_pass",
        "warrant_requested",
    }
)
"""The events that say how a request gets on."""


def line_printer(context: Context, *, compact: bool) -> Callable[[Line], None]:
    """What prints a request's lines: all but the debug ones, unless -v or --json; only those that
    say how it gets on, if ``compact``."""

    def show(line: Line) -> None:
        if compact and line.get("event") not in COMPACT:
            return
        if line.get("level") != "debug" or context.verbose or context.json:
            print_line(context, line)

    return show
