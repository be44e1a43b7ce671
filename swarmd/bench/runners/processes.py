"""Starting programs for a problem, and ending them with all that they started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import swarmd

__all__ = ["end", "import_path"]

GRACE_S = 10.0


def import_path(env: Mapping[str, str]) -> str:
    """$PYTHONPATH with which another interpreter finds this very package, installed or not."""
    package = str(Path(swarmd.__file__).resolve().parents[1])
    return os.pathsep.join(
        dict.fromkeys([package, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))])
    )


def end(process: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """End ``process``, politely, then not, and whatever it had started and left behind."""
    import psutil

    children: list[psutil.Process] = []
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(children, timeout=grace_s)
