"""``swarmd status``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.output import Output, table
from swarmd.cli.service_files import Installed, find
from swarmd.cli.status_facts import Facts, gather

__all__ = ["status"]

STALE_S = 60.0
"""A daemon says how it is far more often than this."""
RESULTS_SHOWN = 3
LOW_MIB = 512
COLOURS = {
    "succeeded": "green",
    "unconfirmed": "yellow",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
}


@click.command(cls=Command)
@pass_context
def status(context: Context) -> int:
    """Show whether the daemon runs, what it works on, and what waits. Asks nobody: files say it all.

    Exit status 3 when no daemon runs.
    """
    home, output = context.existing_home(), context.output
    facts = gather(home)
    service = find(home, context.env)
    output.document(
        "status",
        home=str(home.root),
        daemon=facts.daemon.document() if facts.daemon else None,
        live=asdict(facts.live) if facts.live else None,
        waiting=facts.waiting,
        active=[{"request_id": name, "state": state} for name, state in facts.active_shown],
        active_count=facts.active,
        agents=facts.agents,
        results=facts.results,
        last_results=facts.last_results,
        dead_letters=facts.dead_letters,
        warrants=facts.warrants,
        free_mib=facts.free_mib,
        service=_service_document(service, facts),
    )
    rows = [["daemon", _daemon(output, facts)], ["home", clean(str(home.root))], *_rows(output, facts)]
    rows += [["service", _service_text(service, facts)]]
    for line in table(rows):
        output.line(line)
    if not facts.daemon:
        output.note(
            f"next: {service.start_command if service and service.enabled else context.command('up -d')}"
        )
    return ExitCode.OK if facts.daemon else ExitCode.DAEMON_DOWN


def _rows(output: Output, facts: Facts) -> Iterator[list[str]]:
    live = facts.live
    if live:
        yield ["durability", clean(live.durability)]
        if live.paused:
            yield ["paused", output.paint("yes: it takes nothing new until it is resumed", "yellow")]
        if live.intake not in ("open", "full"):  # full: as many are active as may be
            yield ["intake", output.paint(f"stopped: {clean(live.intake, 200)}", "yellow")]
        if live.waiting_for_space:
            yield ["stands", output.paint("the disk is full: it waits for room and goes on by itself", "red")]
        if live.stale_s > STALE_S:
            yield ["silent", output.paint(f"it has not said anything for {live.stale_s:.0f} s", "red")]
    waiting = ", ".join(f"{count} {name}" for name, count in facts.waiting.items() if count)
    yield ["waiting", waiting or "0"]
    yield ["active", str(facts.active)]
    for name, state in facts.active_shown:
        yield ["", f"{clean(name, 64)}  {output.paint(state, 'cyan')}"]
    if facts.active > len(facts.active_shown):
        yield ["", f'… {facts.active - len(facts.active_shown)} more: "swarmd task list"']
    yield ["agents", _agents_text(facts.agents)]
    yield ["results", str(facts.results)]
    for result in facts.last_results[:RESULTS_SHOWN]:
        yield ["", _result_text(output, result)]
    if facts.free_mib is not None and facts.free_mib < LOW_MIB:
        yield ["disk", output.paint(f"{facts.free_mib} MiB are free", "yellow")]
    if facts.warrants:
        yield ["warrants", f"{len(facts.warrants)} wait for you in council/warrants/pending/"]
    if facts.dead_letters:
        yield ["dead", f'{facts.dead_letters} files could not be taken: "swarmd bus dead"']


def _daemon(output: Output, facts: Facts) -> str:
    running = facts.daemon
    if running is None:
        return output.paint("does not run", "yellow")
    try:
        since = datetime.now(UTC) - datetime.fromisoformat(running.started_at)
    except (ValueError, TypeError):
        return f"runs (pid {running.pid})"
    minutes = max(0, int(since.total_seconds())) // 60
    lasted = f"for {minutes // 60} h {minutes % 60} min, since {clean(running.started_at, 40)}"
    return f"runs (pid {running.pid}, {lasted}, version {clean(running.version, 40)})"


def _agents_text(agents: list[dict[str, Any]]) -> str:
    words = [f"{agent['agent_id']} {agent.get('status', '')}" for agent in agents]
    return clean(", ".join(words), 400) or "0"


def _result_text(output: Output, result: dict[str, Any]) -> str:
    state = clean(str(result["status"]), 20)
    painted = output.paint(state, COLOURS[state]) if state in COLOURS else state
    return f"{clean(str(result['at']), 30)}  {painted}  {clean(str(result['request_id']), 64)}"


def _service_document(service: Installed | None, facts: Facts) -> dict[str, Any] | None:
    return {**service.document(), "runs_daemon": _runs(service, facts)} if service else None


def _service_text(service: Installed | None, facts: Facts) -> str:
    if service is None:
        return 'not installed: "swarmd service install"'
    begins = "starts by itself" if service.enabled else "does not start by itself"
    runs = ", the daemon runs under it" if _runs(service, facts) else ""
    return f"{service.label} ({begins}{runs})"


def _runs(service: Installed, facts: Facts) -> bool:
    return facts.daemon is not None and service.holds(facts.daemon.pid)
