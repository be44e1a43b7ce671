"""Servers of our own: temporary data folders, unix sockets or loopback, ended by process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers import processes

__all__ = ["Nats", "Postgres", "Redis"]

_READY_S = 20.0


class _Server:
    """A process that listens; ``folder`` holds its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: processes.Process | None = None

    def _run(self, command: list[str], user: str = "") -> list[int]:
        log = self.folder / "server.log"
        self._process = processes.start(command, log, user=user, cwd=str(self.folder))
        if not processes.wait_for(self._answers, _READY_S):
            raise RuntimeError(f"{command[0]} does not answer: {log.read_text(errors='replace')[-1000:]}")
        return [self._process.pid]

    def _answers(self) -> bool:
        raise NotImplementedError

    def stop(self) -> None:
        """End it and wait for that."""
        if self._process is not None:
            processes.stop(self._process, ask=signal.SIGINT)
            self._process = None


class Redis(_Server):
    """Redis with an append-only file that is synced before each answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"

    def start(self) -> list[int]:
        """Its process id, when it answers."""
        command = ["redis-server", "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--dir", str(self.folder), "--save", ""]
        return self._run([*command, "--appendonly", "yes", "--appendfsync", "always"])

    def client(self) -> Any:
        """A connection."""
        import redis

        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self.client().ping())
        except redis.exceptions.ConnectionError:
            return False

    @contextmanager
    def unsynced(self) -> Iterator[Any]:
        """A connection; meanwhile nothing is synced."""
        client = self.client()
        client.config_set("appendfsync", "no")
        try:
            yield client
        finally:
            client.config_set("appendfsync", "always")


class Postgres(_Server):
    """PostgreSQL as it comes: synchronous commit, fsync on; 16 connections are enough."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._data = folder / "data"
        self._sockets = Path(
            os.environ.get("BUS_SOCKETS") or tempfile.mkdtemp(dir=os.environ.get("BUS_MEMORY"), prefix="pg-")
        )
        self.url = f"postgresql://postgres@/postgres?host={self._sockets}"
        self._user = "postgres" if os.getuid() == 0 else ""

    @staticmethod
    def programs() -> Path | None:
        """Where initdb and postgres are; Debian keeps them out of the PATH."""
        if found := shutil.which("postgres"):
            return Path(found).parent
        return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

    def start(self) -> list[int]:
        """Its process id, when it answers."""
        programs = self.programs()
        assert programs is not None
        self._data.mkdir()
        (self.folder / "server.log").touch()
        if self._user:
            for path in (self._data, self._sockets):
                shutil.chown(path, self._user, self._user)
            for folder in {*self.folder.parents, *self._sockets.parents}:
                if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
                    folder.chmod(folder.stat().st_mode | 0o011)  # it may pass, and see nothing
        self._data.chmod(0o700)
        init = [str(programs / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust"]
        made = processes.start([*init, "-E", "UTF8"], self.folder / "initdb.log", user=self._user)
        if made.wait(120):
            raise RuntimeError((self.folder / "initdb.log").read_text()[-1000:])
        command = [str(programs / "postgres"), "-D", str(self._data), "-k", str(self._sockets)]
        return self._run([*command, "-c", "listen_addresses=", "-c", "max_connections=64"], user=self._user)

    def environment(self) -> dict[str, str]:
        """Lets other processes find the socket."""
        return {"BUS_SOCKETS": str(self._sockets)}

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._sockets, ignore_errors=True)

    @contextmanager
    def unsynced(self) -> Iterator[Any]:
        """A connection; meanwhile commits do not wait for the disk."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_commit = off")
            connection.execute("SELECT pg_reload_conf()")
            try:
                yield connection
            finally:
                connection.execute("ALTER SYSTEM RESET synchronous_commit")
                connection.execute("SELECT pg_reload_conf()")


class Nats(_Server):
    """NATS with JetStream in ``folder``, on a free loopback port."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port_file = folder / "port"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self._port_file.read_text()}"

    def start(self) -> list[int]:
        """Its process id, when it answers."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._port_file.write_text(str(port))
        command = ["nats-server", "--addr", "127.0.0.1", "--port", str(port), "--jetstream"]
        return self._run([*command, "--store_dir", str(self.folder / "store")])

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(self._port_file.read_text())), 1).close()
        except OSError:
            return False
        return True
