"""``swarmd model list``."""

from __future__ import annotations

from typing import Any

import click

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.model_names import TIERS, model_named
from swarmd.cli.output import table
from swarmd.config import Settings
from swarmd.models.store import Entry, Store, default_folder

__all__ = ["list_"]

COLOURS = {"ready": "green", "partial": "yellow", "absent": "dim"}


@click.command("list", cls=Command)
@pass_context
def list_(context: Context) -> None:
    """Show which model serves which tier, and the weights of the catalogue. Nothing is asked."""
    settings, output = context.settings, context.output
    folder = default_folder(settings, context.env)
    entries = Store(folder).list()
    tiers = [_tier(settings, tier) for tier in TIERS]
    output.document(
        "model list",
        tiers=tiers,
        models={name: model.model_dump(mode="json") for name, model in settings.models.items()},
        folder=str(folder),
        weights=[_as_json(entry) for entry in entries],
    )
    rows = [[str(tier[key] or "-") for key in ("tier", "model", "provider", "weights")] for tier in tiers]
    for line in table(
        [[clean(cell) for cell in row] for row in rows], ["TIER", "MODEL", "PROVIDER", "WEIGHTS"]
    ):
        output.line(line)
    output.line()
    for line in table([_row(context, entry) for entry in entries], ["WEIGHTS", "SIZE", "STATE", "LICENCE"]):
        output.line(line)
    output.note(f"weights lie in {folder}")


def _tier(settings: Settings, tier: str) -> dict[str, Any]:
    name = model_named(settings, tier)
    model = settings.models[name]
    return {
        "tier": tier,
        "model": name,
        "provider": model.provider,
        "weights": model.weights,
        "name": model.name,
    }


def _row(context: Context, entry: Entry) -> list[str]:
    size = f"{entry.weights.bytes / 1e6:,.0f} MB"
    state = f"{entry.have * 100 // entry.weights.bytes}% here" if entry.state == "partial" else entry.state
    return [
        entry.weights.name,
        size,
        context.output.paint(state, COLOURS[entry.state]),
        entry.weights.licence,
    ]


def _as_json(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.weights.name,
        "title": entry.weights.title,
        "bytes": entry.weights.bytes,
        "sha256": entry.weights.sha256,
        "licence": entry.weights.licence,
        "state": entry.state,
        "have": entry.have,
        "path": str(entry.path),
    }
