"""The job ``prepare``: a private repository of the base commit, its gates, and how they go there."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.errors import WorkspaceError
from swarmd.messages import GateSpec, JobReport, Spectrum, Survey, dump, load
from swarmd.verify.bench import Bench, context_for
from swarmd.verify.context import GateContext
from swarmd.verify.demand import kind_of
from swarmd.verify.discover import Found, Tree, discover
from swarmd.verify.examples.prepare import Chosen, choose
from swarmd.verify.examples.sources import collect
from swarmd.verify.facts import BaseFacts, ExampleFacts, TestFacts, save_facts
from swarmd.verify.gates import GateRun, Gates
from swarmd.verify.localise import localise
from swarmd.verify.mapping import map_project
from swarmd.verify.protect import protected_paths
from swarmd.workspace import PrivateRepo, Source, inspect, new_project

__all__ = ["prepare"]

MAX_FILES = 5000
MAX_SURVEY = 32 * 1024 * 1024


def prepare(bench: Bench) -> JobReport:
    """Write survey.json, base.json and tags.json; one that is there already is kept, so that the base stays.

    Raises WorkspaceError for a repository that cannot be worked on, SandboxError.
    """
    survey = _existing(bench)
    if survey is None:
        survey = _survey(bench)
        durable.write(bench.folder / "survey.json", dump(survey))
    return JobReport(
        job_id=bench.job.job_id,
        ok=True,
        commit=survey.base_commit,
        summary=_summary(survey),
        warnings=survey.warnings,
        not_verified=survey.not_verified,
    )


def _existing(bench: Bench) -> Survey | None:
    try:
        survey = load(Survey, durable.read_regular(bench.folder / "survey.json", MAX_SURVEY))
        return survey if bench.repo.base() == survey.base_commit else None
    except (OSError, ValidationError, WorkspaceError):
        return None


def _survey(bench: Bench) -> Survey:
    request = bench.job.request
    root = bench.shop.home.workspace(bench.request_id)
    durable.make_dirs(root, bench.folder)
    workspace = Path(request.workspace) if request.workspace else new_project(root)
    source = inspect(workspace, request.base)
    repo = PrivateRepo.create(root, source)
    repo.remove_checkouts()
    files = repo.files(source.base_commit)
    context = context_for(bench.shop, bench.request_id, source.path, frozenset(files))
    try:
        return _run(bench, source, repo, files, context)
    finally:
        repo.remove_checkouts()


def _run(bench: Bench, source: Source, repo: PrivateRepo, files: list[str], context: GateContext) -> Survey:
    checkout = repo.checkout(source.base_commit, "base")
    found = discover(
        Tree(checkout, frozenset(files)),
        probe=lambda names: context.importable(checkout, names),
        verify=bench.job.request.verify,
        timeout_s=bench.shop.settings.sandbox.gate_s,
        node_modules=(source.path / "node_modules").is_dir(),
        npm=shutil.which("npm") is not None,
    )
    with contextlib.suppress(OSError):  # it only helps: without it prompts say less
        map_project(bench, repo, source.base_commit, checkout, source.path)
    examples, doubts = collect(bench.job.request, Tree(checkout, frozenset(files)))
    gates = Gates(context, found.test_files, frozenset(files))
    runs: list[tuple[GateSpec, GateRun]] = []
    for spec in found.gates:
        if spec.runner in ("pytest", "unittest", "command"):
            checkout = repo.checkout(source.base_commit, "base")
        runs.append((spec, gates.on_base(spec, checkout)))
    first = gates.on_base(found.first_tests, checkout) if found.first_tests else None
    tests = next((run.tests for _, run in runs if run.tests), first and first.tests)
    spectrum = _localise(bench, repo, source.base_commit, gates, runs)
    chosen = Chosen()
    if examples:
        checkout = repo.checkout(source.base_commit, "base")
        chosen = choose(examples, gates, checkout, timeout_s=bench.shop.settings.sandbox.gate_s)
    facts = BaseFacts(
        base_commit=source.base_commit,
        gates={spec.gate: run.facts for spec, run in runs},
        tests=tests,
        examples=chosen.facts,
    )
    save_facts(bench.folder, facts)
    survey = _assemble(bench, source, files, found, runs, tests or TestFacts())
    if found.first_tests is not None and first is not None:
        survey = survey.model_copy(update={"first_tests": _first_tests(found.first_tests, first)})
    return _with_examples(survey.model_copy(update={"spectrum": spectrum}), chosen, doubts)


def _localise(
    bench: Bench, repo: PrivateRepo, commit: str, gates: Gates, runs: list[tuple[GateSpec, GateRun]]
) -> Spectrum | None:
    """Where the failing tests say that the defect may be."""
    settings = bench.shop.settings.sandbox
    base = next(((spec, run.result, run.tests) for spec, run in runs if run.tests), None)
    if base is None or not base[2].failed:
        return None
    checkout = repo.checkout(commit, "base")
    return localise(
        bench.job.request, gates, checkout, base, most=settings.trace_tests, seconds=settings.trace_s
    )


def _with_examples(survey: Survey, chosen: Chosen, doubts: list[str]) -> Survey:
    """``survey`` with the gate of the examples before the tests, which take longer; as evidence they come
    last, because a failing test says more."""
    gates, results = list(survey.gates), list(survey.base_results)
    if chosen.spec is not None and chosen.result is not None:
        first = [n for n, spec in enumerate(gates) if spec.runner in ("pytest", "unittest", "command")]
        gates.insert(min(first, default=len(gates)), chosen.spec)
        results.append(chosen.result)
    facts = chosen.facts or ExampleFacts()
    return survey.model_copy(
        update={
            "gates": gates,
            "base_results": results,
            "examples": [one for one in facts.examples if one.example_id in facts.targets],
            "warnings": [*survey.warnings, *doubts],
            "not_verified": [*survey.not_verified, *chosen.not_verified],
        }
    )


def _assemble(
    bench: Bench,
    source: Source,
    files: list[str],
    found: Found,
    runs: list[tuple[GateSpec, GateRun]],
    tests: TestFacts,
) -> Survey:
    not_verified = list(found.not_verified)
    fixing = kind_of(bench.job.request, None) == "bugfix"
    gates = []
    for spec, run in runs:
        reason = _useless(spec, run, tests, fixing=fixing)
        if reason:
            not_verified.append(reason)
        timeout_s = _timeout(spec, run)
        gates.append(spec.model_copy(update={"mandatory": reason is None, "timeout_s": timeout_s}))
    warnings = list(source.warnings)
    if tests.wrong:
        warnings.append(f"The project's own tests cannot be believed: {'; '.join(tests.wrong)}.")
    elif not tests.finished and tests.started:
        warnings.append("The base commit's own tests do not run to their end.")
    return Survey(
        request_id=bench.request_id,
        workspace=str(source.path),
        base_commit=source.base_commit,
        base_name=source.base_name,
        language=found.language,
        files=files[:MAX_FILES],
        gates=gates,
        base_results=[run.result for _, run in runs],
        base_passed=tests.passed,
        base_failed=tests.failed,
        protected=protected_paths(files)[:MAX_FILES],
        warnings=warnings,
        not_verified=not_verified,
    )


def _useless(spec: GateSpec, run: GateRun, tests: TestFacts, *, fixing: bool) -> str | None:
    """Why a gate cannot decide anything here, if it cannot: it does not even work on the base.

    Tests that do not run to their end may be what a bugfix is to mend; then they decide.
    """
    lines = run.result.detail.splitlines() or ["no reason given"]
    if spec.runner in ("ruff", "mypy") and not run.facts.usable:
        return f"{spec.gate}: {lines[0]}"
    undecided = not tests.started or not (tests.finished or tests.wrong or fixing)
    if spec.runner in ("pytest", "unittest") and undecided:
        return f"tests: on the base commit, {lines[0]} ({lines[-1][:300]})"
    return None


def _first_tests(spec: GateSpec, run: GateRun) -> GateSpec | None:
    """How first tests would be run, if the runner works here at all: without tests, ``run`` shows that, and
    what it does to itself."""
    works = run.tests is not None and run.tests.started and not run.tests.wrong
    return spec if works else None


def _timeout(spec: GateSpec, run: GateRun) -> int:
    """Several times what the gate took on the base, so that an endless loop does not take minutes."""
    return min(spec.timeout_s, max(30, round(run.result.seconds * 5) + 15))


def _summary(survey: Survey) -> str:
    names = ", ".join(spec.gate for spec in survey.gates)
    tests = f"{len(survey.base_passed)} tests pass and {len(survey.base_failed)} fail"
    return f"base {survey.base_commit[:12]} ({survey.base_name}); gates: {names}; {tests} there"
