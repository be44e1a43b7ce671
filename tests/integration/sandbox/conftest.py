"""Both sandboxes, and a short way to run a Python program in one."""

from __future__ import annotations

import os
import secrets
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from swarmd.sandbox import Completed, Limits, Mounts, Sandbox, choose, interpreter_mounts

LIMITS = Limits(seconds=20, memory_mib=1024, processes=64, file_mib=64)
PROJECT = Path("/src/shop")
INTERPRETER = tuple((path, path) for path in interpreter_mounts(Path(sys.executable)))


def alive(token: str) -> list[int]:
    """The processes that have ``token`` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and token in (entry / "cmdline").read_text(errors="replace"):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@dataclass
class Box:
    """A sandbox with a checkout."""

    sandbox: Sandbox
    checkout: Path
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    """In the command line of everything that is run here."""

    @property
    def level(self) -> str:
        return self.sandbox.level

    def mounts(self, *more: tuple[Path, Path], writable: bool = True) -> Mounts:
        return Mounts(self.checkout, PROJECT, writable, (*INTERPRETER, *more))

    def python(
        self,
        program: str,
        *arguments: object,
        mounts: Mounts | None = None,
        secret: bytes = b"",
        env: dict[str, str] | None = None,
        on_wait: Callable[[], None] = lambda: None,
        **limits: Any,
    ) -> Completed:
        """Run a program text; ``arguments`` are its sys.argv[1:]."""
        return self.sandbox.run(
            [sys.executable, "-I", "-c", textwrap.dedent(program), *map(str, arguments), self.token],
            mounts=mounts or self.mounts(),
            limits=replace(LIMITS, **limits),
            env=env or {},
            secret=secret,
            on_wait=on_wait,
        )


@pytest.fixture(scope="session", params=["bwrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return choose(request.param)


@pytest.fixture
def box(sandbox: Sandbox, tmp_path: Path) -> Box:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    return Box(sandbox, checkout)


@pytest.fixture
def bubblewrap(tmp_path: Path) -> Box:
    """The stronger sandbox alone, for what only it promises."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    return Box(choose("bwrap"), checkout)
