"""What ``swarmd status`` costs does not depend on how many files wait, beyond reading their names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from swarmd.home import Home, init

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_file_that_waits_is_looked_at(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state")}
    init(home, env)

    def calls() -> int:
        trace = tmp_path / "trace"
        watched = "trace=%file,%stat,%fstat,read,pread64"
        command = [sys.executable, "-m", "swarmd", "--home", str(home.root), "status", "-q"]
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", str(trace), "-e", watched, *command],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 3, done.stderr
        return len(re.findall(r"\(", trace.read_text(errors="replace")))

    calls()  # compiles what was not yet
    before = calls()
    for folder in ("bus/inbox/normal", "bus/inbox", "bus/outbox", "bus/deadletter", "bus/active"):
        for number in range(500):
            path = home.root / folder / f"r{number}.json"
            path.mkdir() if folder == "bus/active" else path.write_text("{}")
    # Ten active requests are shown with their state.
    assert calls() < before + 40
