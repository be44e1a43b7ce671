"""``swarmd task show``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from swarmd.audit.pretty import clean
from swarmd.bus import outbox
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.known import known_request
from swarmd.cli.progress import Progress, progress_of
from swarmd.cli.request_text import paint_state, progress_lines, result_lines
from swarmd.cli.task_prompt import Choice, show_prompts
from swarmd.client import RequestState
from swarmd.errors import SwarmdError, UsageError

__all__ = ["show"]


@click.command(cls=Command)
@click.argument("request_id", metavar="ID")
@click.option("--diff", is_flag=True, help="Print the patch instead.")
@click.option("--prompt", is_flag=True, help="Print what the last sample asked its model, and the reply.")
@click.option("--task", metavar="TASK", help="With --prompt: of this task, such as task-001.")
@click.option("--attempt", type=click.IntRange(min=1), help="With --prompt: of this attempt.")
@click.option("--sample", type=click.IntRange(min=1), help="With --prompt: this sample of the attempts.")
@pass_context
def show(
    context: Context,
    request_id: str,
    diff: bool,
    prompt: bool,
    task: str | None,
    attempt: int | None,
    sample: int | None,
) -> int:
    """Show one request: its tasks, their attempts and gates, what it used, and where the result is.

    With --prompt: what was asked, word by word, and what came back. --task, --attempt and --sample choose
    among the samples; all that fit are printed.

    Exit status 8 when --diff finds no patch because the request has not ended yet.
    """
    home, output = context.existing_home(), context.output
    state = known_request(home, request_id)
    folder = outbox.find_done(home, request_id)
    choice = Choice(task, attempt, sample)
    if not (prompt or choice.is_open):
        raise UsageError("--task, --attempt and --sample choose among prompts", hint="Add --prompt.")
    if prompt:
        return show_prompts(context, state, folder or home.request_folder(request_id), choice)
    if diff:
        return _show_diff(context, state, folder)
    progress = progress_of(home, [] if state.result else [request_id]).get(request_id, Progress())
    output.document(
        "task show",
        request_id=request_id,
        state=state.state if state.result else progress.state or state.state,
        request=state.request.model_dump(mode="json") if state.request else None,
        result=state.result.model_dump(mode="json") if state.result else None,
        tasks=[asdict(task) for task in progress.tasks.values()],
        folder=str(folder) if folder else None,
    )
    if state.request:
        output.line(f"{output.paint('request', 'bold')}  {clean(state.request.user_request, 300)}")
    if state.result:
        for line in result_lines(output, state.result, folder):
            output.line(line)
    else:
        output.line(f"{paint_state(output, progress.state or state.state)}  {request_id}  {progress} tasks")
        for line in progress_lines(output, list(progress.tasks.values())):
            output.line(line)
    return ExitCode.OK


def _show_diff(context: Context, state: RequestState, folder: Path | None) -> int:
    if state.result is None:
        context.output.note(f"{state.request_id} has not ended yet ({state.state})")
        return ExitCode.PENDING
    # Only the name counts: a result may have been changed by anyone who can write the outbox.
    path = folder / Path(state.result.patch).name if state.result.patch and folder else None
    if path is None or not path.is_file():
        raise SwarmdError(
            f"{state.request_id} has no patch: it {state.result.status}",
            code="E-NO-PATCH",
            hint=f'"swarmd task show {state.request_id}" says why.',
        )
    patch = path.read_bytes()
    if context.json:
        context.output.document(
            "task show", request_id=state.request_id, patch=patch.decode(errors="replace")
        )
    elif sys.stdout.isatty() or context.output.colour:
        for line in patch.decode(errors="replace").splitlines():
            context.output.line(_coloured(context, line))
    else:
        sys.stdout.buffer.write(patch)  # byte for byte, for git apply
    return ExitCode.OK


def _coloured(context: Context, line: str) -> str:
    text = clean(line.replace("\t", "    "))
    colours = {"+": "green", "-": "red", "@": "cyan"}
    is_header = line.startswith(("+++", "---"))
    return text if is_header or line[:1] not in colours else context.output.paint(text, colours[line[0]])
