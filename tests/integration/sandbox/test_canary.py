"""The canaries hold on the real sandboxes, and sing in one that leaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from swarmd.errors import SandboxError
from swarmd.sandbox import Completed, Limits, Mounts, Sandbox, canaries, choose, require

NAMES = {
    *("works", "write-outside", "read-key", "signal", "tcp", "udp"),
    *("unix-path", "unix-abstract", "unix-datagram", "fork-bomb"),
}


def test_all_hold_and_leave_nothing_behind(sandbox: Sandbox, tmp_path: Path) -> None:
    started = time.monotonic()
    found = canaries(sandbox, tmp_path)
    assert {canary.name for canary in found} == NAMES
    assert [canary for canary in found if not canary.held] == []
    assert time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []
    require(sandbox, tmp_path)


class Leaky:
    """Runs programs with no confinement at all."""

    level = "bwrap"

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Mounts,
        limits: Limits,
        env: Mapping[str, str],
        secret: bytes = b"",
        on_wait: Callable[[], None] = lambda: None,
    ) -> Completed:
        reading, writing = os.pipe()
        moved = [word.replace(str(mounts.at), str(mounts.root)) for word in argv]
        if '"bomb"' in moved[-1]:  # without a sandbox this is better only reported
            moved = [argv[0], "-c", ""]
        done = subprocess.run(
            moved,
            input=secret,
            capture_output=True,
            cwd=mounts.root,
            pass_fds=[writing],
            env={"SWARMD_REPORT_FD": str(writing)},
            check=False,
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as report:
            return Completed(done.returncode, done.stdout + done.stderr, 0.1, None, self.level, report.read())


def test_every_canary_sings_where_nothing_is_confined(tmp_path: Path) -> None:
    held = {canary.name for canary in canaries(Leaky(), tmp_path) if canary.held}
    assert held == {"works"}
    with pytest.raises(SandboxError) as caught:
        require(Leaky(), tmp_path)
    assert caught.value.code == "E-SANDBOX-CANARY"
    for name in NAMES - {"works"}:
        assert name in caught.value.message


def test_a_sandbox_in_which_nothing_works_is_no_sandbox(tmp_path: Path) -> None:
    class Dead(Leaky):
        def run(self, argv: Sequence[str], **rest: object) -> Completed:  # type: ignore[override]
            return Completed(1, b"broken", 0.1, None, self.level, b"")

    with pytest.raises(SandboxError, match="broken"):
        require(Dead(), tmp_path)


@pytest.fixture
def refusing_bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bubblewrap on PATH that answers as on a system whose AppArmor forbids it."""
    program = tmp_path / "bin/bwrap"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in --version) echo bubblewrap 0.9.0;;\n'
        '*) echo "bwrap: setting up uid map: Permission denied" >&2; exit 1;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_apparmors_refusal_comes_with_the_profile_that_mends_it(refusing_bwrap: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        choose("bwrap")
    assert "setting up uid map: Permission denied" in caught.value.message
    assert "/etc/apparmor.d/bwrap" in caught.value.hint


def test_auto_takes_the_next_level_where_bubblewrap_fails(refusing_bwrap: Path) -> None:
    assert choose("auto").level == "landlock"


def test_auto_takes_bubblewrap_where_it_works() -> None:
    assert choose("auto").level == "bwrap"


def test_without_bubblewrap_its_absence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxError) as caught:
        choose("bwrap")
    assert "apt-get install bubblewrap" in caught.value.hint


AS_NOBODY = """
import sys, tempfile
from pathlib import Path
from swarmd.sandbox import choose, require
with tempfile.TemporaryDirectory() as scratch:
    for level in ("bwrap", "landlock"):
        require(choose(level), Path(scratch))
        print(level)
"""


def test_both_hold_for_an_ordinary_user() -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("the other tests already run as an ordinary user")
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for python in (sys.executable, "/usr/bin/python3.12", "/usr/bin/python3.11"):
        itself = "import swarmd.sandbox, subprocess, sys; subprocess.check_call([sys.executable, '-c', ''])"
        tried = [*argv, python, "-c", itself]
        if subprocess.run(tried, env=env, cwd="/", capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("no interpreter and source that user 65534 may read")
    done = subprocess.run(
        [*argv, python, "-c", AS_NOBODY], env=env, cwd="/", capture_output=True, check=False
    )
    assert done.stdout.split() == [b"bwrap", b"landlock"], done.stderr.decode()
