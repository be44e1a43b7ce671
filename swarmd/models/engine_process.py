"""The broker's handle on an engine: start it, wait until it has loaded, notice its death, end it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import swarmd
from swarmd.errors import ModelUnreachableError
from swarmd.models.gguf import CacheType
from swarmd.models.memory import oom_kills

__all__ = ["EngineOptions", "EngineProcess", "default_threads", "has_gpu_build"]

TERM_GRACE_S = 3.0
POLL_S = 0.05
LOG_TAIL = 8000
MAX_SOCKET_PATH = 107
ANSWER_S = 2.0
"""An engine that is busy says so at once; one that has not by then is stuck."""
DEVICES_S = 30.0
"""Starting a GPU's driver takes seconds."""

_NO_MEMORY = re.compile(
    r"out of (device )?memory|insufficient memory|failed to allocate|unable to allocate|bad_alloc"
    r"|cannot allocate memory|OutOfDeviceMemory|OutOfHostMemory|MemoryError",
    re.IGNORECASE,
)
"""What llama.cpp, its backends and their drivers write when memory runs out."""


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is started with."""

    model: str
    weights: Path
    context: int
    parallel: int
    """Slots: prompts that are kept, and calls that can run at one time."""
    threads: int
    gpu_layers: int | str
    cache_type: CacheType = "f16"
    embeddings: bool = False

    def argv(self, socket: Path) -> list[str]:
        """The command. ``-P`` keeps a hostile working folder out of the import path."""
        return [
            *(sys.executable, "-P", "-m", "swarmd.models.engine"),
            *("--weights", str(self.weights), "--socket", str(socket), "--alias", self.model),
            *("--parent", str(os.getpid()), "--context", str(self.context)),
            *("--parallel", str(self.parallel), "--threads", str(self.threads)),
            *("--gpu-layers", str(self.gpu_layers), "--cache-type", self.cache_type),
            *(["--embeddings"] if self.embeddings else []),
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
        self._oom_kills = 0
        self._stopped = False

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
        self._oom_kills = oom_kills()
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.options.argv(self.socket),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
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
        lines = self._said().splitlines()
        # A line that names the file says more than the last one, which only says that it is over.
        naming = (line for line in reversed(lines) if self.options.weights.name in line)
        last = next(naming, lines[-1] if lines else "")
        said = f": {last}" if last else ""
        return ModelUnreachableError(
            f"the engine of {self.options.model} {what}{said}",
            hint=f'Its log is {self.log}. Check the weights and xllamacpp with "swarmd model test".',
        )

    def ran_out_of_memory(self) -> bool:
        """Whether it has ended for want of memory: by what it wrote, or because the kernel has killed
        processes for that since it was started, and this one was killed."""
        if self.alive or self._process is None or self._stopped:
            return False
        if _NO_MEMORY.search(self._said()):
            return True
        return self._process.returncode == -signal.SIGKILL and oom_kills() > self._oom_kills

    def _said(self) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - LOG_TAIL))
                return log.read(LOG_TAIL).decode("utf-8", "replace").strip()
        except OSError:
            return ""

    async def answers(self) -> bool:
        """Whether it is alive and not stuck. It may be busy."""
        if not self.alive:
            return False
        try:
            async with asyncio.timeout(ANSWER_S):
                return await _healthy(self.socket)
        except TimeoutError:
            return False

    async def stop(self) -> None:
        """End it: politely, then not. Its socket is removed; its log stays if it never loaded."""
        process = self._process
        if process is not None and process.returncode is None:
            self._stopped = True
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


def _environment() -> dict[str, str]:
    package = str(Path(swarmd.__file__).parents[1])
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


async def has_gpu_build() -> bool:
    """Whether the installed engine can use a GPU of this machine. A process of its own looks: it starts the
    GPU's driver."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "swarmd.models.engine", "--devices"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
    )
    try:
        async with asyncio.timeout(DEVICES_S):
            output, _ = await process.communicate()
        return bool(json.loads(output)["gpus"])
    except (TimeoutError, ValueError, KeyError, TypeError):
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


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
