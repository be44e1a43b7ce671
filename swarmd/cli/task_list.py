"""``swarmd task list``."""

from __future__ import annotations

from typing import Any

import click

from swarmd import client
from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.output import Output, table
from swarmd.cli.progress import Progress, progress_of
from swarmd.cli.request_text import paint_state
from swarmd.client import RequestState

__all__ = ["list_"]

TEXT_WIDTH = 60


@click.command("list", cls=Command)
@pass_context
def list_(context: Context) -> None:
    """Show all requests: those that wait, are worked on, or have ended; the newest last."""
    home, output = context.existing_home(), context.output
    states = client.requests(home)
    progress = progress_of(home, [state.request_id for state in states if state.result is None])
    output.document(
        "task list",
        requests=[_as_json(state, progress.get(state.request_id, Progress())) for state in states],
    )
    rows = [_row(output, state, progress.get(state.request_id, Progress())) for state in states]
    for line in table(rows, ["ID", "STATE", "PRIORITY", "TASKS", "REQUEST"]) if rows else ["no requests yet"]:
        output.line(line)
    if not rows:
        add = context.command('task add "…" --workspace DIR')
        output.note(f"next: {add}")


def _state(state: RequestState, progress: Progress) -> str:
    return state.state if state.result else progress.state or state.state


def _row(output: Output, state: RequestState, progress: Progress) -> list[str]:
    done = str(progress)
    if state.result:
        ended = state.result.tasks
        done = f"{sum(task.status == 'succeeded' for task in ended)}/{len(ended)}" if ended else "-"
    text = state.request.user_request if state.request else state.result.summary if state.result else ""
    return [
        clean(state.request_id),
        paint_state(output, _state(state, progress)),
        state.priority or "-",
        done,
        clean(text.strip().partition("\n")[0], TEXT_WIDTH),
    ]


def _as_json(state: RequestState, progress: Progress) -> dict[str, Any]:
    return {
        "request_id": state.request_id,
        "state": _state(state, progress),
        "priority": state.priority,
        "user_request": state.request.user_request if state.request else None,
        "workspace": state.request.workspace if state.request else None,
        "received_at": state.request.received_at if state.request else None,
        "finished_at": state.result.finished_at if state.result else None,
        "branch": state.result.branch if state.result else None,
    }
