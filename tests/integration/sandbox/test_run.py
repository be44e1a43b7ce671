"""What a sandboxed program is given, and what comes back."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from swarmd.errors import SandboxError
from swarmd.sandbox import Mounts, choose

from .conftest import LIMITS, PROJECT, Box, alive


def test_a_program_gets_its_secret_environment_and_report_and_nothing_else(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    completed = box.python(
        """
        import json, os, sys
        print(sys.stdin.read())
        print("to stderr", file=sys.stderr, flush=True)
        os.write(int(os.environ["SWARMD_REPORT_FD"]), json.dumps(dict(os.environ)).encode())
        sys.exit(7)
        """,
        secret=b"nonce-1234",
        env={"MODE": "test", "PATH": "/usr/bin"},
    )
    assert completed.exit_code == 7
    assert completed.limit is None
    assert completed.level == box.level
    assert sorted(completed.output.split()) == [b"nonce-1234", b"stderr", b"to"]
    assert b'"MODE": "test"' in completed.report
    assert b'"PATH": "/usr/bin"' in completed.report
    assert b"API_KEY" not in completed.report
    assert b"hunter2" not in completed.report
    assert 0 < completed.seconds < 10


def test_only_the_standard_descriptors_and_the_report_are_open(box: Box) -> None:
    with ExitStack() as stack:  # a verifier whose own descriptors have high numbers
        for _ in range(200):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        completed = box.python("""
            import os
            def is_open(number):
                try:
                    os.fstat(number)
                except OSError:
                    return False
                return True
            print([number for number in range(1000) if is_open(number)])
            """)
    assert completed.output.strip() == b"[0, 1, 2, 3]"


def test_writes_in_the_checkout_persist_and_home_is_private(box: Box) -> None:
    completed = box.python("""
        import os, pathlib, tempfile
        pathlib.Path("new.txt").write_text(os.getcwd())
        pathlib.Path.home().joinpath("x").write_text("x")
        tempfile.mkstemp()
        print(pathlib.Path.home())
        """)
    assert completed.exit_code == 0, completed.output
    where = (box.checkout / "new.txt").read_text()
    assert where == str(PROJECT if box.level == "bwrap" else box.checkout)
    home = Path(completed.output.decode().strip())
    assert home != Path.home()
    assert not home.exists()


def test_a_read_only_checkout_cannot_be_changed(box: Box) -> None:
    (box.checkout / "old.txt").write_text("old")
    completed = box.python(
        """
        import os
        for attempt in (
            lambda: open("old.txt", "w"), lambda: open("new.txt", "w"), lambda: os.unlink("old.txt"),
            lambda: os.rename("old.txt", "x"), lambda: os.mkdir("d"), lambda: os.truncate("old.txt", 0),
        ):
            try:
                attempt()
            except OSError:
                continue
            print("changed it")
        print(open("old.txt").read())
        """,
        mounts=box.mounts(writable=False),
    )
    assert completed.output == b"old\n"


def test_a_mount_over_the_checkout_is_there_but_cannot_be_changed(box: Box, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    environment.mkdir()
    (environment / "installed.py").write_text("VALUE = 5")
    completed = box.python(
        """
        import os
        print(open(".venv/installed.py").read())
        for attempt in (lambda: open(".venv/installed.py", "w"), lambda: open(".venv/new.py", "w"),
                        lambda: os.unlink(".venv/installed.py")):
            try:
                attempt()
            except OSError:
                continue
            print("changed it")
        """,
        mounts=box.mounts((environment, PROJECT / ".venv")),
    )
    assert completed.output == b"VALUE = 5\n"
    assert (environment / "installed.py").read_text() == "VALUE = 5"
    assert list(box.checkout.iterdir()) == [], "the place of the mount is taken away again"


def test_paths_under_the_project_mean_the_checkout_on_both_levels(box: Box) -> None:
    (box.checkout / "tool.sh").write_text("#!/bin/sh\necho $WHERE; cat $0\n")
    (box.checkout / "tool.sh").chmod(0o755)
    completed = box.sandbox.run(
        [f"{PROJECT}/tool.sh"], mounts=box.mounts(), limits=LIMITS, env={"WHERE": f"/opt:{PROJECT}/bin"}
    )
    assert completed.exit_code == 0
    root = PROJECT if box.level == "bwrap" else box.checkout
    assert f"/opt:{root}/bin".encode() in completed.output


def test_a_program_that_does_not_exist_is_an_exit_code_not_an_error(box: Box) -> None:
    completed = box.sandbox.run(["no-such-tool"], mounts=box.mounts(), limits=LIMITS, env={})
    assert completed.exit_code == 127
    assert b"no-such-tool" in completed.output


def test_a_signal_shows_in_the_exit_code_as_in_a_shell(box: Box) -> None:
    assert box.python("import os; os.abort()").exit_code == 134
    assert box.python("import os; os.kill(os.getpid(), 9)").exit_code == 137


def test_signals_have_their_ordinary_meaning(box: Box) -> None:
    """Python ignores SIGPIPE, and what is ignored stays so over an exec."""
    script = "kill -PIPE $$; echo ignored"
    completed = box.sandbox.run(["sh", "-c", script], mounts=box.mounts(), limits=LIMITS, env={})
    assert (completed.exit_code, completed.output) == (141, b"")


def test_what_ordinary_test_suites_do_works(box: Box) -> None:
    completed = box.python("""
        import asyncio, concurrent.futures, os, pathlib, shutil, sqlite3, subprocess, sys, tempfile, threading
        here = pathlib.Path("a.txt")
        here.write_text("x")
        shutil.copy2(here, "b.txt")
        shutil.copytree(tempfile.mkdtemp(), "tree")
        os.rename("b.txt", "tree/b.txt")
        os.symlink("a.txt", "link")
        os.link("a.txt", "hard")
        assert subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True).stdout == b"5\\n"
        assert asyncio.run(asyncio.sleep(0, 4)) == 4
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(int, "12345")) == 15
        child = subprocess.Popen(["sleep", "100"])
        child.terminate()
        assert child.wait() == -15
        sqlite3.connect("d.sqlite").execute("create table t (x)")
        print("all")
        """)
    assert completed.output == b"all\n"


def test_under_bubblewrap_loopback_and_multiprocessing_work(bubblewrap: Box) -> None:
    box = bubblewrap
    (box.checkout / "program.py").write_text(
        "import multiprocessing, socket\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool: print(pool.map(double, [1, 2]))\n"
        "    server = socket.create_server(('localhost', 0))\n"
        "    socket.create_connection(server.getsockname()).close()\n"
    )
    argv = [sys.executable, "program.py"]
    completed = box.sandbox.run(argv, mounts=box.mounts(), limits=LIMITS, env={})
    assert completed.output == b"[2, 4]\n"


def test_waiting_is_told_about_twice_a_second(box: Box) -> None:
    calls: list[float] = []
    completed = box.python("import time; time.sleep(1.7)", on_wait=lambda: calls.append(time.monotonic()))
    assert 3 <= len(calls) <= completed.seconds / 0.5 + 1


def test_an_error_in_the_callback_ends_the_run(box: Box) -> None:
    def fail() -> None:
        raise RuntimeError("the master is gone")

    with pytest.raises(RuntimeError, match="master"):
        box.python("import time; time.sleep(100)", on_wait=fail)
    assert alive(box.token) == []


def test_a_secret_that_nobody_reads_blocks_nothing(box: Box) -> None:
    completed = box.python("print('done')", secret=b"x" * (1 << 20))
    assert completed.output == b"done\n"


def test_a_long_secret_arrives_whole(box: Box) -> None:
    completed = box.python("import sys; print(len(sys.stdin.buffer.read()))", secret=b"x" * (3 << 20))
    assert completed.output == b"3145728\n"


def test_a_place_for_a_mount_that_is_a_symlink_is_refused(box: Box) -> None:
    (box.checkout / ".venv").symlink_to("/etc")
    with pytest.raises(SandboxError, match="symlink"):
        box.python("", mounts=box.mounts((Path("/usr/share"), PROJECT / ".venv")))


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_descriptors_are_not_leaked(box: Box) -> None:
    box.python("")
    before = open_descriptors()
    for _ in range(3):
        box.python("")
    assert open_descriptors() == before


def test_a_sandbox_that_cannot_be_set_up_is_an_error_not_a_failed_test(tmp_path: Path) -> None:
    sandbox = choose("bwrap")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "file").touch()
    # A folder on the way to the mount is a file there: bubblewrap itself has to give up.
    mounts = Mounts(tmp_path / "checkout", Path("/usr/bin/env/shop"))
    with pytest.raises(SandboxError, match="did not start"):
        sandbox.run(["true"], mounts=mounts, limits=LIMITS, env={})
