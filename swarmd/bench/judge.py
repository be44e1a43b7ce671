"""Deciding whether a solution is right: its cases run in the sandbox, never in this process."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from swarmd.bench.cases import Cases
from swarmd.errors import SwarmdError
from swarmd.sandbox import Limits, Mounts, Sandbox, choose, interpreter_mounts

__all__ = ["AT", "Judge", "Outcome", "environment", "sandbox_mounts"]

Outcome = Literal["pass", "fail", "timeout"]

AT = Path("/swarmd-bench")
"""Where a folder appears inside a sandbox that has mounts."""
CASE_S = 5.0
"""Wall time of one case. Those of a right solution take milliseconds."""
MARGIN_S = 20.0
MEMORY_MIB, PROCESSES, FILE_MIB = 1024, 32, 16


def environment() -> dict[str, str]:
    """All that a program in the sandbox is told."""
    folders = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", "LANG": "C.UTF-8"}
    return {"PATH": ":".join(dict.fromkeys(folders)), **fixed}


def sandbox_mounts(sandbox: Sandbox, root: Path, *, writable: bool = False) -> Mounts:
    """``root``, and the interpreter of this process."""
    shown = tuple((path, path) for path in interpreter_mounts(Path(sys.executable)))
    at = AT if sandbox.level == "bwrap" else root
    return Mounts(root=root, at=at, writable=writable, read_only=shown)


@dataclass(frozen=True)
class Judge:
    """Runs cases."""

    sandbox: Sandbox
    case_s: float = CASE_S

    @classmethod
    def make(cls) -> Judge:
        """With the strongest sandbox that there is. Raises SandboxError when there is none."""
        return cls(choose("auto"))

    def run(self, source: str, entry_point: str, cases: Cases, codes: Sequence[str]) -> list[Outcome]:
        """How ``source`` does on each of ``codes``. One that ends the process fails all of them.

        Raises SandboxError when the sandbox cannot be set up.
        """
        if not codes:
            return []
        nonce = secrets.token_hex(16)
        order = {
            "source": source, "entry_point": entry_point, "preamble": cases.preamble, "setup": cases.setup,
            "codes": list(codes), "case_s": self.case_s, "nonce": nonce,
        }  # fmt: skip
        seconds = self.case_s * 4 + MARGIN_S
        with tempfile.TemporaryDirectory(prefix="swarmd-bench-") as folder:
            completed = self.sandbox.run(
                [sys.executable, "-I", "-B", "-c", _script()],
                mounts=sandbox_mounts(self.sandbox, Path(folder)),
                limits=Limits(seconds, MEMORY_MIB, PROCESSES, FILE_MIB),
                env=environment(),
                secret=json.dumps(order).encode("utf-8", "surrogatepass"),
            )
        found = _read(completed.report, nonce, len(codes))
        if found is None:
            return ["timeout" if completed.limit == "timeout" else "fail"] * len(codes)
        return found


def _script() -> str:
    return (Path(str(files("swarmd.bench.inside"))) / "run_cases.py").read_text(encoding="utf-8")


def _read(report: bytes, nonce: str, count: int) -> list[Outcome] | None:
    text = report.decode("utf-8", "replace")
    if not text.startswith(nonce):
        return None
    try:
        found = [outcome for outcome, _ in json.loads(text[len(nonce) :])]
    except (ValueError, TypeError) as error:
        raise SwarmdError(f"the judge's report cannot be read: {error}", code="E-BENCH-JUDGE") from error
    if len(found) != count or any(outcome not in get_args(Outcome) for outcome in found):
        return None
    return found
