"""Checks of the home: its folder, settings, agent types, lock and log."""

from __future__ import annotations

import os
from collections.abc import Collection

from swarmd.audit.pretty import clean
from swarmd.cli.checks.check import Check
from swarmd.cli.context import Context
from swarmd.home import Home

__all__ = ["check_agents", "check_audit", "check_daemon", "check_home", "check_settings"]


def check_home(home: Home) -> Check:
    """Whether the home is there, and ours."""
    root = home.root
    make = f"swarmd init {root}"
    if not home.bus.is_dir():
        return Check(
            "home", "warn", f"there is none yet at {root}", f'{make}   (or "swarmd up", which makes it)'
        )
    unwritable = [
        folder for folder in (root, *home.folders()) if folder.is_dir() and not os.access(folder, os.W_OK)
    ]
    if unwritable:
        return Check("home", "fail", f"{unwritable[0]} cannot be written", f"chmod -R u+rwX {root}")
    missing = [folder for folder in home.folders() if not folder.is_dir()]
    if missing:
        return Check("home", "fail", f"{missing[0]} is missing", make)
    if root.stat().st_mode & 0o022:
        return Check("home", "fail", f"other users may write to {root}", f"chmod go-w {root}")
    return Check("home", "ok", str(root))


def check_settings(context: Context) -> Check:
    """Whether swarmd.toml and the environment say something that can be used."""
    settings = context.settings  # raises ConfigError, which names the file and the field
    changed = _changed(context)
    return Check("settings", "ok", f"{len(changed)} changed, privacy {settings.privacy}")


def _changed(context: Context) -> list[str]:
    from swarmd import config

    return [
        name
        for name, _, where in config.origins(context.home.settings_file, context.env)
        if where != "default"
    ]


def check_agents(home: Home, models: Collection[str]) -> Check:
    """Whether every folder under agents/ is an agent type."""
    from swarmd.agents.spec import load_types

    if not home.agents.is_dir():
        return Check("agents", "warn", "there are none yet", f"swarmd init {home.root}")
    types = load_types(home.agents, models)
    if types.problems:
        name, error = next(iter(types.problems.items()))
        return Check("agents", "fail", f"{clean(name)}: {clean(error.message)}", error.hint)
    if not types.valid:
        return Check("agents", "fail", "there are none", f"swarmd init {home.root}")
    return Check("agents", "ok", ", ".join(types.valid))


def check_daemon(home: Home) -> Check:
    """Whether a daemon runs, and whether one has left something behind."""
    from swarmd.daemon import presence

    running = presence.read(home)
    if running:
        return Check("daemon", "ok", f"runs (pid {running.pid}, version {running.version})")
    if presence.is_held(home):
        return Check(
            "daemon", "fail", f"{home.lock_file} is held by something else", f"fuser -v {home.lock_file}"
        )
    if home.daemon_file.exists():
        return Check("daemon", "warn", "the last one ended without saying so", "swarmd up -d   (it recovers)")
    return Check("daemon", "ok", "none runs; the lock is free")


def check_audit(home: Home) -> Check:
    """Whether the logs hold."""
    from swarmd.audit.verify import verify

    report = verify(home.root)
    bad = next((log for log in report.logs if log.status != "ok"), None)
    if bad is None:
        return Check("audit", "ok", f"{sum(log.lines for log in report.logs):,} log lines hold")
    detail = f"{clean(bad.log)} line {bad.line}: {bad.status}, {clean(bad.detail)}"
    if bad.status == "torn":
        return Check("audit", "warn", detail, "swarmd up -d   (it mends a torn tail)")
    return Check("audit", "fail", detail, "swarmd audit verify   (and keep a copy of logs/)")
