"""What a service manager is to run: the program, its environment, and how long it may take to end."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmd.config import Settings
from swarmd.errors import ConfigError, HomeLockedError
from swarmd.home import Home

__all__ = ["NO_RESTART", "ServiceSpec", "specify", "unseen"]

NO_RESTART = tuple(sorted({ConfigError.exit_code, HomeLockedError.exit_code}))
"""Exit codes that a restart would only repeat: a setting is wrong (or the file system has no locks),
and another daemon has the home. After all others, the next start recovers."""

KILL_S = 30
"""What ending every process and writing the last lines may take beside the draining, in seconds."""

PROGRAMS = ("git", "bwrap", "prlimit", "ssh-keygen", "node", "npm", "ollama")
"""What the daemon looks for on $PATH."""
SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
KEPT = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""Variables that say where things lie: weights, git's configuration, known homes."""


@dataclass(frozen=True)
class ServiceSpec:
    """One daemon as a service."""

    home: Home
    argv: tuple[str, ...]
    environment: dict[str, str]
    stop_s: int
    """After so many seconds, what has not ended is killed."""


def specify(home: Home, settings: Settings, env: Mapping[str, str]) -> ServiceSpec:
    """The service of ``home``, as this very interpreter and package would run it.

    Raises ConfigError when a path cannot stand in a service file.
    """
    # -P: the current folder is no place to import from. faulthandler: when the watchdog ends a daemon
    # that hangs, the journal shows where.
    argv = [sys.executable, "-P", "-X", "faulthandler", "-m", "swarmd", "--home", str(home.root), "up", "-q"]
    environment = {"PATH": _path(env)}
    environment |= {name: env[name] for name in KEPT if env.get(name, "").startswith("/")}
    package = str(Path(__file__).resolve().parents[2])
    if package not in sysconfig.get_paths().values():  # a source checkout
        environment["PYTHONPATH"] = package
    for text in (*argv, *environment.values()):
        if not text.isprintable() or "\ufffd" in text:
            raise ConfigError(
                f"{text!r} cannot stand in a service file",
                code="E-SERVICE-NAME",
                hint="Choose a home whose path is plain text.",
            )
    return ServiceSpec(home, tuple(argv), environment, round(settings.daemon.drain_s) + KILL_S)


def _path(env: Mapping[str, str]) -> str:
    """The folders of the programs that are used, as found from here, then the system's. Not the whole
    $PATH of this shell: that would make every install another one."""
    search = env.get("PATH", os.defpath)
    found = (shutil.which(program, path=search) for program in PROGRAMS)
    folders = [str(Path(path).parent) for path in found if path and path.startswith("/") and ":" not in path]
    ranked = sorted(set(folders) - set(SYSTEM_PATH), key=search.split(os.pathsep).index)
    return ":".join([*ranked, *SYSTEM_PATH])


def unseen(env: Mapping[str, str]) -> list[str]:
    """Settings in this shell's environment, which the service does not get."""
    ours = (name for name in env if name.startswith("SWARMD_"))
    return sorted(n for n in ours if n[len("SWARMD_") :].lower().split("__")[0] in Settings.model_fields)
