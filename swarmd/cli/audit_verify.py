"""``swarmd audit verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from swarmd.audit import verify as check
from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.output import table
from swarmd.errors import AuditError

__all__ = ["verify"]


@click.command(cls=Command)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, exists=True))
@pass_context
def verify(context: Context, folder: Path | None) -> int:
    """Check that no log line was changed, removed, moved or inserted, and no log cut short.

    DIR is a copy of a home, or of its logs folder; default: the home. The same check without
    swarmd installed: python verify.py DIR, with the one file swarmd/audit/verify.py.
    Archived segments are checked too; where the oldest were moved away, the lines that are
    not present are named, and that is no fault.

    \b
    Exit status:  0  every log holds
                  1  a chain does not hold
                  2  a log was cut short
                  4  a log ends in a torn line, as a crash leaves it
    """
    root = folder or context.existing_home().root
    try:
        report = check.verify(root)
    except OSError as error:
        raise AuditError(f"a log cannot be read: {error}", hint="Check the permissions of logs/.") from error
    output = context.output
    output.document(
        "audit verify",
        root=str(root),
        ok=report.exit_code == 0,
        logs=[asdict(log) for log in report.logs],
        warnings=list(report.warnings),
    )
    for line in table([_row(log, context) for log in report.logs]):
        output.line(line)
    if not report.logs:
        output.line("there is no log yet")
    for warning in report.warnings:
        output.note(f"warning: {clean(warning)}")
    return report.exit_code


def _row(log: check.LogReport, context: Context) -> list[str]:
    colour = {"ok": "green", "torn": "yellow"}.get(log.status, "red")
    word = context.output.paint(log.status if log.status == "ok" else log.status.upper(), colour)
    lines = f"{log.lines} lines hold" + (f", anchored to {log.anchored}" if log.anchored else "")
    lines += f", 1 to {log.absent} are not present" if log.absent else ""
    where = f"line {log.line}: {clean(log.detail)}" if log.line else ""
    return [word, clean(log.log), lines, where]
