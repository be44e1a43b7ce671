"""The unit as systemd itself reads it, without running it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from swarmd.home import Home, init

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def verify(tmp_path: Path, file: Path) -> subprocess.CompletedProcess[str]:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(tmp_path)}
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(file)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["home", '50% "of" $HOME \\ {größe} @EXEC@ --x', "tail\\"])
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_RUNTIME_DIR": str(tmp_path / "nobody"),  # no manager answers there
        "SWARMD_HOME": str(home.root),
    }
    init(home, env)
    command = [sys.executable, "-m", "swarmd", "service", "install"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "config/systemd/user/swarmd.service"
    verified = verify(tmp_path, file)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    # The check itself must be able to fail.
    file.write_text(file.read_text().replace("KillMode=mixed", "KillMode=gently"))
    assert "kill mode" in verify(tmp_path, file).stderr
