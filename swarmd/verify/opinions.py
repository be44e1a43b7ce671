"""Second opinions: new code that only examples speak for is compared with another model's answer.

Two models seldom make the same mistake; two answers of one model often do (docs/benchmarks.md). Both are
called, in the sandbox, with other inputs of the kinds that the examples show (``examples/probes.py``); one
that does the same as another model's is taken. So do CodeT (Chen et al., "Code Generation with Generated
Tests", 2022) and AlphaCode (Li et al., 2022, by groups), with inputs that a model makes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from swarmd import durable
from swarmd.errors import SandboxError
from swarmd.messages import GateResult, load
from swarmd.messages.example import Example
from swarmd.messages.gate import GateCounts
from swarmd.verify.bench import Bench
from swarmd.verify.demand import example_targets, kind_of, targets
from swarmd.verify.digest import failure
from swarmd.verify.evidence import clean
from swarmd.verify.examples.probes import probes
from swarmd.verify.examples.run import run_examples
from swarmd.verify.records import MAX_RECORD, JudgeRecord

__all__ = ["confirm", "settle"]

GATE = "opinions"
SECONDS = 30.0
MAX_SHOWN = 3
"""Most inputs on which answers differ that are shown."""
MIN_COMPARED = 3
"""Answers that can be compared on fewer inputs tell nothing."""
RAISES = "came: raises"

_Answers = Mapping[str, str]
"""What came, by the call."""


def confirm(bench: Bench, record: JudgeRecord) -> JudgeRecord:
    """``record``, which passed, with what earlier answers of other models say of it: as a failure of the
    class unconfirmed when none does the same. Unchanged where there is more evidence than examples, or no
    input to compare on.
    """
    inputs = _inputs(bench)
    mine = _answers(bench, record.commit, inputs) if inputs else {}
    if len(mine) < MIN_COMPARED:
        return record
    begun = time.monotonic()
    others = (rival for rival in _rivals(bench, record.tip) if rival.model not in ("", record.model))
    rivals = [_answers(bench, rival.commit, inputs) for rival in others]
    for rival in rivals:
        same, differ = _compared(mine, rival)
        if same >= MIN_COMPARED and not differ:
            detail = f"it does the same as another model's answer on {same} inputs"
            return _with_gate(record, _gate(len(mine), same, begun, ok=True, detail=detail))
    if rivals:
        text = "It passes its gates, but another model's answer does so too and differs:\n" + "\n".join(
            _shown(mine, rivals[-1])
        )
    else:
        text = "It passes its gates, which are a few examples, and no other model's answer does the same."
    gate = _gate(len(mine), 0, begun, ok=False, detail=text)
    verdict = _with_gate(record, gate).verdict
    why = failure("unconfirmed", text, gate=GATE)
    why = why.model_copy(update={"signature": f"unconfirmed:{verdict.patch_sha256}"})  # like no other's
    return record.model_copy(update={"verdict": verdict.model_copy(update={"ok": False, "failure": why})})


def settle(bench: Bench, record: JudgeRecord) -> JudgeRecord:
    """``record``, which is taken although no other answer agrees, with a note that says where they differ."""
    inputs = _inputs(bench)
    mine = _answers(bench, record.commit, inputs) if inputs else {}
    notes: list[str] = []
    for rival in _rivals(bench, record.tip):
        shown = _shown(mine, _answers(bench, rival.commit, inputs))
        if shown:
            notes = ["answers that pass the examples differ; look at: " + "; ".join(shown)]
    notes = notes or ["only examples speak for it, and no other answer agrees"]
    verdict = record.verdict
    return record.model_copy(
        update={"verdict": verdict.model_copy(update={"not_verified": [*verdict.not_verified, *notes]})}
    )


def _inputs(bench: Bench) -> list[Example]:
    """Inputs to compare answers on: none where tests, or a bug, say more than the examples do."""
    request, facts = bench.job.request, bench.facts
    kind = kind_of(request, bench.plan)
    failed = facts.tests.failed if facts.tests else []
    few = bench.shop.settings.policy.opinions < 2
    if few or bench.role != "coding" or kind == "bugfix" or targets(request, kind, failed):
        return []
    wanted = example_targets(facts.examples, kind)
    own = [one for one in (facts.examples.examples if facts.examples else []) if one.example_id in wanted]
    return probes(own, bench.request_id)


def _rivals(bench: Bench, tip: str) -> list[JudgeRecord]:
    """Earlier answers to the same packet that passed and were not confirmed, on the same ``tip``."""
    found = []
    for path in sorted((bench.folder / "judged").glob(f"{bench.packet.packet_id}.a*.json")):
        try:
            record = load(JudgeRecord, durable.read_regular(path, MAX_RECORD))
        except (OSError, ValidationError):
            continue
        why = record.verdict.failure
        theirs = why is not None and why.kind == "unconfirmed" and record.verdict.order_id != bench.order_id
        if theirs and record.tip == tip and bench.has_commit(record.commit):
            found.append(record)
    return found


def _answers(bench: Bench, commit: str, inputs: Sequence[Example]) -> _Answers:
    """What ``commit``'s code gives for each of ``inputs``; those that it did not come to are left out."""
    try:
        checkout = bench.checkout(commit, "opinions")
        tracked = frozenset(bench.repo.files(commit))
        suite = run_examples(bench.context, checkout, inputs, tracked=tracked, seconds=SECONDS)
    except SandboxError:
        return {}
    if not suite.run.genuine:
        return {}
    told = {one.example_id: one.steps[0].source for one in inputs}
    records = suite.run.tests.items()
    came = {told[name]: record.message.partition("came: ") for name, record in records if name in told}
    return {call: f"came: {text}" for call, (_, mark, text) in came.items() if mark}


def _compared(mine: _Answers, rival: _Answers) -> tuple[int, list[str]]:
    """On how many inputs they do the same, and those on which they differ. Where only one raises an error,
    the input may be one that nobody has in mind: that counts for neither."""
    same, differ = 0, []
    for call in mine.keys() & rival.keys():
        raising = [answer.startswith(RAISES) for answer in (mine[call], rival[call])]
        if mine[call] == rival[call] or all(raising):
            same += 1
        elif not any(raising):
            differ.append(call)
    return same, sorted(differ, key=len)


def _shown(mine: _Answers, rival: _Answers) -> list[str]:
    _, differ = _compared(mine, rival)
    return [f"{call} is {_value(mine[call])} or {_value(rival[call])}" for call in differ[:MAX_SHOWN]]


def _value(answer: str) -> str:
    return clean(answer.removeprefix("came: "))[:80]


def _gate(collected: int, passed: int, begun: float, *, ok: bool, detail: str) -> GateResult:
    return GateResult(
        gate=GATE,
        argv=[GATE, f"{collected} inputs"],
        ok=ok,
        exit_code=0 if ok else 1,
        seconds=time.monotonic() - begun,
        counts=GateCounts(collected=collected, passed=passed),
        sandbox_level="",
        detail=detail,
    )


def _with_gate(record: JudgeRecord, gate: GateResult) -> JudgeRecord:
    verdict = record.verdict
    return record.model_copy(update={"verdict": verdict.model_copy(update={"gates": [*verdict.gates, gate]})})
