"""``swarmd doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from swarmd.audit.pretty import clean
from swarmd.cli.checks import Check, confinement, files, installation, machine, models, privacy, run_checks
from swarmd.cli.checks.check import Probe
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.config import Settings
from swarmd.errors import ConfigError
from swarmd.models.store import default_folder

__all__ = ["doctor"]

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(cls=Command)
@pass_context
def doctor(context: Context) -> int:
    """Check this installation. Each problem comes with the command that mends it.

    Exit status 1 when a check fails; warnings are no failure. Nothing is changed.
    """
    output, found = context.output, []
    for check in run_checks(_probes(context)):
        found.append(check)
        if check.state != "ok" or not context.quiet:
            _show(context, check)
    count = {state: sum(check.state == state for check in found) for state in COLOURS}
    output.document("doctor", ok=not count["fail"], checks=[asdict(check) for check in found])
    if count["fail"] or count["warn"]:
        output.line(f"{count['fail']} failed, {count['warn']} warnings, {count['ok']} ok")
    else:
        output.line(f"all {count['ok']} checks are ok")
    return ExitCode.FAILED if count["fail"] else ExitCode.OK


def _show(context: Context, check: Check) -> None:
    word = context.output.paint(f"[{check.state}]".ljust(6), COLOURS[check.state])
    context.output.line(f"{word} {check.name:12} {clean(check.detail)}")
    if check.state != "ok" and check.fix:
        context.output.line(f"       {'':12} fix: {clean(check.fix)}")


def _probes(context: Context) -> Iterator[Probe]:
    home = context.home
    yield "python", machine.check_python
    yield "git", machine.check_git
    yield "home", lambda: installation.check_home(home)
    yield "settings", lambda: installation.check_settings(context)
    settings = _settings(context)
    yield "file system", lambda: files.check_file_system(home, settings.daemon)
    yield "inotify", files.check_inotify
    yield "agents", lambda: installation.check_agents(home, settings.models)
    yield "daemon", lambda: installation.check_daemon(home)
    yield "audit", lambda: installation.check_audit(home)
    yield "sandbox", lambda: confinement.check_sandbox(settings.sandbox.level)
    yield "confinement", lambda: confinement.check_confinement(settings.sandbox.agents)
    ollama = models.ollama_models(settings.ollama.host) if privacy.may_ask_ollama(settings) else None
    yield "ollama", lambda: models.check_ollama(settings, ollama)
    yield "models", lambda: models.check_models(settings, context.env, ollama)
    cloud = privacy.ollama_cloud(settings) if ollama is not None else None
    yield "privacy", lambda: privacy.check_privacy(settings, cloud)
    yield "disk", lambda: machine.check_disk(home.root, default_folder(settings, context.env))
    yield "memory", machine.check_memory


def _settings(context: Context) -> Settings:
    """The settings; the defaults when they are wrong, which a check of its own has told by then."""
    try:
        return context.settings
    except ConfigError:
        return Settings()
