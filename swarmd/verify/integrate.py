"""The job ``integrate``: an accepted patch becomes part of the request's integration tip."""

from __future__ import annotations

from swarmd.errors import SwarmdError, WorkspaceError
from swarmd.messages import JobReport, Proposal
from swarmd.verify.bench import ORDER_TRAILER, Bench, load_proposal
from swarmd.verify.judge import judge_best
from swarmd.verify.records import (
    JudgeRecord,
    TipRecord,
    hold_tests,
    load_judged,
    load_tip,
    save_judged,
    save_tip,
)

__all__ = ["integrate"]

MAX_TRIES = 5
"""The tip may move while the gates run; then they run again on the new one."""


def integrate(bench: Bench) -> JobReport:
    """Move the tip to a commit that holds the proposal, with the gates green on that very tree.

    Repeating it after it was done reports the same commit. Held tests do not move the tip: they are
    kept, and land with the code that makes them pass.
    """
    if bench.job.proposal is None:
        raise SwarmdError(f"the job {bench.job.job_id} names no proposal", code="E-JOB")
    proposal = load_proposal(bench.job.proposal, bench.job.order_id)
    for _ in range(MAX_TRIES):
        done = bench.landed(ORDER_TRAILER).get(bench.order_id)
        if done is not None:
            return _report(bench, proposal, commit=bench.repo.tip())
        record = _judged_on_tip(bench, proposal)
        if not record.verdict.ok:
            return JobReport(
                job_id=bench.job.job_id, ok=False, verdict=record.verdict, summary=proposal.summary
            )
        if record.verdict.held:
            hold_tests(bench, _only(proposal, record.verdict.chosen))
            return _report(bench, proposal, commit=None, record=record)
        if _move(bench, record):
            return _report(bench, proposal, commit=record.commit, record=record)
    raise SwarmdError("the integration tip kept moving", code="E-TIP", hint="The job is given again.")


def _judged_on_tip(bench: Bench, proposal: Proposal) -> JudgeRecord:
    """The verdict on top of the present tip: the earlier one if the tip has not moved since, else on the
    patch that passed then, which the log speaks of."""
    tip = bench.repo.tip()
    record = load_judged(bench)
    if record is None or not record.verdict.ok:
        record = judge_best(bench, proposal, tip)
    elif record.tip == tip and bench.has_commit(record.commit):
        return record
    else:
        chosen = record.verdict.chosen
        again = judge_best(bench, _only(proposal, chosen), tip)
        verdict = again.verdict.model_copy(update={"chosen": chosen, "canonical": record.verdict.canonical})
        record = again.model_copy(update={"verdict": verdict})
    save_judged(bench, record)
    return record


def _only(proposal: Proposal, chosen: int) -> Proposal:
    """``proposal`` with that one of its patches alone."""
    return proposal.model_copy(update={"patch": proposal.patches[chosen], "others": [], "ranked": False})


def _move(bench: Bench, record: JudgeRecord) -> bool:
    before = load_tip(bench)
    red = record.red if record.red is not None else before.red if before else []
    try:
        bench.repo.move_tip(record.tip, record.commit)
    except WorkspaceError as error:
        if error.code != "E-WORKSPACE-TIP-MOVED":
            raise
        return False
    save_tip(bench, TipRecord(commit=record.commit, red=red))
    return True


def _report(
    bench: Bench, proposal: Proposal, *, commit: str | None, record: JudgeRecord | None = None
) -> JobReport:
    verdict = record.verdict if record else None
    return JobReport(
        job_id=bench.job.job_id,
        ok=True,
        verdict=verdict,
        commit=commit,
        summary=proposal.summary,
        warnings=verdict.warnings if verdict else [],
        not_verified=verdict.not_verified if verdict else [],
    )
