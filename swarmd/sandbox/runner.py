"""Runs one launch to its end: output, report, limits, and no survivor."""

from __future__ import annotations

import json
import marshal
import math
import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from swarmd.errors import SandboxError
from swarmd.sandbox import launcher
from swarmd.sandbox.capture import Capped, HeadTail
from swarmd.sandbox.spec import Completed, LimitName, Limits, nothing

__all__ = ["THREADS", "Launch", "environment", "resource_limits", "run"]

OUTPUT_LIMIT = 1 << 20
REPORT_LIMIT = 16 << 20
OPEN_FILES = 4096
WATCH_S = 0.02
WAIT_S = 0.5
END_S = 15.0
"""How long the kill of everything may take before we say that it failed."""
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Launch:
    """What the launcher is to start, and how it is confined."""

    level: str
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    limits: Limits
    rlimits: Mapping[int, int]
    filter: bytes
    """A seccomp program: read by bubblewrap, or loaded by the launcher."""
    options: Sequence[str] = ()
    """For bubblewrap: what does not stand in ``argv``, which the program inside could read."""
    ruleset: int | None = None
    """A Landlock descriptor; None: the program is bubblewrap, which confines itself."""
    private: Path | None = None
    """A folder that is removed when the run was ended, even if by the verifier's own death."""
    pid_namespace: bool = False
    process_group: Path | None = None
    """The file of ``cgroup.process_limit``."""
    own_processes: int = 0
    """How many processes the sandbox itself adds to the tree."""


THREADS = 4
"""The kernel limits threads, not processes: this many for each process that is allowed."""


def environment(env: Mapping[str, str], home: Path, temporary: Path) -> dict[str, str]:
    """The whole environment of a run."""
    defaults = {"PATH": DEFAULT_PATH, "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}
    fixed = {"HOME": str(home), "TMPDIR": str(temporary), "SWARMD_REPORT_FD": str(launcher.REPORT_FD)}
    return {**defaults, **env, **fixed}


def resource_limits(limits: Limits) -> dict[int, int]:
    """The limits that the kernel itself keeps, for each process."""
    return {
        resource.RLIMIT_CPU: math.ceil(limits.seconds) * (os.cpu_count() or 1) + 1,
        resource.RLIMIT_FSIZE: limits.file_mib << 20,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }


def run(launch: Launch, *, secret: bytes = b"", on_wait: Callable[[], None] = nothing) -> Completed:
    """Start ``launch``, watch it, and return when none of its processes is left.

    Raises SandboxError when the confinement could not be set up, or something outlived its kill.
    """
    with _started(launch, secret) as session:
        session.watch(on_wait)
        return session.completed()


@dataclass
class _Session:
    """One run, seen from the verifier."""

    launch: Launch
    process: subprocess.Popen[bytes]
    lifeline: int
    secret: memoryview
    pipes: dict[str, int]
    """Our ends: output, report and status to read, secret to write."""
    started: float = field(default_factory=time.monotonic)
    limit: LimitName | None = None
    ended_at: float | None = None
    output: HeadTail = field(default_factory=lambda: HeadTail(OUTPUT_LIMIT))
    report: Capped = field(default_factory=lambda: Capped(REPORT_LIMIT))
    status: Capped = field(default_factory=lambda: Capped(64 << 10))

    def watch(self, on_wait: Callable[[], None]) -> None:
        """Move bytes and enforce limits until the launcher has closed the status pipe."""
        next_look = next_wait = self.started
        with selectors.DefaultSelector() as selector:
            for name, fd in self.pipes.items():
                os.set_blocking(fd, False)
                event = selectors.EVENT_WRITE if name == "secret" else selectors.EVENT_READ
                selector.register(fd, event, name)
            while "status" in self.pipes:
                for key, _ in selector.select(WATCH_S):
                    if not self._move(key.data, key.fd):
                        selector.unregister(key.fd)
                        os.close(self.pipes.pop(key.data))
                now = time.monotonic()
                if now >= next_look:
                    self._enforce(now)
                    next_look = now + WATCH_S
                if now >= next_wait:
                    on_wait()
                    next_wait = now + WAIT_S
            self._drain()

    def _move(self, name: str, fd: int) -> bool:
        """Move what can be moved without waiting; False when that direction is finished."""
        if name == "secret":
            try:
                self.secret = self.secret[os.write(fd, self.secret) :]
            except BlockingIOError:
                return True
            except BrokenPipeError:
                return False
            return bool(self.secret)
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        sink: HeadTail | Capped = getattr(self, name)
        sink.feed(data)
        return bool(data)

    def _drain(self) -> None:
        """Every writer is dead: what is left in the pipes is all there will be."""
        for name in ("output", "report"):
            fd = self.pipes.get(name)
            with suppress(BlockingIOError):
                while fd is not None and (data := os.read(fd, 1 << 20)):
                    getattr(self, name).feed(data)

    def _enforce(self, now: float) -> None:
        if self.ended_at is None:
            self.limit = self._exceeded(now)
            if self.limit:
                self._end(now)
        elif now > self.ended_at + END_S:
            raise SandboxError(
                f"processes of {self.launch.argv[0]} could not be ended in {END_S:.0f} s",
                code="E-SANDBOX-SURVIVOR",
                hint="Look for processes in state D with ps; a hanging file system is the usual cause.",
            )

    def _exceeded(self, now: float) -> LimitName | None:
        limits = self.launch.limits
        if now - self.started > limits.seconds:
            return "timeout"
        most = limits.processes + self.launch.own_processes
        alive = launcher.descendants(self.process.pid, most)
        if len(alive) > most:
            return "processes"
        resident = sum(map(_resident, alive))
        return "memory" if resident > limits.memory_mib << 20 else None

    def _end(self, now: float) -> None:
        """Cut the lifeline: the launcher kills everything, then exits."""
        self.ended_at = now
        os.close(self.lifeline)
        self.lifeline = -1

    def close(self) -> None:
        """End what is left, however the watch ended."""
        if self.lifeline >= 0:
            self._end(time.monotonic())
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for fd in self.pipes.values():
            os.close(fd)

    def completed(self) -> Completed:
        """What came of it. Raises SandboxError when the program was never reached."""
        return Completed(
            exit_code=None if self.limit else self._exit_code(),
            output=self.output.value(),
            seconds=time.monotonic() - self.started,
            limit=self.limit,
            level=self.launch.level,
            report=self.report.value(),
        )

    def _exit_code(self) -> int:
        lines = self.status.value().decode(errors="replace").splitlines()
        inner = [json.loads(line).get("exit-code") for line in lines if line.startswith("{")]
        code = next((line.removeprefix("exit ") for line in lines if line.startswith("exit ")), None)
        if code is not None and (self.launch.ruleset is not None or inner[-1:] not in ([], [None])):
            return int(code)
        said = [line for line in lines if not line.startswith(("{", "exit "))]
        told = self.output.value().decode(errors="replace").strip()[-2000:]
        raise SandboxError(f"the {self.launch.level} sandbox did not start: {'; '.join([*said, told])}")


def _resident(pid: int) -> int:
    """Resident memory of a process in bytes; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


@contextmanager
def _started(launch: Launch, secret: bytes) -> Iterator[_Session]:
    """Start the launcher, and see to it that nothing is left at the end."""
    theirs: dict[str, int] = {}
    ours: dict[str, int] = {}
    try:
        for name in ("output", "report", "status"):
            ours[name], theirs[name] = os.pipe()
        theirs["secret"], ours["secret"] = os.pipe()
        theirs["lifeline"], ours["lifeline"] = os.pipe()
        theirs["filter"] = _memory_file("filter", launch.filter)
        theirs["options"] = _memory_file("options", "\0".join([*launch.options, ""]).encode())
        if launch.ruleset is not None:
            theirs["ruleset"] = os.dup(launch.ruleset)
        theirs["plan"] = _memory_file("plan", marshal.dumps(_plan(launch, theirs)))
        process = _popen(theirs)
    except BaseException:
        for fd in ours.values():
            os.close(fd)
        raise
    finally:
        for fd in theirs.values():
            os.close(fd)
    session = _Session(launch, process, ours.pop("lifeline"), memoryview(secret), ours)
    try:
        yield session
    finally:
        session.close()


def _plan(launch: Launch, fds: Mapping[str, int]) -> dict[str, object]:
    return {
        "argv": list(launch.argv),
        "cwd": str(launch.cwd),
        "env": dict(launch.env) if launch.ruleset is not None else {},
        "rlimits": dict(launch.rlimits),
        "bwrap": launch.ruleset is None,
        "filter": launch.filter,
        "pid_namespace": launch.pid_namespace,
        "private": str(launch.private or ""),
        "process_group": str(launch.process_group or ""),
        "fds": {name: fd for name, fd in fds.items() if name not in ("output", "secret")},
    }


def _popen(fds: Mapping[str, int]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", launcher.__file__, str(fds["plan"])],
        stdin=fds["secret"],
        stdout=fds["output"],
        stderr=fds["output"],
        env={},
        cwd="/",
        start_new_session=True,
        pass_fds=[fds[name] for name in fds if name not in ("output", "secret")],
    )


def _memory_file(name: str, data: bytes) -> int:
    """A descriptor from which ``data`` can be read, however long it is."""
    fd = os.memfd_create(f"swarmd-{name}", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
