"""``swarmd bench report``."""

from __future__ import annotations

from pathlib import Path

import click

from swarmd.cli.bench_tables import show
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.errors import UsageError

__all__ = ["report"]


@click.command(cls=Command)
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="FOLDER...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--against", metavar="LABEL", help="Compare with this one only. Default: every two.")
@click.option("--markdown", is_flag=True, help="Print Markdown tables.")
@pass_context
def report(context: Context, folders: tuple[Path, ...], against: str | None, markdown: bool) -> None:
    """Show what "swarmd bench solve" found: solved, claimed, tokens, time, and paired comparisons.

    Intervals are Wilson's (of shares) and bootstrapped (of ratios), at 95 %. Seconds are those of a run
    without any cached reply; tokens and seconds of unsolved problems count.
    """
    from swarmd.bench import report as reports

    rows = reports.load(folders)
    labels = sorted({row.label for row in rows})
    if against is not None and against not in labels:
        raise UsageError(f'there are no results of "{against}"', hint=f"There are: {', '.join(labels)}.")
    show(context, "bench report", rows, against=against, markdown=markdown)
