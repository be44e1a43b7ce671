"""What every gate run of one job shares: the sandbox, where the project appears, its interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from swarmd import durable
from swarmd.config import SandboxSettings
from swarmd.sandbox import Completed, Limits, Mounts, Sandbox
from swarmd.verify.evidence import Artifacts
from swarmd.verify.interpreter import Interpreter

__all__ = ["GateContext", "install_scripts", "node_mounts"]

SCRIPTS = ("judge_report.py", "judge_trace.py", "judge_pytest.py", "judge_unittest.py", "judge_examples.py")
PROBE = """\
import importlib.util, os, sys
for name in sys.argv[1:]:
    found = importlib.util.find_spec(name)
    if found and not (found.origin or "").startswith(os.path.join(os.getcwd(), name)):
        print(name)
"""
INSIDE = Path("/swarmd/judge")
"""Where the judge's own scripts appear in a sandbox that has mounts."""


@dataclass(frozen=True)
class GateContext:
    """Runs programs of a project in the sandbox, always in the same surroundings."""

    sandbox: Sandbox
    workspace: Path
    """The user's project path: where a checkout appears."""
    interpreter: Interpreter
    settings: SandboxSettings
    scripts: Path
    """Folder with a copy of the judge's scripts, on this machine."""
    artifacts: Artifacts
    on_wait: Callable[[], None]
    read_only: tuple[tuple[Path, Path], ...] = ()
    """More that gates need to see, such as node_modules."""
    path: tuple[str, ...] = ()
    """Folders before /usr/bin on $PATH."""

    @property
    def python(self) -> str:
        """The project's interpreter, as the sandbox sees it."""
        return str(self.interpreter.python)

    def place(self, checkout: Path) -> Path:
        """Where ``checkout`` appears to what runs in it."""
        return self.workspace if self._mounts else checkout

    @property
    def _mounts(self) -> bool:
        return self.sandbox.level == "bwrap"

    def script(self, name: str) -> str:
        """The path of a judge script, as the sandbox sees it."""
        return str((INSIDE if self._mounts else self.scripts) / name)

    def run(
        self,
        checkout: Path,
        argv: Sequence[str],
        *,
        seconds: float,
        secret: bytes = b"",
        extra: Sequence[Path] = (),
    ) -> Completed:
        """Run ``argv`` at the top of ``checkout``. ``extra`` files are shown at their own paths.

        Raises SandboxError when the sandbox cannot be set up.
        """
        scripts = (self.scripts, INSIDE if self._mounts else self.scripts)
        shown = [(path, path) for path in extra]
        mounts = Mounts(
            root=checkout,
            at=self.place(checkout),
            writable=True,
            read_only=tuple(dict.fromkeys([*self.interpreter.read_only, *self.read_only, scripts, *shown])),
        )
        limits = Limits(
            seconds=min(seconds, self.settings.gate_s),
            memory_mib=self.settings.memory_mib,
            processes=self.settings.processes,
            file_mib=self.settings.disk_mib,
        )
        return self.sandbox.run(
            argv, mounts=mounts, limits=limits, env=self._env(), secret=secret, on_wait=self.on_wait
        )

    def importable(self, checkout: Path, names: Collection[str]) -> list[str]:
        """Those modules that the interpreter can import without the project. It is asked in the
        sandbox, because its environment is the project's. Raises SandboxError."""
        completed = self.run(checkout, [self.python, "-I", "-B", "-c", PROBE, *names], seconds=60)
        said = completed.output.decode("utf-8", "replace").split()
        return [name for name in names if name in said] if completed.exit_code == 0 else []

    def _env(self) -> dict[str, str]:
        folders = [str(self.interpreter.python.parent), *self.path, "/usr/local/bin", "/usr/bin", "/bin"]
        env = {
            "PATH": ":".join(dict.fromkeys(folders)),
            "LANG": "C.UTF-8",
            "CI": "1",  # test runners of the Node world watch for changes without it
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            "npm_config_update_notifier": "false",
            "npm_config_cache": "/tmp/npm-cache",  # noqa: S108 - inside the sandbox
        }
        if self.interpreter.origin == "project":
            env["VIRTUAL_ENV"] = str(self.interpreter.python.parent.parent)
        return env


def install_scripts(folder: Path) -> Path:
    """Copy the judge's scripts into ``folder``: alone there, they make nothing else importable."""
    source = Path(str(files("swarmd.verify.runners.inside")))
    durable.make_dirs(folder)
    for name in SCRIPTS:
        data = (source / name).read_bytes()
        target = folder / name
        if not target.is_file() or target.read_bytes() != data:
            durable.write(target, data, durable=False, mode=0o644)
    return folder


def node_mounts(workspace: Path) -> tuple[tuple[tuple[Path, Path], ...], tuple[str, ...]]:
    """What Node gates need to see and have on $PATH: node_modules, and a Node that is not in /usr."""
    mounts: list[tuple[Path, Path]] = []
    modules = workspace / "node_modules"
    if modules.is_dir() and not modules.is_symlink():
        mounts.append((modules, modules))
    node = shutil.which("node")
    if node is None or node.startswith(("/usr/", "/bin/")):
        return tuple(mounts), ()
    prefix = Path(node).resolve().parent.parent
    if not (prefix / "lib" / "node_modules").is_dir():
        return tuple(mounts), ()
    return (*mounts, (prefix, prefix)), (str(prefix / "bin"),)
