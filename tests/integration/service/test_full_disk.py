"""A daemon that is started on a full disk, as a service manager does after a crash there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SMALL_DISK = 'mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"'


def test_a_start_on_a_full_disk_waits_for_room_and_goes_on_by_itself(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, str(disk)]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(
        [*own, sys.executable, "-m", "tests.integration.service.on_full_disk", str(disk)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen == {"waited": True, "ready": True, "stopped": 0, "stopped_waiting": -15}
