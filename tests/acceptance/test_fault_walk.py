"""A sample of the fault walk: scripts/fault_walk.py walks every point, this one some of each kind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/fault_walk.py"


def _can_trace() -> bool:
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-qo", "/dev/null", "true"]).returncode == 0
    )


@pytest.mark.skipif(
    not _can_trace(), reason="strace injects the faults: not installed, or not permitted here"
)
def test_nothing_is_lost_or_done_twice_wherever_a_fault_comes() -> None:
    folder = tempfile.mkdtemp(prefix="fw", dir="/tmp")  # pytest's own folders have paths too long for sockets
    walked = subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            "--short",
            "--points",
            "20",
            "--jobs",
            "2",
            "--json",
            "--folder",
            folder,
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert walked.stdout, walked.stderr
    report = json.loads(walked.stdout)
    assert walked.returncode == 0, json.dumps(report["failures"], indent=2)
    assert report["points"] >= 15, report
    assert report["held"] >= report["points"] * 0.8, report
    shutil.rmtree(folder)
