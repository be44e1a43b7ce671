"""The broker's handle on an engine: start it, wait until it has loaded, notice its death, end it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import swarmd
from swarmd.errors import ModelUnreachableError

__all__ = ["EngineOptions", "EngineProcess", "default_threads"]

TERM_GRACE_S = 3.0
POLL_S = 0.05
LOG_TAIL = 2000
MAX_SOCKET_PATH = 107


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is started with."""

    model: str
    weights: Path
    context: int
    parallel: int
    threads: int
    gpu_layers: int | str

    def argv(self, socket: Path) -> list[str]:
        """The command. ``-P`` keeps a hostile working folder out of the import path."""
        return [
            *(sys.executable, "-P", "-m", "swarmd.models.engine"),
            *("--weights", str(self.weights), "--socket", str(socket), "--alias", self.model),
            *("--parent", str(os.getpid()), "--context", str(self.context)),
            *("--parallel", str(self.parallel), "--threads", str(self.threads)),
            *("--gpu-layers", str(self.gpu_layers)),
        ]


def default_threads() -> int:
    """The physical cores that this process may use; more threads make llama.cpp slower."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


class EngineProcess:
    """One engine. A dead one is not revived: make another."""

    def __init__(self, options: EngineOptions, runtime: Path) -> None:
        """``runtime`` is a folder that only this user can enter; the socket goes there."""
        self.options = options
        tag = hashlib.sha256(options.model.encode()).hexdigest()[:8]
        self.socket = runtime / f"engine-{os.getpid()}-{tag}.sock"
        self.log = self.socket.with_suffix(".log")
        self._process: asyncio.subprocess.Process | None = None
        self._loaded = False

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the child; 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self, patience_s: float) -> None:
        """Start it and wait until it answers. Raises ModelUnreachableError with the end of its log."""
        if len(os.fsencode(self.socket)) > MAX_SOCKET_PATH:
            raise ModelUnreachableError(
                f"the socket path {self.socket} is too long for the system",
                hint="Set $XDG_RUNTIME_DIR to a shorter folder that only you can enter.",
            )
        self.socket.unlink(missing_ok=True)
        package = str(Path(swarmd.__file__).parents[1])
        path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.options.argv(self.socket),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
            )
        try:
            async with asyncio.timeout(patience_s):
                await self._until_loaded()
                self._loaded = True
        except TimeoutError:
            await self.stop()
            raise self._failure(f"has not loaded within {patience_s:g} s") from None
        except BaseException:
            await self.stop()
            raise

    async def _until_loaded(self) -> None:
        while True:
            if not self.alive:
                raise self._failure("ended while it loaded")
            if await _healthy(self.socket):
                return
            await asyncio.sleep(POLL_S)

    def _failure(self, what: str) -> ModelUnreachableError:
        tail = ""
        with suppress(OSError):
            tail = self.log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace").strip()
        said = f": {tail.splitlines()[-1]}" if tail else ""
        return ModelUnreachableError(
            f"the engine of {self.options.model} {what}{said}",
            hint=f'Its log is {self.log}. Check the weights and xllamacpp with "swarmd model test".',
        )

    async def settled(self) -> bool:
        """Whether it is alive, after giving a death that just happened a moment to be seen."""
        for _ in range(10):
            if not self.alive:
                return False
            await asyncio.sleep(0.02)
        return True

    async def stop(self) -> None:
        """End it: politely, then not. Its socket is removed; its log stays if it never loaded."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), TERM_GRACE_S)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self.socket.unlink(missing_ok=True)
        if self._loaded:
            self.log.unlink(missing_ok=True)


async def _healthy(socket: Path) -> bool:
    """Whether /health says 200. An engine that still loads says 503, or does not listen yet."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
        status = await reader.readline()
        return b" 200 " in status
    except OSError:
        return False
    finally:
        writer.close()
