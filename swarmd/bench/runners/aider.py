"""aider, from a virtual environment of its own, with its test loop on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmd.bench import testcmd
from swarmd.bench.repository import solution
from swarmd.bench.runners.base import Attempt, Done, plain_environment
from swarmd.bench.runners.processes import end, import_path
from swarmd.bench.suite import TEST_PATH, path_of
from swarmd.bench.tether import command
from swarmd.errors import UsageError

__all__ = ["Aider", "find"]

POLL_S = 0.1
TAIL = 300
TEST_COMMAND = "pytest -q"
SWITCHES = (
    "--yes-always", "--no-git", "--no-check-update", "--no-show-release-notes", "--analytics-disable",
    "--no-analytics", "--no-show-model-warnings", "--no-suggest-shell-commands", "--no-detect-urls",
    "--no-pretty", "--no-fancy-input", "--disable-playwright", "--no-gitignore", "--no-restore-chat-history",
)  # fmt: skip
"""It asks nobody, goes nowhere but to the endpoint, and keeps its defaults in all that is about solving."""


@dataclass(frozen=True)
class Aider:
    """Runs the program for each problem, with its message and its test command."""

    model: str
    program: Path
    edit_format: str | None = None
    """As its --edit-format takes it; None: the one that it chooses for the model."""
    context: int = 4096
    """What it is told of the model: tokens of prompt and reply together."""
    name: str = "aider"

    @property
    def models(self) -> tuple[str, ...]:
        """The one that is asked."""
        return (self.model,)

    def facts(self) -> Mapping[str, Any]:
        """See ``Runner``."""
        return {"program": self._version(), "edit_format": self.edit_format, "switches": SWITCHES}

    def _version(self) -> str:
        try:
            argv = [str(self.program), "--version"]
            env = plain_environment(Path(os.devnull))
            done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True, env=env)
        except (OSError, subprocess.SubprocessError) as error:
            raise UsageError(
                f"aider cannot be run: {error}",
                code="E-BENCH-AIDER",
                hint='Install it into an environment of its own ("pip install aider-chat==0.86.2") and name '
                "its program with --aider.",
            ) from error
        return done.stdout.strip()[-40:]

    def solve(self, attempt: Attempt) -> Done:
        """See ``Runner``. It claims to have solved what it changed, if the last run of the tests passed."""
        gates = attempt.scratch / "gates"
        log = attempt.scratch / "aider.log"
        env = self._environment(attempt.scratch, gates)
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(self._argv(attempt)),
                cwd=attempt.repository,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
            try:
                while process.poll() is None and not attempt.clock.is_over:
                    time.sleep(POLL_S)
                timed_out, seconds = process.poll() is None, attempt.clock.seconds
            finally:
                end(process)
        runs = testcmd.read_log(gates)
        changed = solution(attempt.repository) != attempt.problem.source
        green = bool(runs) and runs[-1][2] == 0
        claimed = not timed_out and changed and (green or not attempt.problem.test)
        code = process.returncode
        failed = f"E-BENCH-AIDER: exit code {code}: {_tail(log)}" if code and not timed_out else ""
        spans = tuple((begun, ended) for begun, ended, _ in runs)
        return Done(claimed, timed_out, failed, spans, seconds, {"test_runs": len(runs), "changed": changed})

    def _argv(self, attempt: Attempt) -> list[str]:
        metadata = attempt.scratch / "models.json"
        known = {
            "max_input_tokens": self.context,
            "max_output_tokens": self.context,
            "max_tokens": self.context,
        }
        priced = {"input_cost_per_token": 0, "output_cost_per_token": 0, "litellm_provider": "openai"}
        metadata.write_text(json.dumps({f"openai/{self.model}": {**known, **priced, "mode": "chat"}}))
        message = attempt.scratch / "message.txt"
        message.write_text(attempt.problem.request, encoding="utf-8")
        words = [
            *(str(self.program), "--model", f"openai/{self.model}", "--openai-api-base", attempt.endpoint),
            *("--openai-api-key", "none", "--model-metadata-file", str(metadata)),
            *("--message-file", str(message), *SWITCHES),
        ]
        if self.edit_format:
            words += ["--edit-format", self.edit_format]
        for name in ("input-history", "chat-history"):
            words += [f"--{name}-file", str(attempt.scratch / name)]
        if attempt.problem.test:
            words += ["--auto-test", "--test-cmd", TEST_COMMAND, "--read", TEST_PATH]
        return [*words, path_of()]

    def _environment(self, scratch: Path, gates: Path) -> dict[str, str]:
        """Its test command is a ``pytest`` that runs in the sandbox: a short name, because it stands in
        the prompt."""
        tools = scratch / "bin"
        tools.mkdir()
        pytest = tools / "pytest"
        pytest.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m swarmd.bench.testcmd "$@"\n')
        pytest.chmod(0o755)
        own = plain_environment(scratch)
        paths = [str(tools), own.get("PATH", os.defpath)]
        fixed = {testcmd.LOG: str(gates), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "AIDER_ANALYTICS": "false"}
        return {
            **own,
            **fixed,
            "PATH": os.pathsep.join(paths),
            "PYTHONPATH": import_path(own),
            "COLUMNS": "100",
        }


def find(option: str | None) -> Path:
    """The program: ``option``, else the one on $PATH. Raises UsageError when there is none."""
    found = option or shutil.which("aider")
    if found is None or not Path(found).is_file():
        raise UsageError(
            f"there is no program {option or 'aider'}",
            code="E-BENCH-AIDER",
            hint='Install it into an environment of its own ("pip install aider-chat==0.86.2") and name its '
            "program with --aider.",
        )
    return Path(found).absolute()


def _tail(log: Path) -> str:
    text = log.read_bytes()[-TAIL * 4 :].decode("utf-8", "replace")
    return " ".join(text.split())[-TAIL:]
