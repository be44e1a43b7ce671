"""A real systemd user manager in namespaces of its own: it sees no other process, and none sees it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

SYSTEMD = Path("/usr/lib/systemd/systemd")
ROOT = Path(__file__).resolve().parents[3]

# Everything in here happens in private namespaces. The control group comes first, because a manager
# takes charge of all processes in its own one.
BEGIN = """
echo $$ > "$GROUP/cgroup.procs" &&
exec unshare --pid --fork --kill-child --mount --mount-proc --cgroup --ipc --uts bash -c '
    mount --make-rprivate / &&
    mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system &&
    mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
    "$SYSTEMD" --user --log-target=console --log-level=info &
    wait'
"""


class UserManager:
    """One manager, with a home folder of its own."""

    def __init__(self, folder: Path, env: Mapping[str, str], pid: int) -> None:
        self.folder = folder
        self.env = dict(env)
        self._pid = pid

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command where the manager is."""
        done = subprocess.run(
            ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--cgroup", "--ipc", "--uts", *command],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.log()}"
        return done

    def show(self, unit: str) -> dict[str, str]:
        """The properties of ``unit``."""
        lines = self.run("systemctl", "--user", "show", unit).stdout.splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 60) -> None:
        """Wait until ``condition`` holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        """The end of what the manager and its services printed."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]


def _unified() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == "cgroup2" and os.access(words[1], os.W_OK):
            return Path(words[1])
    return None


@contextlib.contextmanager
def user_manager() -> Iterator[UserManager]:
    """A manager that answers. Skips the test where none can be had."""
    tools = ("unshare", "nsenter", "systemctl", "bash")
    where = _unified()
    if os.geteuid() != 0 or not SYSTEMD.exists() or where is None or not all(map(shutil.which, tools)):
        pytest.skip("needs root, systemd, util-linux and control groups of version 2")
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    group = where / f"swarmd-test-{os.getpid()}"
    try:
        try:
            group.mkdir()
        except OSError as error:
            pytest.skip(f"no control group can be made: {error}")
        with _started(folder, group) as manager:
            yield manager
    finally:
        for path, _, _ in os.walk(group, topdown=False):
            _remove(Path(path))
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _started(folder: Path, group: Path) -> Iterator[UserManager]:
    for name in ("run", "config", "home", "state"):
        (folder / name).mkdir(mode=0o700)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", BEGIN],
            env={**env, "GROUP": str(group), "SYSTEMD": str(SYSTEMD)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield _when_it_answers(process, folder, env)
    finally:
        process.kill()  # the kernel ends whatever is in its process namespace
        process.wait()


def _when_it_answers(process: subprocess.Popen[bytes], folder: Path, env: Mapping[str, str]) -> UserManager:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        children = psutil.Process(process.pid).children()
        if children:
            manager = UserManager(folder, env, children[0].pid)
            said = manager.run("systemctl", "--user", "is-system-running", check=False).stdout.strip()
            if said in ("running", "degraded"):
                return manager
        time.sleep(0.1)
    pytest.skip(f"systemd does not come up here: {(folder / 'log').read_text(errors='replace')[-500:]}")


def _remove(group: Path) -> None:
    for _ in range(100):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # the kernel lets go of the dead a moment later
            time.sleep(0.02)
        else:
            return
