"""``swarmd service status``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from swarmd.audit.pretty import clean
from swarmd.cli import service_files as files
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.output import table
from swarmd.cli.service import PRINT
from swarmd.cli.service_files import Installed
from swarmd.cli.service_manager import ServiceManager, manager
from swarmd.daemon import presence
from swarmd.daemon.presence import Presence
from swarmd.errors import ConfigError, UsageError

__all__ = ["status"]


@dataclass(frozen=True)
class _State:
    installed: Installed
    up_to_date: bool
    state: dict[str, str]
    """What the manager says; empty when it does not answer."""
    running: Presence | None

    @property
    def under(self) -> bool:
        """Whether the daemon runs under the service."""
        if self.running is None:
            return False
        pid = self.running.pid
        return self.installed.holds(pid) or self.state.get("MainPID") == str(pid)


@click.command(cls=Command)
@PRINT
@pass_context
def status(context: Context, only_print: bool) -> int:
    """Show whether the service is installed, up to date and running. With --print: its file.

    Exit status 3 when it is not installed, or the daemon does not run under it.
    """
    service = manager(files.manager_of(), context.env)
    installed = files.find(context.home, context.env)
    if only_print:
        return _print(context, installed)
    if installed is None:
        context.output.document("service status", installed=False, home=str(context.home.root))
        context.output.line(f"not installed for {clean(str(context.home.root))}")
        context.output.note(f"next: {context.command('service install')}")
        return ExitCode.DAEMON_DOWN
    found = _State(
        installed,
        _up_to_date(context, service, installed.file),
        service.state(installed.file),
        presence.read(context.home),
    )
    _show(context, service, found)
    return ExitCode.OK if found.under else ExitCode.DAEMON_DOWN


def _print(context: Context, installed: Installed | None) -> int:
    if installed is None:
        raise UsageError(
            "no service is installed, so there is no file to show",
            hint='"swarmd service install --print" shows the one that would be written.',
        )
    text = files.read_file(installed.file) or ""
    context.output.document("service status", file=str(installed.file), text=text)
    context.output.line(text.rstrip("\n"))
    return ExitCode.OK


def _show(context: Context, service: ServiceManager, found: _State) -> None:
    output, installed, running = context.output, found.installed, found.running
    output.document(
        "service status",
        installed=True,
        home=str(context.home.root),
        **installed.document(),
        up_to_date=found.up_to_date,
        answers=bool(found.state),
        state=found.state,
        daemon=running.document() if running else None,
        runs_daemon=found.under,
    )
    for line in table(
        [
            ["service", installed.label],
            ["file", clean(str(installed.file))],
            ["home", clean(str(context.home.root))],
            ["starts", "by itself" if installed.enabled else f"only by: {installed.start_command}"],
            ["state", _state_text(service, found.state)],
            ["daemon", _daemon_text(running, found.under)],
        ]
    ):
        output.line(line)
    if not found.up_to_date:
        output.note(f"the file is not what it would be now; next: {context.command('service install')}")


def _up_to_date(context: Context, service: ServiceManager, file: Path) -> bool:
    from swarmd.cli.service_spec import specify

    try:
        return files.read_file(file) == service.render(
            specify(context.home, context.settings, context.env), file
        )
    except ConfigError:  # what is wrong with the settings, "config show" tells
        return False


def _state_text(service: ServiceManager, state: dict[str, str]) -> str:
    if not state:
        return f"unknown: {service.kind} does not answer here"
    words = [state.get("ActiveState", "unknown")]
    words += [f"({state['SubState']})"] if state.get("SubState") else []
    if state.get("Result") not in (None, "", "success"):
        words.append(f"after {state['Result']}")
    if state.get("NRestarts") not in (None, "", "0"):
        words.append(f"restarted {state['NRestarts']} times")
    return clean(" ".join(words), 200)


def _daemon_text(running: Presence | None, under: bool) -> str:
    if running is None:
        return "does not run"
    return f"runs (pid {running.pid})" if under else f"runs (pid {running.pid}), but not under the service"
