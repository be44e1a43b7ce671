"""``swarmd status``."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import click

from swarmd import client
from swarmd.bus import deadletter
from swarmd.cli.active_agents import active_agents
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.output import table
from swarmd.cli.progress import progress_of
from swarmd.cli.request_text import paint_state
from swarmd.daemon import presence
from swarmd.daemon.presence import Presence
from swarmd.home import Home

__all__ = ["status"]


@click.command(cls=Command)
@pass_context
def status(context: Context) -> int:
    """Show whether the daemon runs, what it works on, and what waits.

    Exit status 3 when no daemon runs.
    """
    home, output = context.existing_home(), context.output
    running = presence.read(home)
    states = client.requests(home)
    counts = Counter(state.state for state in states)
    active = {
        state.request_id: state for state in states if state.result is None and state.state != "waiting"
    }
    progress = progress_of(home, list(active))
    agents = active_agents(home)
    waiting = {priority: _waiting(states, priority) for priority in ("critical", "high", "normal", "low")}
    dead, warrants = len(deadletter.listing(home)), _pending_warrants(home)
    output.document(
        "status",
        home=str(home.root),
        daemon=running.model_dump(mode="json") if running else None,
        waiting=waiting,
        active=[
            {"request_id": name, "state": progress[name].state or state.state}
            for name, state in active.items()
        ],
        agents=[agent.model_dump(mode="json") for agent in agents],
        ended={name: counts[name] for name in ("succeeded", "failed", "cancelled", "rejected")},
        dead_letters=dead,
        warrants=warrants,
    )
    rows = [
        ["daemon", _daemon_text(running) if running else output.paint("does not run", "yellow")],
        ["home", str(home.root)],
        ["waiting", ", ".join(f"{count} {name}" for name, count in waiting.items() if count) or "0"],
        *(
            ["active", f"{name}  {paint_state(output, progress[name].state)}  {progress[name]} tasks"]
            for name in active
        ),
        ["agents", ", ".join(f"{agent.agent_id} {agent.status}" for agent in agents) or "0"],
        [
            "ended",
            f"{counts['succeeded']} succeeded, {counts['failed']} failed, {counts['cancelled']} cancelled",
        ],
    ]
    rows += [["warrants", f"{len(warrants)} wait for you in council/warrants/pending/"]] if warrants else []
    rows += [["dead", f'{dead} files could not be taken: "swarmd bus dead"']] if dead else []
    for line in table(rows):
        output.line(line)
    if not running:
        output.note(f"next: {context.command('up -d')}")
    return ExitCode.OK if running else ExitCode.DAEMON_DOWN


def _waiting(states: list[client.RequestState], priority: str) -> int:
    return sum(state.state == "waiting" and state.priority == priority for state in states)


def _pending_warrants(home: Home) -> list[str]:
    return sorted(path.stem for path in (home.warrants / "pending").glob("*.json"))


def _daemon_text(running: Presence) -> str:
    since = datetime.now(UTC) - datetime.fromisoformat(running.started_at)
    minutes = int(since.total_seconds()) // 60
    return f"runs (pid {running.pid}, for {minutes // 60} h {minutes % 60} min, version {running.version})"
