"""``swarmd service install`` and ``uninstall``: the daemon as a service of this account."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from swarmd import durable
from swarmd.audit.pretty import clean
from swarmd.cli import service_files as files
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.service_manager import ServiceManager, manager, run_all
from swarmd.daemon import presence
from swarmd.errors import ConfigError

__all__ = ["PRINT", "install", "uninstall"]

PRINT = click.option("--print", "only_print", is_flag=True, help="Only show it; change nothing.")
"""The option that all three commands take."""


@dataclass(frozen=True)
class _Installation:
    """One run of ``install``: what was written, and what came of it."""

    file: Path
    difference: list[str]
    changed: str
    """created, updated or unchanged."""
    answers: bool
    """Whether there is a manager to talk to here."""
    started: bool
    other: int | None
    """The pid of a daemon that runs on the home, but not under the service: both cannot."""
    commands: list[str]
    """What is left for the user to run."""


@click.command(cls=Command)
@click.option("--no-start", is_flag=True, help="Have it start at the next login, but not now.")
@PRINT
@pass_context
def install(context: Context, no_start: bool, only_print: bool) -> None:
    """Have the daemon started by systemd (on macOS: launchd) for this account, now and from now on.

    Run it again after the settings have changed: the file is brought up to date, and what changes is
    shown. A file that swarmd did not write is left alone.
    """
    from swarmd.cli.service_spec import specify

    home, output = context.existing_home(), context.output
    service = manager(files.manager_of(), context.env)
    file = files.place(home, context.env, service.kind)
    text = service.render(specify(home, context.settings, context.env), file)
    if only_print:
        output.document("service install", file=str(file), text=text)
        output.line(text.rstrip("\n"))
        return
    done = _install(context, service, file, text, start=not no_start)
    output.document("service install", **{**asdict(done), "file": str(file)}, name=file.name)
    _tell(context, service, done)


def _install(
    context: Context, service: ServiceManager, file: Path, text: str, *, start: bool
) -> _Installation:
    old = files.read_file(file)
    changed = "unchanged" if old == text else "created" if old is None else "updated"
    if old != text:
        _write(file, text)
    difference = _difference(old or text, text)
    context.output.line(f"{changed}: {clean(str(file))}")
    for line in difference:
        context.output.line(f"  {clean(line)}")
    other = _other_daemon(context)
    start = start and other is None
    commands, answers = service.install(file, start=start), service.answers()
    if answers:
        logs = shlex.join(service.logs(file))
        run_all(commands, context.env, f'"{logs}" shows why; the file stays, and can be tried again.')
    left = [] if answers else [shlex.join(command) for command in commands]
    return _Installation(file, difference, changed, answers, answers and start, other, left)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        durable.write(file, text.encode(), mode=0o644)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error}",
            hint='"swarmd service install --print" shows the file, for you to place.',
        ) from error


def _difference(old: str, new: str) -> list[str]:
    """The lines that go (-) and come (+)."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _other_daemon(context: Context) -> int | None:
    running = presence.read(context.home)
    installed = files.find(context.home, context.env)
    if running is None or (installed and installed.holds(running.pid)):
        return None
    return running.pid


def _tell(context: Context, service: ServiceManager, done: _Installation) -> None:
    """What there is to know and to do now."""
    from swarmd.cli.service_spec import unseen

    output = context.output
    if done.commands:
        output.note(f"{service.kind} does not answer here; where it does, run:")
        for command in done.commands:
            output.note(f"  {command}")
    if done.started:
        output.line("the service runs")
    if done.changed == "updated":
        output.note(f"a daemon that runs goes on as before until: {shlex.join(service.restart(done.file))}")
    if done.other is not None:
        output.note(
            f"a daemon (pid {done.other}) runs already: {context.command('down')}, then start the service"
        )
    for name in unseen(context.env):
        output.note(f"the service does not see ${name} of this shell: use {context.home.settings_file}")
    if service.kind == "launchd":
        output.note("launchd agents of swarmd are untested: please tell what you see")
    elif service.state(done.file).get("Linger") != "yes":
        output.note('it runs while you are logged in; to have it run always: "loginctl enable-linger"')
    output.note(f"next: {context.command('service status')}")


@click.command(cls=Command)
@PRINT
@pass_context
def uninstall(context: Context, only_print: bool) -> None:
    """Stop the service (running steps may finish first) and remove its file. The home stays as it is."""
    output, service = context.output, manager(files.manager_of(), context.env)
    installed = files.find(context.home, context.env)
    if installed is None:
        output.document("service uninstall", file=None, removed=False)
        output.line(f"no service is installed for {context.home.root}")
        return
    before, after = service.uninstall(installed.file)
    if only_print:
        steps = [*before, ["rm", str(installed.file)], *after]
        output.document("service uninstall", file=str(installed.file), commands=[*map(shlex.join, steps)])
        for step in steps:
            output.line(shlex.join(step))
        return
    answers = service.answers()
    if answers:
        run_all(before, context.env, f"Stop the daemon, then remove {installed.file}.")
    durable.remove(installed.file)
    durable.remove(installed.file.parent / "default.target.wants" / installed.file.name)
    if answers:
        run_all(after, context.env, "The file is removed; this is only about what systemd remembers.")
    output.document("service uninstall", file=str(installed.file), removed=True)
    output.line(f"removed: {clean(str(installed.file))}")
    running = presence.read(context.home)
    if running:
        output.note(f"a daemon (pid {running.pid}) still runs: {context.command('down')}")
