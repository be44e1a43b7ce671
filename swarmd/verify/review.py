"""Judging a review: a reading that may reject, and rules that do not depend on a model."""

from __future__ import annotations

from swarmd.messages import GateCounts, GateResult, Proposal, Verdict
from swarmd.verify.bench import Bench
from swarmd.verify.digest import failure
from swarmd.verify.evidence import clean
from swarmd.verify.static import StaticFinding, points_at, static_findings

__all__ = ["judge_review"]


def judge_review(bench: Bench, proposal: Proposal) -> Verdict:
    """Red when a rule that means a defect fires on a changed line, or, where policy.review is
    ``block``, when the reviewer rejects and names a changed line. Anything else that the reviewer
    says becomes a warning: it never approves, and gates have already passed."""
    base, tip = bench.repo.base(), bench.repo.tip()
    found = static_findings(bench, base, tip)
    fatal = [str(one) for one in found if one.rejects]
    may_block = proposal.rejects and bench.shop.settings.policy.review == "block"
    pointed = points_at(proposal.findings, bench.changed(base, tip)) if may_block else []
    reasons = [clean(text)[:400] for text in [*fatal, *pointed]]
    why = failure("review", "\n".join(reasons[:10]), gate="review", marks=reasons) if reasons else None
    return Verdict(
        order_id=bench.order_id,
        ok=not reasons,
        failure=why,
        gates=[_result(found)],
        warnings=_warnings(proposal, pointed, may_block),
    )


def _result(found: list[StaticFinding]) -> GateResult:
    fatal = any(one.rejects for one in found)
    return GateResult(
        gate="review",
        argv=["ruff check --isolated", "bandit"],
        ok=not fatal,
        exit_code=0,
        seconds=0.0,
        counts=GateCounts(findings=len(found)),
        findings=[clean(str(one))[:400] for one in found[:50]],
        sandbox_level="none",
        failure_kind="review" if fatal else None,
    )


def _warnings(proposal: Proposal, pointed: list[str], may_block: bool) -> list[str]:
    notes = [f"review: {clean(text)[:300]}" for text in proposal.findings[:10] if text not in pointed]
    if may_block and not pointed:
        notes.insert(0, "the reviewer rejects but names no changed line; that is not followed")
    return notes
