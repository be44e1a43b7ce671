"""The first choice: bubblewrap, which gives each run its own view of the machine.

A run sees /usr, a few files of /etc, the checkout at the project's own path and what is mounted
read-only over it. It has no network but its own loopback, no process but its own, an empty home.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from swarmd.errors import SandboxError
from swarmd.sandbox import launcher, paths, runner
from swarmd.sandbox.cgroup import process_limit
from swarmd.sandbox.seccomp import assemble, gate_rules
from swarmd.sandbox.spec import Completed, Limits, Mounts, nothing
from swarmd.sandbox.syscalls import machine

__all__ = ["BubblewrapSandbox", "arguments", "explain"]

TMP_BYTES = 512 << 20
SHM_BYTES = 256 << 20
SIZE_SINCE, DISABLE_USERNS_SINCE = (0, 7), (0, 8)
BINARIES = ("/usr/", "/bin/", "/sbin/")

APPARMOR_HINT = """\
This system's AppArmor keeps bubblewrap from making user namespaces (Ubuntu 23.10 and newer). \
As root, write this to /etc/apparmor.d/bwrap:
    abi <abi/4.0>,
    include <tunables/global>
    profile bwrap /usr/bin/bwrap flags=(unconfined) {
      userns,
    }
then run "systemctl reload apparmor" and "swarmd doctor"."""

NAMESPACE_HINT = """\
User namespaces are switched off. As root: "sysctl kernel.unprivileged_userns_clone=1 \
user.max_user_namespaces=10000". In a container, start it with a seccomp profile that allows unshare."""


class BubblewrapSandbox:
    """Runs programs under bubblewrap."""

    level = "bwrap"

    def __init__(self) -> None:
        """Find the programs. Raises SandboxError, with what to install, when one is absent."""
        self._bwrap = _program("bwrap", "bubblewrap")
        self._prlimit = _program("prlimit", "util-linux")
        if not self._prlimit.startswith(BINARIES):
            raise SandboxError(f"{self._prlimit} is outside /usr, where a sandbox cannot see it")
        self._version = _version(self._bwrap)
        self._filter = assemble(gate_rules(), machine())

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Mounts,
        limits: Limits,
        env: Mapping[str, str],
        secret: bytes = b"",
        on_wait: Callable[[], None] = nothing,
    ) -> Completed:
        """See ``Sandbox.run``."""
        paths.check(mounts)
        # This only keeps the machine usable until the runner, which counts processes, has seen it.
        threads = limits.processes * runner.THREADS
        inner = [self._prlimit, f"--nproc={threads}:{threads}", "--", *argv]
        full_env = runner.environment(env, Path("/tmp/home"), Path("/tmp"))  # noqa: S108 - a private one
        with _places(mounts), process_limit(threads) as group:
            launch = runner.Launch(
                level=self.level,
                argv=[self._bwrap, "--args", str(launcher.OPTIONS_FD), "--", *inner],
                options=arguments(mounts, full_env, self._version),
                cwd=Path("/"),
                env={},
                limits=limits,
                rlimits=runner.resource_limits(limits),
                filter=self._filter,
                process_group=group,
                own_processes=2,
            )
            try:
                return runner.run(launch, secret=secret, on_wait=on_wait)
            except SandboxError as error:
                raise explain(error) from error


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SandboxError(
            f"the program {name} is not installed",
            code="E-SANDBOX-MISSING",
            hint=f'Install the package {package} ("apt-get install {package}"), then run "swarmd doctor".',
        )
    return path


def _version(bwrap: str) -> tuple[int, ...]:
    argv = [bwrap, "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None:
        raise SandboxError(f"{bwrap} does not tell its version: {said.strip()!r}")
    return tuple(map(int, numbers.groups()))


def explain(error: SandboxError) -> SandboxError:
    """``error`` with a hint that fits what bubblewrap said."""
    apparmor = ("setting up uid map: Permission denied", "loopback: Failed RTM_NEWADDR")
    namespaces = ("No permissions to create new namespace", "Creating new namespace failed")
    for signs, hint in ((apparmor, APPARMOR_HINT), (namespaces, NAMESPACE_HINT)):
        if any(sign in error.message for sign in signs):
            return SandboxError(error.message, code="E-SANDBOX-USERNS", hint=hint)
    return error


def arguments(mounts: Mounts, env: Mapping[str, str], version: tuple[int, ...]) -> list[str]:
    """bubblewrap's options for ``mounts`` and ``env``. Pure, but for looking at the host's folders."""
    options = ["--unshare-all", "--unshare-user"]
    if version >= DISABLE_USERNS_SINCE:  # before, only the filter keeps namespaces from being made
        options.append("--disable-userns")
    options += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for name, value in env.items():
        options += ["--setenv", name, value]
    options += ["--ro-bind", "/usr", "/usr", *_system_folders()]
    options += ["--dir", "/etc"]
    for name in paths.ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += [*_size(SHM_BYTES, version), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    options += [*_size(TMP_BYTES, version), "--tmpfs", "/tmp", "--dir", "/tmp/home"]  # noqa: S108
    options += _binds(mounts)
    # The root is a tmpfs without a size: left writable, it could be filled until memory ends.
    options += ["--remount-ro", "/", "--chdir", str(mounts.at)]
    return [*options, "--seccomp", str(launcher.FILTER_FD), "--json-status-fd", str(launcher.STATUS_FD)]


def _size(size: int, version: tuple[int, ...]) -> list[str]:
    return ["--size", str(size)] if version >= SIZE_SINCE else []


def _system_folders() -> list[str]:
    options: list[str] = []
    for name in paths.SYSTEM_FOLDERS:
        folder = Path(name)
        if folder.is_symlink():
            options += ["--symlink", str(folder.readlink()), name]
        elif folder.is_dir():
            options += ["--ro-bind", name, name]
    return options


def _binds(mounts: Mounts) -> list[str]:
    """All mounts, outer ones first, because a later mount hides what lies under it."""
    binds = [("--bind" if mounts.writable else "--ro-bind", mounts.root, mounts.at)]
    if (mounts.root / ".git").exists():
        binds.append(("--ro-bind", mounts.root / ".git", mounts.at / ".git"))
    binds += [("--ro-bind", host, inside) for host, inside in mounts.read_only]
    binds.sort(key=lambda bind: len(bind[2].parts))
    return [word for option, host, inside in binds for word in (option, str(host), str(inside))]


@contextmanager
def _places(mounts: Mounts) -> Iterator[None]:
    """Make the empty places on which mounts will lie in the checkout, and take them away again."""
    made: list[Path] = []
    try:
        for host, place in paths.mount_points(mounts):
            for folder in reversed([place, *place.relative_to(mounts.root).parents[:-1]]):
                made += _make(mounts.root / folder, is_file=folder == place and not host.is_dir())
        yield
    finally:
        for path in reversed(made):
            with suppress(OSError):  # something else has been put there: then it is not ours
                path.rmdir() if path.is_dir() else _remove_empty(path)


def _make(path: Path, *, is_file: bool) -> list[Path]:
    if path.exists():
        return []
    path.touch(mode=0o644) if is_file else path.mkdir(mode=0o755)
    return [path]


def _remove_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        path.unlink()
