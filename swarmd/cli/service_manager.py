"""Talking to the service manager of this account: systemctl --user, or launchctl."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarmd.cli.service_agent import agent
from swarmd.cli.service_files import Manager
from swarmd.cli.service_spec import ServiceSpec
from swarmd.cli.service_unit import unit
from swarmd.errors import SwarmdError

__all__ = ["Launchd", "ServiceManager", "Systemd", "manager", "run_all"]

ASK_S = 10.0
"""Longest wait for an answer to a question."""
ACT_S = 420.0
"""Longest wait for a start or stop: longer than the unit's own limits."""
LINGER = Path("/var/lib/systemd/linger")

Command = list[str]


class ServiceManager(Protocol):
    """What systemd and launchd have in common."""

    @property
    def kind(self) -> Manager:
        """Which one it is."""
        ...

    def render(self, spec: ServiceSpec, file: Path) -> str:
        """The text of the service file."""
        ...

    def answers(self) -> bool:
        """Whether there is one to talk to."""
        ...

    def install(self, file: Path, *, start: bool) -> list[Command]:
        """What makes a new or changed file count; with ``start``, and the daemon run."""
        ...

    def uninstall(self, file: Path) -> tuple[list[Command], list[Command]]:
        """What is to be run before the file is removed, and after."""
        ...

    def restart(self, file: Path) -> Command:
        """What lets a running daemon go on under a changed file."""
        ...

    def logs(self, file: Path) -> Command:
        """What shows what the daemon printed."""
        ...

    def state(self, file: Path) -> dict[str, str]:
        """What it says about the service; empty when it does not answer."""
        ...


@dataclass(frozen=True)
class Systemd:
    """The user manager of systemd."""

    env: Mapping[str, str]
    kind: Manager = "systemd"

    def render(self, spec: ServiceSpec, file: Path) -> str:
        """See ServiceManager."""
        return unit(spec, file.name)

    def answers(self) -> bool:
        """See ServiceManager."""
        return bool(self._show())

    def install(self, file: Path, *, start: bool) -> list[Command]:
        """See ServiceManager."""
        enable = ["enable", "--now"] if start else ["enable"]
        return [_systemctl("daemon-reload"), _systemctl(*enable, file.name)]

    def uninstall(self, file: Path) -> tuple[list[Command], list[Command]]:
        """See ServiceManager."""
        return [_systemctl("disable", "--now", file.name)], [_systemctl("daemon-reload")]

    def restart(self, file: Path) -> Command:
        """See ServiceManager."""
        return _systemctl("restart", file.name)

    def logs(self, file: Path) -> Command:
        """See ServiceManager."""
        return ["journalctl", "--user", "-u", file.name]

    def state(self, file: Path) -> dict[str, str]:
        """See ServiceManager."""
        names = ("LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "Result", "UnitFileState")
        found = self._show(f"--property={','.join(names)}", "--", file.name)
        return {**found, "Linger": "yes" if self._lingers() else "no"} if found else {}

    def _show(self, *words: str) -> dict[str, str]:
        said = _ask(_systemctl("show", *(words or ("--property=Version",))), self.env)
        pairs = (line.partition("=") for line in said.splitlines())
        return {name: value for name, equals, value in pairs if equals}

    def _lingers(self) -> bool:
        """Whether the user's services run while the user is not logged in."""
        user = self.env.get("USER") or self.env.get("LOGNAME") or ""
        return bool(user) and "/" not in user and (LINGER / user).exists()


@dataclass(frozen=True)
class Launchd:
    """The launchd of macOS. Untested."""

    env: Mapping[str, str]
    kind: Manager = "launchd"

    def render(self, spec: ServiceSpec, file: Path) -> str:
        """See ServiceManager."""
        return agent(spec, file.stem)

    def answers(self) -> bool:
        """See ServiceManager."""
        return shutil.which("launchctl", path=self.env.get("PATH")) is not None

    def install(self, file: Path, *, start: bool) -> list[Command]:
        """See ServiceManager."""
        return [["launchctl", "bootstrap", _domain(), str(file)]] if start else []

    def uninstall(self, file: Path) -> tuple[list[Command], list[Command]]:
        """See ServiceManager."""
        return [["launchctl", "bootout", f"{_domain()}/{file.stem}"]], []

    def restart(self, file: Path) -> Command:
        """See ServiceManager."""
        return ["launchctl", "kickstart", "-k", f"{_domain()}/{file.stem}"]

    def logs(self, file: Path) -> Command:
        """See ServiceManager."""
        return ["launchctl", "print", f"{_domain()}/{file.stem}"]

    def state(self, file: Path) -> dict[str, str]:
        """See ServiceManager."""
        said = _ask(["launchctl", "print", f"{_domain()}/{file.stem}"], self.env)
        pairs = (line.strip().partition(" = ") for line in said.splitlines())
        names = {"state": "ActiveState", "pid": "MainPID", "last exit code": "Result"}
        return {names[name]: value for name, equals, value in pairs if equals and name in names}


def manager(kind: Manager, env: Mapping[str, str]) -> ServiceManager:
    """The service manager of that kind."""
    return Launchd(env) if kind == "launchd" else Systemd(env)


def run_all(commands: Sequence[Command], env: Mapping[str, str], hint: str) -> None:
    """Run ``commands``. Raises SwarmdError E-SERVICE with what the first one that fails has said."""
    for command in commands:
        try:
            done = subprocess.run(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ACT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SwarmdError(f"{shlex.join(command)}: {error}", code="E-SERVICE", hint=hint) from error
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[:500]
            raise SwarmdError(
                f"{shlex.join(command)} failed with status {done.returncode}: {said}",
                code="E-SERVICE",
                hint=hint,
            )


def _ask(command: Command, env: Mapping[str, str]) -> str:
    """What ``command`` prints; empty when it fails or there is no such program."""
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _systemctl(*words: str) -> Command:
    return ["systemctl", "--user", *words]


def _domain() -> str:
    return f"gui/{os.getuid()}"
