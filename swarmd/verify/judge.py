"""The job ``judge``: is this proposal good? Checked in order of cost, stopping at the first red."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from swarmd.errors import SwarmdError
from swarmd.messages import JobReport, Proposal, Verdict
from swarmd.verify.bench import TASK_TRAILER, Bench, load_proposal
from swarmd.verify.compare import Demand, named_by
from swarmd.verify.demand import code_to_come, example_targets, kind_of, targets
from swarmd.verify.digest import failure
from swarmd.verify.draft import Draft, RefusedError, draft_patch, land_tests
from swarmd.verify.gating import run_gates, verdict_of
from swarmd.verify.opinions import confirm, settle
from swarmd.verify.records import JudgeRecord, held_tests, save_judged
from swarmd.verify.review import judge_review
from swarmd.verify.roles import role_of
from swarmd.verify.runners.suites import SuiteRun
from swarmd.verify.testers import judge_tests_patch

__all__ = ["coding_to_come", "judge", "judge_best"]


def judge(bench: Bench) -> JobReport:
    """Judge the job's proposal; a verdict, good or bad, is an ``ok`` report."""
    if bench.job.proposal is None:
        raise SwarmdError(f"the job {bench.job.job_id} names no proposal", code="E-JOB")
    proposal = load_proposal(bench.job.proposal, bench.job.order_id)
    if proposal.kind == "findings":
        verdict = judge_review(bench, proposal)
    elif proposal.kind in ("message", "plan"):
        verdict = _text_verdict(bench, proposal)
    elif proposal.kind == "none":
        why = proposal.failure or failure("nothing", proposal.text or "the agent proposed nothing")
        verdict = Verdict(order_id=bench.order_id, ok=False, failure=why)
    else:
        record = judge_best(bench, proposal, bench.repo.tip())
        record = record.model_copy(update={"model": bench.job.model})
        if record.verdict.ok and not record.verdict.held and not coding_to_come(bench):
            record = settle(bench, record) if bench.job.settles else confirm(bench, record)
            bench.clear()
        save_judged(bench, record)
        verdict = record.verdict
    return JobReport(
        job_id=bench.job.job_id,
        ok=True,
        verdict=verdict,
        summary=proposal.summary,
        not_verified=verdict.not_verified,
    )


def _text_verdict(bench: Bench, proposal: Proposal) -> Verdict:
    text = proposal.text.strip()
    why = None if text else failure("nothing", f"the {proposal.kind} is empty")
    return Verdict(order_id=bench.order_id, ok=bool(text), failure=why)


def judge_best(bench: Bench, proposal: Proposal, tip: str) -> JudgeRecord:
    """Judge the proposal's patches on top of ``tip``, the smallest first unless they are ranked, up to the
    first that passes: it is taken. If none does, the record is of the one that came nearest: through the
    most gates, and there with the fewest red tests.

    Raises SwarmdError when the judging itself is not possible.
    """
    hashes = [proposal.canonical, *(other.canonical for other in proposal.others)]
    records: dict[int, JudgeRecord] = {}
    order = range(len(hashes))
    for number in order if proposal.ranked else sorted(order, key=lambda one: len(proposal.patches[one])):
        records[number] = judge_on(bench, proposal.patches[number], tip, hurried=proposal.ranked)
        if records[number].verdict.ok:
            break
    best = min(records, key=lambda number: _distance(records[number].verdict))
    unclear = [number for number, record in records.items() if proposal.ranked and _timed_out(record)]
    told = {number: hashes[number] for number in records if number not in unclear}
    others = [program for number, program in told.items() if number != best and program]
    update = {"canonical": told.get(best, ""), "chosen": best, "others": others}
    record = records[best]
    return record.model_copy(update={"verdict": record.verdict.model_copy(update=update)})


def _timed_out(record: JudgeRecord) -> bool:
    """A program that was hurried and did not end may be right all the same."""
    return record.verdict.failure is not None and record.verdict.failure.kind == "timeout"


def _distance(verdict: Verdict) -> tuple[bool, int, int]:
    """How far from passing: fewer red tests are nearer, and then more gates that passed."""
    red = next((gate for gate in verdict.gates if not gate.ok), None)
    count = len(red.failures) or len(red.findings) if red else 0
    return not verdict.ok, -len(verdict.gates), count


def judge_on(bench: Bench, patch: str, tip: str, *, hurried: bool = False) -> JudgeRecord:
    """Judge ``patch`` on top of ``tip``; ``hurried``: its gates get little more time than on the base,
    because it is one of many. Raises SwarmdError when the judging itself is not possible."""
    try:
        draft = draft_patch(bench, patch, tip)
        if bench.role == "testing":
            verdict = judge_tests_patch(bench, draft, tip, to_come=bool(coding_to_come(bench)))
            return JudgeRecord(tip=tip, commit=draft.commit, verdict=verdict)
        return _judge_code(bench, draft, tip, hurried=hurried)
    except RefusedError as error:
        sha256 = hashlib.sha256(patch.encode("utf-8", "replace")).hexdigest()
        verdict = Verdict(
            order_id=bench.order_id,
            ok=False,
            failure=error.failure,
            patch_sha256=sha256,
            protected=error.protected,
        )
        return JudgeRecord(tip=tip, commit=tip, verdict=verdict)
    finally:
        bench.clear()


def coding_to_come(bench: Bench) -> list[str]:
    """Task ids of the plan's coding packets that may still change the code after the job's packet."""
    if bench.plan is None:
        return []
    roles = {packet.agent_type: role_of(bench.shop.home, packet.agent_type) for packet in bench.plan.packets}
    return code_to_come(bench.plan, bench.packet, bench.landed(TASK_TRAILER), roles)


def _judge_code(bench: Bench, draft: Draft, tip: str, *, hurried: bool) -> JudgeRecord:
    """Accepted tests are judged with the code. Those given with the job must pass; held ones too once
    no other code is to come, and before that they land as soon as they pass."""
    required, optional = _accepted(bench)
    last = not coding_to_come(bench)
    if last:
        required, optional = required + optional, []
    commit, _ = land_tests(bench, [*required, *optional], draft.commit)
    kind = kind_of(bench.job.request, bench.plan)
    base_failed = bench.facts.tests.failed if bench.facts.tests else []
    wanted = targets(bench.job.request, kind, base_failed)
    examples = example_targets(bench.facts.examples, kind)
    final = last and bench.role == "coding"
    demand = Demand(
        green=wanted if final else frozenset(),
        files=frozenset(_files(required)),
        examples=examples if final else frozenset(),
        must_fix=final and kind == "bugfix",
        needs_tests=kind == "test",
    )
    run = run_gates(bench, commit, draft.changed, demand, hurried=hurried)
    if run.failure is None and optional:
        passing = [path for path in optional if _all_pass(path, run.suite)]
        commit, _ = land_tests(bench, [*required, *passing], draft.commit)
    verdict = verdict_of(bench, draft, run)
    return JudgeRecord(
        tip=tip,
        commit=commit,
        verdict=verdict,
        red=_red(wanted, run.suite) + _red(examples, run.examples),
    )


def _accepted(bench: Bench) -> tuple[list[str], list[str]]:
    given = list(bench.job.accepted_tests)
    known = {load_proposal(path, None).order_id for path in given}
    return given, [path for path in held_tests(bench) if load_proposal(path, None).order_id not in known]


def _files(proposals: Sequence[str]) -> list[str]:
    patches = [load_proposal(path, None).patch for path in proposals]
    return [line[6:].strip() for patch in patches for line in patch.splitlines() if line.startswith("+++ b/")]


def _all_pass(path: str, suite: SuiteRun | None) -> bool:
    """Whether every test of the proposal at ``path`` ran and passed."""
    for name in _files([path]):
        tests = suite.run.tests.items() if suite else ()
        own = [record for test_id, record in tests if named_by(name, test_id)]
        if not own or any(record.outcome != "passed" for record in own):
            return False
    return True


def _red(wanted: frozenset[str], suite: SuiteRun | None) -> list[str]:
    """Those of ``wanted`` that have not turned green; a file has when a test in it passes."""
    passed = suite.run.outcomes("passed", "xpassed") if suite else []
    green = {*passed, *(test_id.partition("::")[0] for test_id in passed)}
    return sorted(wanted - green)
