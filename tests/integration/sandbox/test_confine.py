"""An agent's confinement, tried from inside by ``confined.py``."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import SandboxError
from swarmd.sandbox import landlock

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("confined.py")

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="calls by x86_64's numbers")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A snapshot, a spool and what lies beside them."""
    read, write, outside = tmp_path / "read", tmp_path / "write", tmp_path / "outside"
    for folder in (read, write, outside):
        folder.mkdir()
    (read / "snapshot.py").write_text("x = 1")
    (outside / "key").write_text("s3cr3t")
    (read / "link").symlink_to(outside / "key")
    return read, write, outside


def run(
    folders: tuple[Path, Path, Path], *more: str
) -> tuple[subprocess.CompletedProcess[str], socket.socket]:
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server, theirs:
        argv = [sys.executable, str(PROGRAM), *map(str, folders), str(theirs.fileno())]
        done = subprocess.run(
            [*argv, str(server.getsockname()[1]), *more],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "API_KEY": "s3cr3t"},
        )
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    return done, ours


def test_an_agent_can_do_its_work_and_nothing_else(folders: tuple[Path, Path, Path]) -> None:
    before = (folders[2] / "key").stat()
    done, channel = run(folders)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert re.fullmatch(r"landlock-abi[1-7]\+seccomp", told["level"])
    assert {name: came for name, came in told["must work"].items() if came != "worked"} == {}
    assert {name: came for name, came in told["must fail"].items() if not came.startswith("refused")} == {}
    data, fds, _, _ = socket.recv_fds(channel, 100, 4)
    assert data.startswith(b"hello")
    channel.close()
    for fd in fds:
        os.close(fd)
    after = (folders[2] / "key").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_size) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_size,
    )
    assert [path.name for path in folders[2].iterdir()] == ["key"]
    assert sorted(path.name for path in folders[1].iterdir()) == ["folder", "new.json"]


def test_a_process_with_threads_is_refused_because_they_would_stay_free(
    folders: tuple[Path, Path, Path],
) -> None:
    done, channel = run(folders, "threads")
    channel.close()
    assert done.returncode == 1
    assert "2 threads cannot be confined" in done.stderr


def test_the_repository_itself_is_not_readable_where_it_is_a_home(tmp_path: Path) -> None:
    """A source checkout on sys.path may be a home: its keys and logs lie beside the package."""
    program = (
        f"import os, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom swarmd.sandbox import confine\n"
        f"confine(read=[], write=[Path({str(tmp_path)!r})])\n"
        f"import swarmd.clock\n"
        f"for name in ('', 'pyproject.toml', 'logs', 'council/keys'):\n"
        f"    try: os.open(os.path.join({str(ROOT)!r}, name), os.O_RDONLY)\n"
        f"    except OSError: continue\n"
        f"    print('readable', repr(name))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("version", range(1, landlock.abi() + 1))
def test_rules_can_be_made_as_for_every_older_kernel(version: int, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    grants = [
        (tmp_path, landlock.READ | landlock.WRITE),
        (tmp_path / "file", landlock.READ | landlock.WRITE),
        (tmp_path / "absent", landlock.READ),
    ]
    os.close(landlock.ruleset(grants, version=version))


def test_without_landlock_the_error_says_so() -> None:
    with pytest.raises(SandboxError) as caught:
        landlock.ruleset([], version=0)
    assert caught.value.code == "E-SANDBOX-LANDLOCK"
    assert "CONFIG_SECURITY_LANDLOCK" in caught.value.hint
