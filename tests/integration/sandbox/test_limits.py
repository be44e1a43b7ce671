"""Programs that use too much, and programs that do not want to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from swarmd.errors import SandboxError
from swarmd.sandbox.cgroup import process_limit
from swarmd.sandbox.launcher import descendants

from .conftest import Box, alive


def test_a_program_that_ignores_sigterm_ends_at_its_time(box: Box) -> None:
    completed = box.python(
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(100)",
        seconds=0.6,
    )
    assert (completed.limit, completed.exit_code) == ("timeout", None)
    assert completed.output == b"on\n"
    assert completed.seconds < 5
    assert alive(box.token) == []


DAEMON = """
    import os, signal, sys, time
    if os.fork() == 0:
        os.setsid()
        for number in (1, 2, 3, 13, 15):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.closerange(0, 100)
            time.sleep(100)
        os._exit(0)
    time.sleep(float(sys.argv[1]))
    """


@pytest.mark.parametrize("parent_s", [0.2, 100])
def test_a_daemon_that_detached_itself_does_not_survive(box: Box, parent_s: float) -> None:
    completed = box.python(DAEMON, parent_s, seconds=1)
    assert completed.limit == (None if parent_s < 1 else "timeout")
    assert alive(box.token) == []


def test_a_background_process_that_holds_the_output_does_not_hold_us(box: Box) -> None:
    completed = box.python("import os, time\nif os.fork() == 0: time.sleep(100)\nprint('done', flush=True)")
    assert completed.exit_code == 0
    assert completed.output == b"done\n"
    assert completed.seconds < 5
    assert alive(box.token) == []


def test_closed_output_is_not_taken_for_the_end(box: Box) -> None:
    completed = box.python("import os, time\nos.closerange(0, 100)\ntime.sleep(0.5)\nos._exit(9)")
    assert completed.exit_code == 9
    assert completed.seconds >= 0.5


def test_an_endless_chain_of_forks_is_caught(box: Box) -> None:
    """Each process lives for a moment only and leaves its session: no list of them is ever true."""
    completed = box.python(
        """
        import os, time
        if os.fork() == 0:
            while True:
                if os.fork():
                    os._exit(0)
                os.setsid()
        time.sleep(100)
        """,
        seconds=1,
    )
    assert completed.limit in ("timeout", "processes")
    assert alive(box.token) == []


def test_a_fork_bomb_is_ended_and_does_not_take_the_machine(box: Box) -> None:
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, len(alive(box.token)))

    completed = box.python("import os\nwhile True: os.fork()", processes=24, on_wait=count)
    assert completed.limit == "processes"
    assert most < 2000
    assert alive(box.token) == []


def test_roots_processes_are_limited_by_a_control_group_that_goes_away() -> None:
    with process_limit(7) as file:
        if file is None:
            pytest.skip("not root, or no control group can be made here")
        program = """
import os, sys, time
with open(sys.argv[1], "w") as group:
    group.write("0")
for _ in range(9):
    if os.fork() == 0:
        time.sleep(1)
        os._exit(0)
"""
        done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, check=False)
        assert b"Resource temporarily unavailable" in done.stderr
    assert not file.exists()


def test_memory_is_counted_over_all_processes(box: Box) -> None:
    program = """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                block = bytearray(os.urandom(1 << 20) * 90)
                time.sleep(100)
        time.sleep(100)
        """
    completed = box.python(program, memory_mib=300)
    assert completed.limit == "memory"
    assert completed.exit_code is None
    assert alive(box.token) == []


def test_memory_that_one_process_touches_at_once(box: Box) -> None:
    assert box.python("x = bytearray(2 << 30)", memory_mib=256).limit == "memory"


def test_a_file_cannot_grow_over_its_limit(box: Box) -> None:
    completed = box.python(
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('b', 'wb').write(bytes(3 << 20))",
        file_mib=2,
    )
    assert completed.exit_code == 1
    assert b"File too large" in completed.output
    assert (box.checkout / "b").stat().st_size <= 2 << 20


def test_endless_output_is_kept_within_bounds(box: Box) -> None:
    completed = box.python(
        "import sys\nprint('first line')\nwhile True: sys.stdout.write('y' * 10000)", seconds=0.8
    )
    assert completed.limit == "timeout"
    assert completed.output.startswith(b"first line\n")
    assert b"bytes left out" in completed.output
    assert len(completed.output) < (1 << 20) + 100


def test_the_end_of_long_output_is_kept(box: Box) -> None:
    completed = box.python("print('a' * (3 << 20)); print('the verdict')")
    assert completed.output.endswith(b"the verdict\n")
    assert completed.exit_code == 0


def test_output_in_an_enlarged_pipe_is_not_lost(box: Box) -> None:
    completed = box.python(
        """
        import fcntl, os
        fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.write(1, b"x" * 900_000 + b"the verdict")
        """
    )
    assert completed.output.endswith(b"xthe verdict")


def test_an_endless_report_is_kept_within_bounds(box: Box) -> None:
    completed = box.python("import os\nfor _ in range(20): os.write(3, bytes(1 << 20))")
    assert completed.exit_code == 0
    assert len(completed.report) == 16 << 20


def test_no_core_is_dumped(box: Box) -> None:
    box.python("import os; os.abort()")
    assert list(box.checkout.iterdir()) == []


def test_the_run_dies_with_its_verifier_even_by_kill_9(box: Box, tmp_path: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from swarmd.sandbox import Limits, Mounts, choose, interpreter_mounts
        python = Path(sys.executable)
        sandbox = choose({box.level!r})
        inner = "import os, time\\nfor _ in range(3):\\n if os.fork() == 0: os.setsid()\\ntime.sleep(100)"
        sandbox.run(
            [str(python), "-I", "-c", inner, {box.token!r}],
            mounts=Mounts(Path({str(box.checkout)!r}), Path("/src/shop"),
                          read_only=tuple((path, path) for path in interpreter_mounts(python))),
            limits=Limits(60, 512, 64, 10), env={{}},
        )
        """
    temporary = box.checkout.parent / "temporary"
    temporary.mkdir()
    verifier = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        wait_until(lambda: len(alive(box.token)) >= 8)
        os.kill(verifier.pid, signal.SIGKILL)
        verifier.wait()
        wait_until(lambda: not alive(box.token) and not list(temporary.iterdir()))
    finally:
        verifier.kill()
        verifier.wait()


def test_a_killed_launcher_is_an_error_and_takes_the_program_with_it(box: Box) -> None:
    def kill_launcher() -> None:
        if alive(box.token):
            for pid in descendants(os.getpid()):
                if b"launcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    return

    with pytest.raises(SandboxError):
        box.python("import time; time.sleep(100)", on_wait=kill_launcher)
    wait_until(lambda: not alive(box.token))


def wait_until(true: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
