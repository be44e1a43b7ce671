"""Packets that are ready, orders on their way to an agent, and proposals on their way back."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.bus.naming import printable
from swarmd.clock import short_id
from swarmd.errors import AgentError
from swarmd.home import Home
from swarmd.messages import Order, Packet, Proposal, dump, load

__all__ = ["MAX_PROPOSAL", "AgentSpool", "put_ready", "ready_packets", "remove_ready"]

MAX_PROPOSAL = 4 * 1024 * 1024
"""Largest proposal, in bytes."""

_MAX_PACKET = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.json")
_AGENT_ID = re.compile(r"[a-z][a-z0-9-]{0,31}\.[0-9]{1,9}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _ready_file(home: Home, packet: Packet) -> Path:
    return home.tasks / packet.agent_type / f"{packet.packet_id}.json"


def put_ready(home: Home, packet: Packet) -> Path:
    """Show ``packet`` in bus/tasks/<type>/. It is a view: power loss may undo it."""
    path = _ready_file(home, packet)
    durable.make_dirs(path.parent)
    durable.write(path, dump(packet), durable=False)
    return path


def remove_ready(home: Home, packet: Packet) -> None:
    """Take ``packet`` out of bus/tasks/<type>/; one that is not there is fine."""
    durable.remove(_ready_file(home, packet))


def ready_packets(home: Home) -> list[Packet]:
    """Every packet shown in bus/tasks/, by id. A file that is no packet is passed over: the log knows
    what is ready, this folder only shows it."""
    packets = []
    for path in sorted(home.tasks.glob("*/pkt-*.json"), key=lambda path: path.name):
        try:
            packets.append(load(Packet, durable.read_regular(path, _MAX_PACKET)))
        except (OSError, ValidationError):
            continue
    return packets


class AgentSpool:
    """The folders of one agent: ``in/`` is written by the master, ``out/`` by the agent.

    The agent is not trusted: what it leaves is read without following links, up to a size, and
    believed only as far as it parses.
    """

    def __init__(self, home: Home, agent_id: str) -> None:
        """Name the folders of ``agent_id`` ("coding.1"); ``create`` makes them. Raises AgentError."""
        if not _AGENT_ID.fullmatch(agent_id):
            raise AgentError(f"{printable(agent_id)!r} is no agent id", code="E-AGENT-ID")
        self.agent_id = agent_id
        self.root = home.spools / agent_id
        self.incoming = self.root / "in"
        self.outgoing = self.root / "out"
        self._names: set[str] = set()
        """Files that were written or read here and are there still."""

    def create(self) -> None:
        """Make the folders, empty and open to this user only."""
        self.remove()
        durable.make_dirs(self.root, self.incoming, self.outgoing)

    def write_order(self, order: Order) -> str:
        """Write ``order`` for the agent and return the file's name.

        Nobody reads it before the agent is told of it, so that it is written in place. Raises AgentError
        for an id that is none, and OSError when the disk does not take it; nothing is left of it then.
        """
        name = f"{order.order_id}.json"
        if not _NAME.fullmatch(name):
            raise AgentError(f"{printable(order.order_id)!r} is no order id", code="E-AGENT-ORDER")
        path, data = f"{self.incoming}/{name}", dump(order)
        try:
            fd = os.open(path, _NEW, 0o600)
        except FileExistsError:  # what an earlier try left
            os.unlink(path)  # noqa: PTH108
            fd = os.open(path, _NEW, 0o600)
        try:
            durable.write_all(fd, data)
        except BaseException:
            os.unlink(path)  # noqa: PTH108
            raise
        finally:
            os.close(fd)
        self._names.add(name)
        return name

    def read_proposal(self, name: str) -> Proposal:
        """The proposal that the agent says it left as out/``name``.

        Raises AgentError, code E-AGENT-PROPOSAL, when it did not, or when it is not one.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self._broken(f"the name {printable(str(name))!r}")
        self._names.add(name)
        try:
            return load(Proposal, self._read_out(name))
        except OSError as error:
            raise self._broken(f"{name}: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = printable(".".join(str(part) for part in first["loc"]), 80)
            raise self._broken(f"{name}: {where}: {printable(first['msg'])}") from error

    def _broken(self, what: str) -> AgentError:
        return AgentError(f"{self.agent_id} left no good proposal: {what}", code="E-AGENT-PROPOSAL")

    def _read_out(self, name: str) -> bytes:
        # Step by step, for the agent may replace whatever lies in its folder by a link.
        root = os.open(self.root, _FOLDER)
        try:
            folder = os.open("out", _FOLDER, dir_fd=root)
        finally:
            os.close(root)
        try:
            fd = os.open(name, _FILE, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError("it is not a plain file")
            if status.st_size > MAX_PROPOSAL:
                raise OSError(f"it is larger than {MAX_PROPOSAL} bytes")
            return _read_all(fd, status.st_size)
        finally:
            os.close(fd)

    def clear(self) -> None:
        """The packet is over: remove its order and its proposal, by the names under which they were
        written or read here; all there is, where that does not find them.

        The folders themselves stay, because a confined agent may use these very ones and no others that
        bear their names. Raises OSError when something does not go away.
        """
        names, self._names = self._names, set()
        try:
            for name in names:
                os.unlink(f"{self.incoming}/{name}")  # noqa: PTH108
                os.unlink(f"{self.outgoing}/{name}")  # noqa: PTH108
        except OSError:  # it was given another name, or is a folder
            names = set()
        if not names:
            self._clear_all()

    def _clear_all(self) -> None:
        for folder in (self.incoming, self.outgoing):
            for entry in list(folder.iterdir()) if folder.is_dir() else ():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folders and all that the agent left in them."""
        if self.root.is_symlink():
            self.root.unlink()
        if not self.root.exists():
            return
        # First out of the way: what resists removal may not come back under this agent's name.
        aside = self.root.with_name(f".removed-{self.agent_id}-{short_id(8)}")
        self.root.rename(aside)
        self.finish_removal(aside)

    @staticmethod
    def finish_removal(aside: Path) -> None:
        """Remove a spool that is out of the way already. Raises OSError."""
        try:
            shutil.rmtree(aside)
        except (OSError, RecursionError):
            _remove_deep(aside)


def _read_all(fd: int, size: int) -> bytes:
    """As much as the file had when it was looked at: its writer may go on writing."""
    parts, left = [], size
    while left > 0 and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _remove_deep(root: Path) -> None:
    """Remove a tree that is too deep for recursion, or whose folders are closed, by flattening it."""
    number = 0
    folders = [root]
    while folders:
        folder = folders.pop()
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if not entry.is_dir(follow_symlinks=False):
                    Path(entry.path).unlink()
                    continue
                number += 1
                flat = root.with_name(f"{root.name}-{number}")
                Path(entry.path).chmod(0o700)
                Path(entry.path).rename(flat)
                folders.append(flat)
        folder.rmdir()
