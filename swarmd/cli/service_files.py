"""The service files of this account: where they lie, and which home each is for.

A file says for which home it was written, so nothing else has to remember it, and a file that swarmd
did not write is told from one that it did.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swarmd import durable
from swarmd.errors import SwarmdError
from swarmd.home import Home

__all__ = ["MARK", "Installed", "Manager", "find", "folder", "manager_of", "mark", "place", "read_file"]

Manager = Literal["systemd", "launchd"]

MARK = "swarmd-home: "
"""What stands in a file before the home that it is for."""
_MARKED = re.compile(re.escape(MARK) + r'("(?:[^"\\]|\\.)*")')
MAX_FILE = 64 * 1024
PREFIX: dict[Manager, str] = {"systemd": "swarmd", "launchd": "local.swarmd"}
SUFFIX: dict[Manager, str] = {"systemd": ".service", "launchd": ".plist"}


@dataclass(frozen=True)
class Installed:
    """The service of one home."""

    manager: Manager
    file: Path
    enabled: bool
    """It starts by itself when its user logs in (or at boot, with lingering)."""

    @property
    def label(self) -> str:
        """What the manager calls it."""
        return self.file.name if self.manager == "systemd" else self.file.stem

    @property
    def start_command(self) -> str:
        """What starts it."""
        if self.manager == "systemd":
            return f"systemctl --user start {self.label}"
        return f"launchctl kickstart gui/{os.getuid()}/{self.label}"

    def holds(self, pid: int) -> bool:
        """Whether process ``pid`` runs under it, as far as this machine tells."""
        try:
            groups = Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            return False
        return any(self.label in line.split(":", 2)[-1].split("/") for line in groups.splitlines())

    def document(self) -> dict[str, Any]:
        """It as JSON has it."""
        return {
            "manager": self.manager,
            "name": self.label,
            "file": str(self.file),
            "enabled": self.enabled,
        }


def manager_of(platform: str = sys.platform) -> Manager:
    """Who runs services on ``platform``."""
    return "launchd" if platform == "darwin" else "systemd"


def folder(manager: Manager, env: Mapping[str, str]) -> Path:
    """Where this account's service files lie."""
    home = Path(env.get("HOME") or "~").expanduser()
    if manager == "launchd":
        return home / "Library/LaunchAgents"
    configured = env.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if configured.startswith("/") else home / ".config"
    return base / "systemd/user"


def mark(home: Home) -> str:
    """The words by which a file is known to be for ``home``: one line, and fit for an XML comment."""
    return MARK + json.dumps(str(home.root)).replace("--", "\\u002d\\u002d")


def read_file(path: Path) -> str | None:
    """The text of a service file; None when there is none. Raises SwarmdError E-SERVICE-FOREIGN for a
    link, and for what cannot be read: swarmd writes neither."""
    try:
        return durable.read_regular(path, MAX_FILE).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SwarmdError(
            f"{path} was not written by swarmd: {error}",
            code="E-SERVICE-FOREIGN",
            hint=f'Look at it with "ls -l", and move it away if it is not needed: {path}',
        ) from error


def find(home: Home, env: Mapping[str, str], manager: Manager | None = None) -> Installed | None:
    """The service of ``home``; None when none was installed."""
    manager = manager or manager_of()
    where = folder(manager, env)
    for path in _files(where, manager):
        if _home_in(_text(path)) == home.root.resolve():
            wanted = where / "default.target.wants" / path.name
            return Installed(manager, path, manager == "launchd" or wanted.is_symlink())
    return None


def place(home: Home, env: Mapping[str, str], manager: Manager) -> Path:
    """Where the service file of ``home`` lies, or is to lie: the first home has the plain name.

    Raises SwarmdError E-SERVICE-FOREIGN when a file that swarmd did not write has that name.
    """
    installed = find(home, env, manager)
    if installed:
        return installed.file
    where, prefix, suffix = folder(manager, env), PREFIX[manager], SUFFIX[manager]
    digest = hashlib.sha256(os.fsencode(home.root.resolve())).hexdigest()[:8]
    for path in (where / f"{prefix}{suffix}", where / f"{prefix}-{digest}{suffix}"):
        text = read_file(path)
        if text is None:
            return path
        if _home_in(text) is None:
            raise SwarmdError(
                f"{path} was not written by swarmd, and is left as it is",
                code="E-SERVICE-FOREIGN",
                hint="Move it away, or install the service under another name by hand: "
                '"swarmd service install --print" shows the file.',
            )
    raise SwarmdError(f"{path} is for another home", code="E-SERVICE-FOREIGN", hint=f"Remove {path}.")


def _files(where: Path, manager: Manager) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(where))  # noqa: PTH208 - only the few names that fit become paths
    except OSError:
        return
    for name in names:
        if name.startswith(PREFIX[manager]) and name.endswith(SUFFIX[manager]):
            yield where / name


def _text(path: Path) -> str:
    try:
        return read_file(path) or ""
    except SwarmdError:
        return ""


def _home_in(text: str) -> Path | None:
    """The home that a service file is for; None when swarmd did not write it."""
    found = _MARKED.search(text)
    if found is None:
        return None
    try:
        return Path(json.loads(found[1])).resolve()
    except (ValueError, TypeError, OSError):
        return None
