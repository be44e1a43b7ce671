"""A run: the suite, the proxy, one problem after the other, one line of results for each."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

import swarmd
from swarmd import durable
from swarmd.bench import repository, results, suite
from swarmd.bench.cache import Cache
from swarmd.bench.dataset import Dataset
from swarmd.bench.judge import Judge
from swarmd.bench.meter import Meter
from swarmd.bench.proxy import Proxy
from swarmd.bench.results import Row
from swarmd.bench.runners.base import Attempt, Clock, Done, Runner
from swarmd.bench.suite import Problem, Suite, SuiteName
from swarmd.bench.upstream import Upstream
from swarmd.errors import SwarmdError, UsageError

__all__ = ["Plan", "begin", "locked", "prepare", "run"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    suite: SuiteName
    runner: Runner
    label: str
    count: int
    seed: int
    limit_s: float
    out: Path
    keep: bool = False
    """Leave the work folders of the problems."""

    def variant(self, dataset: Dataset) -> str:
        """The digest of everything that makes two results of one label comparable."""
        facts = {
            "data": dataset.digest,
            "runner": self.runner.name,
            "models": self.runner.models,
            "limit_s": self.limit_s,
            **self.runner.facts(),
        }
        return hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Have ``out``, made if need be, for this run alone. Raises UsageError E-BENCH-BUSY."""
    from filelock import FileLock, Timeout

    try:
        durable.make_dirs(out)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be made: {error}", hint="Choose another folder with --out."
        ) from error
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"another bench works in {out}", code="E-BENCH-BUSY", hint="Wait for it, or use another --out."
        ) from None
    try:
        yield
    finally:
        lock.release()


def prepare(plan: Plan, dataset: Dataset, judge: Judge, say: Say) -> Suite:
    """The suite of ``plan``; kept in its folder, because making it takes a minute."""
    tag = f"{plan.suite}-{plan.count}-{plan.seed}-{dataset.digest[:12]}"
    path = plan.out / "suites" / f"{tag}.json"
    try:
        return suite.from_json(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError):
        say(f"making {plan.count} problems of the suite {plan.suite} …")
    made = suite.build(dataset, plan.suite, plan.count, plan.seed, judge)
    durable.make_dirs(path.parent)
    durable.write(path, orjson.dumps(suite.to_json(made), option=orjson.OPT_INDENT_2), durable=False)
    return made


def begin(plan: Plan, dataset: Dataset, problems: Suite) -> list[Problem]:
    """The problems that have no result yet.

    Raises UsageError E-BENCH-LABEL when there are results of this label that came about in another way.
    """
    variant = plan.variant(dataset)
    found = {row.key: row for row in results.read(plan.out)}
    mine = [row for row in found.values() if (row.suite, row.label) == (plan.suite, plan.label)]
    if any(row.variant != variant for row in mine):
        raise UsageError(
            f'{plan.out} holds results of "{plan.label}" that were made with other options or models',
            code="E-BENCH-LABEL",
            hint="Give this variant a --label of its own, or use another --out.",
        )
    return [
        problem
        for problem in problems.problems
        if (plan.suite, plan.label, problem.task_id, plan.seed) not in found
    ]


def run(
    plan: Plan,
    dataset: Dataset,
    todo: list[Problem],
    routes: Mapping[str, Upstream],
    judge: Judge,
    on_row: Callable[[Row], None],
) -> None:
    """Have each problem solved and judged; its row is kept as soon as it is known.

    Raises SwarmdError when the runner cannot work at all; the rows so far are kept.
    """
    variant = plan.variant(dataset)
    with Proxy(routes, Cache(plan.out / "cache")) as proxy:
        for problem in todo:
            row = _solve(plan, problem, proxy, judge, variant)
            results.append(plan.out, row)
            on_row(row)
        if proxy.unsaved:
            raise SwarmdError(
                f"{proxy.unsaved} replies could not be kept in {proxy.cache.folder}",
                code="E-BENCH-CACHE",
                hint="The results are whole; make room before the next run, which asks for these again.",
            )


def _solve(plan: Plan, problem: Problem, proxy: Proxy, judge: Judge, variant: str) -> Row:
    # The same place for every variant: paths that come into prompts must not keep the cache from hitting.
    work = plan.out.absolute() / "work" / problem.slug
    shutil.rmtree(work, ignore_errors=True)
    try:
        repository.make(problem, work / "repository")
        durable.make_dirs(work / "scratch")
        meter = proxy.begin()
        clock = Clock(plan.limit_s, meter)
        attempt = Attempt(problem, work / "repository", work / "scratch", clock, proxy.url)
        done = plan.runner.solve(attempt)
        source = repository.solution(work / "repository")
    finally:
        if not plan.keep:
            shutil.rmtree(work, ignore_errors=True)
    return _row(plan, problem, done, source, meter, judge, variant)


def _row(
    plan: Plan, problem: Problem, done: Done, source: str | None, meter: Meter, judge: Judge, variant: str
) -> Row:
    passes = _passes(problem, source or "", judge)
    visible = all(passes[: len(problem.shown)]) if problem.shown else None
    hidden = bool(problem.hidden) and all(passes[len(problem.shown) :])
    calls = meter.calls
    return Row(
        suite=problem.suite,
        label=plan.label,
        runner=plan.runner.name,
        task_id=problem.task_id,
        seed=plan.seed,
        solved=hidden and visible is not False,
        hidden=hidden,
        visible=visible,
        claimed=done.claimed,
        model=", ".join(plan.runner.models),
        prompt_tokens=sum(call.prompt_tokens for call in calls),
        completion_tokens=sum(call.completion_tokens for call in calls),
        calls=len(calls),
        cached_calls=sum(call.cached for call in calls),
        aborted_calls=sum(call.aborted for call in calls),
        seconds=round(done.seconds, 3),
        model_seconds=round(meter.model_s(), 3),
        gate_seconds=round(meter.gate_s(done.gates), 3),
        timed_out=done.timed_out,
        error=done.error[:500],
        detail=_detail(problem, done),
        variant=variant,
        version=swarmd.__version__,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _detail(problem: Problem, done: Done) -> dict[str, Any]:
    bug = {"mutation": problem.mutation} if problem.mutation else {}
    return {**bug, "cpus": os.cpu_count(), **done.detail}


def _passes(problem: Problem, source: str, judge: Judge) -> list[bool]:
    codes = [*problem.shown, *problem.hidden]
    outcomes = judge.run(source, problem.entry_point, problem.cases, codes)
    return [outcome == "pass" for outcome in outcomes]
