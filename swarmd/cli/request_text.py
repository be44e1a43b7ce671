"""A request and its result, for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from swarmd.audit.pretty import clean
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.output import Output, table
from swarmd.cli.progress import TaskProgress
from swarmd.messages import GateResult, Result, TaskResult

__all__ = ["exit_code", "paint_state", "progress_lines", "result_lines"]

STATE_COLOURS = {
    "succeeded": "green",
    "unconfirmed": "yellow",
    "failed": "red",
    "rejected": "red",
    "failing": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "skipped": "yellow",
    "running": "cyan",
    "verifying": "cyan",
    "planning": "cyan",
}


def exit_code(result: Result) -> ExitCode:
    """What a command that has waited for ``result`` exits with."""
    if result.status == "succeeded":
        return ExitCode.OK
    needs_human = result.warrants or result.status == "unconfirmed"
    return ExitCode.NEEDS_HUMAN if needs_human else ExitCode.FAILED


def paint_state(output: Output, state: str) -> str:
    """A state in its colour."""
    return output.paint(clean(state), STATE_COLOURS[state]) if state in STATE_COLOURS else clean(state)


def progress_lines(output: Output, tasks: Sequence[TaskProgress]) -> list[str]:
    """The tasks of an active request."""
    rows = []
    for task in tasks:
        tier = f"{task.tier} attempt {task.attempt}" if task.attempt else task.tier
        cells = (
            task.task_id,
            task.agent_type,
            paint_state(output, task.status),
            tier,
            task.agent_id,
            task.action,
        )
        rows.append([cell if cell.startswith("\x1b") else clean(cell, 70) for cell in cells])
    return [f"  {line}" for line in table(rows)]


def result_lines(output: Output, result: Result, folder: Path | None) -> Iterator[str]:
    """Everything about ``result``; ``folder`` is where its files lie."""
    yield f"{paint_state(output, result.status)}  {result.request_id}  {result.seconds:.1f} s"
    yield from (f"  {line}" for line in _paragraph(result.summary))
    if result.error:
        yield f"  {output.paint(f'error[{clean(result.error.code)}]:', 'red')} {clean(result.error.message)}"
        if result.error.hint:
            yield f"  hint: {clean(result.error.hint)}"
    yield ""
    yield from (f"  {line}" for line in table(list(_facts(result, folder))))
    yield from (f"  {line}" for line in table([_task_row(output, task) for task in result.tasks]))
    for name, texts in (("warning", result.warnings), ("not verified", result.not_verified)):
        yield from (f"  {output.paint(f'{name}:', 'yellow')} {clean(text)}" for text in texts)
    for warrant in result.warrants:
        yield f"  {output.paint('waits for you:', 'magenta')} council/warrants/pending/{clean(warrant)}.json"
    yield from (f"  next: {command}" for command in _next(result))


def _facts(result: Result, folder: Path | None) -> Iterator[list[str]]:
    if result.branch:
        yield ["branch", f"{clean(result.branch)} in {clean(result.workspace or '?')}"]
    if result.commit:
        yield ["commit", f"{clean(result.commit)} on {clean(result.base_commit or '?')}"]
    if result.patch and folder:
        yield ["patch", clean(str(folder / result.patch))]
    if result.plan_origin:
        yield ["plan", clean(result.plan_origin)]
    local, cloud = result.tokens.get("local", 0), result.tokens.get("cloud", 0)
    cost = sum(result.cost_micro_usd.values()) / 1_000_000
    yield ["tokens", f"{local:,} local, {cloud:,} cloud; {cost:.4f} USD"]


def _task_row(output: Output, task: TaskResult) -> list[str]:
    gates = ", ".join(_gate(gate) for gate in task.gates)
    return [
        task.task_id,
        clean(task.agent_type),
        paint_state(output, task.status),
        f"{task.tier}, {task.attempts} attempts, {task.samples} samples",
        gates or clean(task.reason, 100),
    ]


def _gate(gate: GateResult) -> str:
    counts = gate.counts
    judged = counts.passed + counts.failed + counts.errors
    count = f" {counts.passed}/{judged}" if judged else ""
    return f"{clean(gate.gate)}{count} {'ok' if gate.ok else 'FAIL'} ({clean(gate.sandbox_level)})"


def _next(result: Result) -> Iterator[str]:
    if result.branch and result.workspace and result.base_commit:
        where = shlex.quote(clean(result.workspace))
        yield f"git -C {where} diff {clean(result.base_commit)[:12]}..{shlex.quote(clean(result.branch))}"
    elif result.status != "succeeded":
        yield f"swarmd log --task {result.request_id}"


def _paragraph(text: str) -> list[str]:
    return [clean(line, 200) for line in text.strip().splitlines()[:20]]
