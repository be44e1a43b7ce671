"""``swarmd agent list``."""

from __future__ import annotations

from typing import Any

import click

from swarmd.agents.spec import AgentType, Types, load_types
from swarmd.audit.pretty import clean
from swarmd.cli.active_agents import active_agents
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.output import table
from swarmd.council.registry import ActiveAgent

__all__ = ["list_"]


@click.command("list", cls=Command)
@pass_context
def list_(context: Context) -> int:
    """Show the agent types of this home, what is wrong with any, and the agents that live now."""
    home, output = context.existing_home(), context.output
    types = load_types(home.agents, context.settings.models)
    alive = active_agents(home)
    output.document(
        "agent list",
        types=[_as_json(agent_type) for agent_type in types.valid.values()],
        problems=[
            {"type": name, "code": error.code, "message": error.message, "hint": error.hint}
            for name, error in types.problems.items()
        ],
        alive=[agent.model_dump(mode="json") for agent in alive],
    )
    for line in _lines(types, alive):
        output.line(line)
    for error in types.problems.values():
        output.line(f"{output.paint('wrong', 'red')}  {clean(error.message)}")
    return ExitCode.FAILED if types.problems else ExitCode.OK


def _as_json(agent_type: AgentType) -> dict[str, Any]:
    return {
        "type": agent_type.name,
        **agent_type.file.model_dump(mode="json"),
        "skills": sorted(agent_type.skills),
        "sha256": agent_type.sha256,
    }


def _lines(types: Types, alive: list[ActiveAgent]) -> list[str]:
    rows = [
        [
            clean(agent_type.name),
            agent_type.role,
            agent_type.model or agent_type.file.tier or "fast",
            ",".join(agent_type.file.accepts) or "-",
            ",".join(agent_type.skills) or "-",
        ]
        for agent_type in types.valid.values()
    ]
    lines = table(rows, ["TYPE", "ROLE", "TIER/MODEL", "ACCEPTS", "SKILLS"])
    if alive:
        lines += [
            "",
            *table(
                [_alive_row(agent) for agent in alive],
                ["AGENT", "STATUS", "PID", "RSS", "CPU", "TASK", "DOING"],
            ),
        ]
    return [*lines, "", f"{len(types.valid)} types, {len(alive)} agents alive"]


def _alive_row(agent: ActiveAgent) -> list[str]:
    task = "/".join(filter(None, [agent.request_id, agent.task_id])) or "-"
    size = f"{agent.rss_bytes >> 20} MiB"
    cells = (
        agent.agent_id,
        agent.status,
        str(agent.pid),
        size,
        f"{agent.cpu_percent:.0f}%",
        task,
        agent.doing,
    )
    return [clean(cell) for cell in cells]
