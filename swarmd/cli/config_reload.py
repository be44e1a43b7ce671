"""``swarmd config reload``."""

from __future__ import annotations

from typing import Any

import click

from swarmd import client
from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.waiting import ORDER_TIMEOUT
from swarmd.messages import Command as Order

__all__ = ["reload"]


@click.command(cls=Command)
@ORDER_TIMEOUT
@pass_context
def reload(context: Context, timeout: float) -> int:
    """Have the daemon read swarmd.toml and agents/ again. What is wrong there changes nothing.

    Exit status 1 when an agent type is broken: the others are in use.
    """
    home, output = context.existing_home(), context.output
    _ = context.settings  # what is wrong in the file is told here, before anybody is asked
    line = client.tell(home, Order(command="reload"), timeout) or {}
    data = line["data"] if isinstance(line.get("data"), dict) else {}
    found = {name: _texts(data, name) for name in ("changed", "types", "broken", "after_restart")}
    output.document("config reload", **found)
    output.line(f"the daemon uses {home.settings_file} and {home.agents} as they are now")
    output.line(f"changed: {', '.join(found['changed']) or 'nothing'}")
    if found["after_restart"]:
        output.line(f"only after a restart: {', '.join(found['after_restart'])}")
    if found["broken"]:
        output.line(f"broken agent types: {', '.join(found['broken'])}")
        output.note(f"next: {context.command('agent list')}")
    return ExitCode.FAILED if found["broken"] else ExitCode.OK


def _texts(data: dict[str, Any], name: str) -> list[str]:
    values = data.get(name)
    return [clean(str(value)) for value in values] if isinstance(values, list) else []
