"""``swarmd task add``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson

from swarmd import client
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.request_text import exit_code, result_lines
from swarmd.cli.task_lines import line_printer
from swarmd.errors import RequestError, UsageError
from swarmd.messages import KINDS, PRIORITIES, Priority

__all__ = ["add"]

MAX_BYTES = 1 << 20


@click.command(cls=Command)
@click.argument("text", metavar="TEXT|-", required=False)
@click.option(
    "-f",
    "--from",
    "source",
    type=click.File("rb"),
    metavar="FILE",
    help="Take the request, as JSON, from FILE.",
)
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The git repository to work on. Default: a new project under workspaces/.",
)
@click.option("--kind", type=click.Choice(KINDS), help="What sort of work it is. Default: auto.")
@click.option(
    "--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True, help="How urgent it is."
)
@click.option("--id", "request_id", metavar="ID", help="Name of the result and of the branch swarm/ID.")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="A file to change, relative to the repository. May be repeated.",
)
@click.option("--wait", is_flag=True, help="Wait for the result, show it, and exit 0 only if it succeeded.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With --wait: exit 124 after so long."
)
@pass_context
def add(
    context: Context,
    /,
    text: str | None,
    source: BinaryIO | None,
    priority: Priority,
    wait: bool,
    timeout: float | None,
    **fields: Any,
) -> int:
    """Give a request to the crew: TEXT, or with "-" what stands on standard input.

    Prints the request's id. Without a daemon the request waits in bus/inbox/.
    """
    home, output = context.existing_home(), context.output
    request = _request(text, source, fields)
    if wait:
        from swarmd.cli.waiting import require_daemon

        require_daemon(home)
    request_id = client.submit(home, request, priority)
    if wait:
        return _wait(context, request_id, timeout)
    output.document("task add", request_id=request_id, priority=priority)
    output.line(request_id)
    if "workspace" not in request:
        output.note("it starts a new project; --workspace DIR would change the repository in DIR")
    output.note(f"next: {context.command(f'task watch {request_id}')}")
    return ExitCode.OK


def _request(text: str | None, source: BinaryIO | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The request's fields, as given; ``client.submit`` checks them."""
    if (text is None) == (source is None):
        raise UsageError(
            "give either TEXT (or -) or -f FILE", hint='For example: swarmd task add "Fix the tests"'
        )
    request = _parse(source) if source is not None else {"user_request": _text(text or "")}
    given = {key: value for key, value in fields.items() if value not in (None, ())}
    if "workspace" in given:
        given["workspace"] = str(given["workspace"].resolve())
    if "files" in given:
        given["files"] = list(given["files"])
    return {**request, **given}


def _text(text: str) -> str:
    if text == "-":
        text = sys.stdin.buffer.read(MAX_BYTES).decode("utf-8", errors="replace")
    if not text.strip():
        raise UsageError("the request is empty", hint='Say what is wanted: swarmd task add "Fix the tests"')
    return text.strip()


def _parse(source: BinaryIO) -> dict[str, Any]:
    try:
        request = orjson.loads(source.read(MAX_BYTES))
    except orjson.JSONDecodeError as error:
        raise RequestError(f"{source.name} is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise RequestError(f"{source.name} holds no JSON object")
    return request


def _wait(context: Context, request_id: str, timeout: float | None) -> int:
    from swarmd.bus import outbox
    from swarmd.cli.waiting import wait

    home, output = context.home, context.output
    output.note(f"request {request_id}")
    show = line_printer(context, compact=False)
    result = wait(home, request_id, timeout, (lambda line: None) if context.json or context.quiet else show)
    output.document("task add", request_id=request_id, result=result.model_dump(mode="json"))
    for line in result_lines(output, result, outbox.find_done(home, request_id)):
        output.line(line)
    return exit_code(result)
