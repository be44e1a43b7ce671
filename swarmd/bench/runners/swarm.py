"""swarmd itself: a daemon on a fresh home for each problem, given the request as any program gives it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from swarmd import client, durable
from swarmd import home as homes
from swarmd.audit import Line, read_lines
from swarmd.bench import repository
from swarmd.bench.meter import Span
from swarmd.bench.runners.base import Attempt, Done, plain_environment
from swarmd.bench.runners.processes import end, import_path
from swarmd.bench.suite import path_of
from swarmd.bench.tether import command
from swarmd.bench.toml import written
from swarmd.config import Settings
from swarmd.errors import SwarmdError, UsageError
from swarmd.home import Home
from swarmd.messages import Result

__all__ = ["Swarm", "gate_spans", "overrides"]

READY_S = 60.0
STOP_S = 30.0
POLL_S = 0.05
MARGIN_S = 30
"""A request's own limit lies so much behind the bench's, which counts cached seconds, too."""


@dataclass(frozen=True)
class Swarm:
    """Runs requests through a daemon."""

    tiers: Mapping[str, str]
    """Model by tier."""
    contexts: Mapping[str, int] = field(default_factory=dict)
    """Tokens that each model takes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Sections of swarmd.toml that differ from the defaults."""
    continues: bool = False
    """The server goes on with replies that were begun for it."""
    name: str = "swarmd"

    @property
    def models(self) -> tuple[str, ...]:
        """Those of the tiers."""
        return tuple(dict.fromkeys(self.tiers.values()))

    def facts(self) -> Mapping[str, Any]:
        """See ``Runner``."""
        facts = {"tiers": dict(self.tiers), "settings": self.settings, "contexts": dict(self.contexts)}
        return {**facts, "continues": self.continues}

    def solve(self, attempt: Attempt) -> Done:
        """See ``Runner``. It claims to have solved what its result calls succeeded."""
        env = plain_environment(attempt.scratch)
        home = self._home(attempt, env)
        env["PYTHONPATH"] = import_path(env)
        argv = [sys.executable, "-P", "-m", "swarmd", "--home", str(home.root), "up", "-q"]
        with home.console_log.open("wb") as out:
            process = subprocess.Popen(
                command(argv), env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        try:
            _await_ready(home, process)
            attempt.clock.restart()
            result, seconds = self._request(home, attempt, process)
        finally:
            end(process, STOP_S)
            shutil.rmtree(home.runtime(), ignore_errors=True)
        return _done(home, attempt, result, seconds)

    def _home(self, attempt: Attempt, env: Mapping[str, str]) -> Home:
        models = {
            name: {
                "provider": "openai",
                "base_url": attempt.endpoint,
                "name": name,
                "continues": self.continues,
            }
            | ({"context": self.contexts[name]} if name in self.contexts else {})
            for name in self.models
        }
        # An end after the result, or when time is over, waits for nobody.
        first = {"tiers": dict(self.tiers), "models": models, "daemon": {"drain_s": 0.0}}
        merged = _merged(first, _completed(self.settings))
        home = Home(attempt.scratch / "home")
        durable.make_dirs(home.root)
        durable.write(home.settings_file, written(merged).encode(), durable=False)
        homes.init(home, env)
        durable.make_dirs(home.logs)
        return home

    def _request(
        self, home: Home, attempt: Attempt, process: subprocess.Popen[bytes]
    ) -> tuple[Result | None, float]:
        """The result, None when time was over before it, and the seconds until then."""
        clock, problem = attempt.clock, attempt.problem
        request = {
            "user_request": problem.request,
            "request_id": problem.slug,
            "workspace": str(attempt.repository),
            "files": [path_of()],
            "limits": {"seconds": int(clock.limit_s) + MARGIN_S},
        }
        client.submit(home, request)
        while not clock.is_over:
            try:
                return client.wait(home, problem.slug, POLL_S * 10, grace_s=READY_S), clock.seconds
            except client.WaitTimeoutError:
                if process.poll() is not None:
                    raise _broken(home, f"the daemon ended with status {process.returncode}") from None
        return None, clock.seconds


def _await_ready(home: Home, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while not any(line.get("event") == "daemon_ready" for line in _lines(home)):
        if process.poll() is not None:
            raise _broken(home, f"the daemon ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise _broken(home, f"the daemon was not ready within {READY_S:g} s")
        time.sleep(POLL_S)


def _broken(home: Home, message: str) -> SwarmdError:
    said = ""
    with suppress(OSError):
        said = " ".join(home.console_log.read_text(errors="replace").split())[-300:]
    hint = 'Run "swarmd doctor", or again with --keep, and look into the work folder.'
    return SwarmdError(f"{message}: {said}", code="E-BENCH-DAEMON", hint=hint)


def _lines(home: Home) -> Iterator[Line]:
    try:
        for line, _ in read_lines(home.master_log):
            yield line
    except (OSError, orjson.JSONDecodeError):
        return


def _done(home: Home, attempt: Attempt, result: Result | None, seconds: float) -> Done:
    spans = tuple(gate_spans(_lines(home)))
    if result is None:
        return Done(False, True, "", spans, seconds)
    claimed = result.status == "succeeded" and result.branch is not None
    if result.branch is not None:
        repository.check_out(attempt.repository, result.branch)
    tasks = [task for task in result.tasks if task.samples]
    detail = {
        "status": result.status,
        "branch": result.branch,
        "tiers": [task.tier for task in tasks],
        "attempts": [task.attempts for task in tasks],
        "samples": [task.samples for task in tasks],
        "not_verified": result.not_verified[:5],
    }
    error = f"{result.error.code}: {result.error.message}" if result.error else ""
    return Done(claimed, False, error, spans, seconds, detail)


def gate_spans(lines: Iterator[Line]) -> Iterator[Span]:
    """When gates ran, from the lines of the log: each tells its gates' milliseconds when they ended."""
    for line in lines:
        data = line.get("data")
        gates = data.get("gates") if isinstance(data, dict) else None
        spent = sum(gate.get("ms") or 0 for gate in gates or () if isinstance(gate, dict))
        if spent:
            ended = datetime.fromisoformat(str(line["ts"])).timestamp()
            yield ended - spent / 1000, ended


def overrides(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Settings given as KEY=VALUE, KEY with dots and VALUE as in TOML. Raises UsageError."""
    merged: dict[str, Any] = {}
    for pair in pairs:
        try:
            merged = _merged(merged, tomllib.loads(pair))
        except tomllib.TOMLDecodeError as error:
            hint = "For example: --set policy.samples.fast=1, or --set 'policy.review=\"block\"'."
            raise UsageError(f"{pair!r} is no setting: {error}", hint=hint) from error
    if "tiers" in merged:
        raise UsageError(
            "the tiers' models are not settings here", hint="Choose them with --model and --fast."
        )
    try:
        Settings.model_validate(_completed(merged))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"--set {name}: {first['msg']}", hint="docs/settings.md lists them all.") from error
    return merged


def _completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with the defaults of each section that they speak of: of three tiers one may be set."""
    defaults = Settings().model_dump(exclude_none=True, exclude={"models", "tiers"})
    return _merged({name: defaults[name] for name in settings if name in defaults}, settings)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged
