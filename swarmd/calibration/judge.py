"""Whether an edited file is right: its exercise's check runs on it in the sandbox, never in this process."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

from swarmd.calibration.exercises import Exercise
from swarmd.sandbox import Limits, Mounts, Sandbox, interpreter_mounts

__all__ = ["Judge"]

AT = Path("/swarmd-calibration")
"""Where the empty folder appears inside a sandbox that has mounts."""
LIMITS = Limits(seconds=10.0, memory_mib=512, processes=16, file_mib=4)
"""A right edit's check takes some milliseconds."""


@dataclass(frozen=True)
class Judge:
    """Runs checks."""

    sandbox: Sandbox

    def fault(self, exercise: Exercise, source: str) -> str:
        """Why ``source``, the edited file, does not pass the exercise's check; empty when it does.

        Raises SandboxError when the sandbox cannot be set up.
        """
        nonce = secrets.token_hex(16)
        module = PurePosixPath(exercise.path).stem
        order = {"module": module, "source": source, "check": exercise.check, "nonce": nonce}
        shown = tuple((path, path) for path in interpreter_mounts(Path(sys.executable)))
        with tempfile.TemporaryDirectory(prefix="swarmd-check-") as folder:
            root = Path(folder)
            at = AT if self.sandbox.level == "bwrap" else root
            completed = self.sandbox.run(
                [sys.executable, "-I", "-B", "-c", _script()],
                mounts=Mounts(root=root, at=at, writable=False, read_only=shown),
                limits=LIMITS,
                env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
                secret=json.dumps(order).encode("utf-8", "surrogatepass"),
            )
        if completed.report == nonce.encode():
            return ""
        if completed.limit:
            return str(completed.limit)
        said = completed.output.decode(errors="replace").strip().splitlines()
        return said[-1][:200] if said else f"it ended with {completed.exit_code}"


def _script() -> str:
    return (Path(str(files("swarmd.calibration.inside"))) / "run_check.py").read_text(encoding="utf-8")
