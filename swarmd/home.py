"""Where everything of one installation lies, how it is found, and how it is made."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from swarmd import durable
from swarmd.errors import ConfigError

__all__ = ["MARKER", "Home", "find", "init", "register", "registered", "seed_folder"]

MARKER = "swarmd.toml"
"""The file whose presence makes a folder a home."""


MAX_RUNTIME_BASE = 48
"""Longest folder, in characters, that leaves room for the names of sockets in it."""


@dataclass(frozen=True)
class Home:
    """The paths of a home. It only names them; ``init`` creates them."""

    root: Path

    @cached_property
    def settings_file(self) -> Path:
        return self.root / MARKER

    @cached_property
    def agents(self) -> Path:
        return self.root / "agents"

    @cached_property
    def bus(self) -> Path:
        return self.root / "bus"

    @cached_property
    def inbox(self) -> Path:
        return self.bus / "inbox"

    @cached_property
    def control(self) -> Path:
        return self.bus / "control"

    @cached_property
    def active(self) -> Path:
        return self.bus / "active"

    @cached_property
    def tasks(self) -> Path:
        return self.bus / "tasks"

    @cached_property
    def spools(self) -> Path:
        return self.bus / "agents"

    @cached_property
    def outbox(self) -> Path:
        return self.bus / "outbox"

    @cached_property
    def done(self) -> Path:
        return self.bus / "done"

    @cached_property
    def wal(self) -> Path:
        """The write-ahead files."""
        return self.bus / "wal"

    @cached_property
    def status_file(self) -> Path:
        """What the running daemon says of itself."""
        return self.bus / "status.json"

    @cached_property
    def deadletter(self) -> Path:
        return self.bus / "deadletter"

    @cached_property
    def council(self) -> Path:
        return self.root / "council"

    @cached_property
    def keys(self) -> Path:
        return self.council / "keys"

    @cached_property
    def spent_file(self) -> Path:
        """What was spent on paid models."""
        return self.council / "spent.json"

    @cached_property
    def registry_file(self) -> Path:
        return self.keys / "agents-registry.json"

    @cached_property
    def active_agents_file(self) -> Path:
        return self.keys / "active-agents.json"

    @cached_property
    def warrants(self) -> Path:
        return self.council / "warrants"

    @cached_property
    def knowledge(self) -> Path:
        return self.root / "knowledge"

    @cached_property
    def calibration(self) -> Path:
        """How the models do with each edit format: what ``swarmd model calibrate`` measured."""
        return self.root / "calibration"

    @cached_property
    def logs(self) -> Path:
        return self.root / "logs"

    @cached_property
    def master_log(self) -> Path:
        return self.logs / "master.jsonl"

    @cached_property
    def sent(self) -> Path:
        """What was sent to models on other machines, byte for byte."""
        return self.logs / "sent"

    @cached_property
    def models_log(self) -> Path:
        return self.logs / "models.jsonl"

    @cached_property
    def workspaces(self) -> Path:
        return self.root / "workspaces"

    @cached_property
    def cache(self) -> Path:
        """What can be made again: it may be removed at any time."""
        return self.root / "cache"

    @cached_property
    def lock_file(self) -> Path:
        return self.root / ".swarmd.lock"

    @cached_property
    def daemon_file(self) -> Path:
        """Who holds the lock: pid, start time, boot id, when it started."""
        return self.root / ".swarmd.daemon.json"

    @cached_property
    def console_log(self) -> Path:
        """What a daemon in the background printed: only of interest when it did not start."""
        return self.logs / "daemon.out"

    def agent_log(self, agent_type: str) -> Path:
        return self.logs / "agents" / f"{agent_type}.jsonl"

    def request_folder(self, request_id: str) -> Path:
        return self.active / request_id

    def workspace(self, request_id: str) -> Path:
        return self.workspaces / request_id

    def runtime(self) -> Path:
        """A short folder for sockets: their paths must stay under 108 bytes."""
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:10]
        wanted = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")  # noqa: S108
        base = next(folder for folder in wanted if folder and len(folder) <= MAX_RUNTIME_BASE)
        return Path(base) / f"swarmd-{os.getuid()}-{digest}"

    def make_runtime(self) -> Path:
        """``runtime``, made if need be, and only this user's: it may lie in a folder that all can write.

        Raises ConfigError when somebody else made it.
        """
        path = self.runtime()
        durable.make_dirs(path)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise ConfigError(f"{path} belongs to somebody else", hint="Remove it, or set $XDG_RUNTIME_DIR.")
        path.chmod(0o700)
        return path

    def folders(self) -> list[Path]:
        """Every folder that a home always has."""
        from swarmd.messages import PRIORITIES  # 150 ms that "swarmd status" need not wait for

        return [
            *(self.inbox / priority for priority in PRIORITIES),
            self.agents,
            self.control,
            self.active,
            self.tasks,
            self.spools,
            self.outbox,
            self.done,
            self.deadletter,
            self.keys,
            *(self.warrants / state for state in ("pending", "granted", "denied", "expired")),
            *(self.knowledge / part for part in ("patterns", "context", "lessons")),
            self.logs / "agents",
            self.workspaces,
        ]


def find(option: str | os.PathLike[str] | None, env: Mapping[str, str], cwd: Path) -> Home:
    """The home to use: ``option``, else $SWARMD_HOME, else the nearest registered ancestor of
    ``cwd``, else $XDG_STATE_HOME/swarmd.

    An ancestor counts only if it was made by ``init`` on this account (see ``register``), so that a
    checkout from elsewhere cannot make itself a home by carrying a swarmd.toml.
    """
    if option or env.get("SWARMD_HOME"):
        return Home(Path(option or env["SWARMD_HOME"]).expanduser().absolute())
    known = registered(env)
    for folder in (cwd, *cwd.parents):
        if folder.resolve() in known and (folder / MARKER).is_file():
            return Home(folder.absolute())
    return Home(_state_folder(env))


def _state_folder(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_STATE_HOME") or Path(env.get("HOME", "~")).expanduser() / ".local/state"
    return Path(base) / "swarmd"


def _register_file(env: Mapping[str, str]) -> Path:
    return _state_folder(env).parent / "swarmd-homes"


def registered(env: Mapping[str, str]) -> set[Path]:
    """The homes that ``init`` made on this account."""
    try:
        lines = _register_file(env).read_text().splitlines()
    except OSError:
        return set()
    return {Path(line) for line in lines if line}


def register(home: Home, env: Mapping[str, str]) -> None:
    """Remember that ``home`` was made by this account."""
    known = registered(env) | {home.root.resolve()}
    target = _register_file(env)
    durable.make_dirs(target.parent)
    durable.write(target, "".join(f"{path}\n" for path in sorted(known)).encode())


def seed_folder() -> Path:
    """The default agents and knowledge: inside the wheel, or at the top of a source checkout."""
    packaged = Path(str(files("swarmd"))) / "_home"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[1]


def init(home: Home, env: Mapping[str, str]) -> list[Path]:
    """Make ``home`` complete and return the files that were added. Nothing that exists is changed.

    Raises ConfigError when the folder cannot be written.
    """
    try:
        durable.make_dirs(*home.folders())
        home.root.chmod(home.root.stat().st_mode & ~0o022)
        added = _copy_seeds(seed_folder(), home)
        if not home.settings_file.exists():
            template = (Path(str(files("swarmd"))) / "swarmd.toml.in").read_bytes()
            durable.write(home.settings_file, template)
            added.append(home.settings_file)
    except OSError as error:
        raise ConfigError(
            f"the home {home.root} cannot be made: {error}",
            hint="Choose a folder that you can write with --home or $SWARMD_HOME.",
        ) from error
    register(home, env)
    return added


def _copy_seeds(seeds: Path, home: Home) -> list[Path]:
    added = []
    for part in ("agents", "knowledge", "council"):
        for source in sorted((seeds / part).rglob("*")):
            target = home.root / part / source.relative_to(seeds / part)
            if source.is_file() and source.name != ".gitignore" and not target.exists():
                durable.make_dirs(target.parent)
                durable.write(target, source.read_bytes(), durable=False)
                added.append(target)
    return added
