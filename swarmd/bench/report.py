"""What rows of results come to: for each runner a summary, for each two of them a paired comparison."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmd.bench import results, stats
from swarmd.bench.results import Row
from swarmd.errors import UsageError

__all__ = [
    "Comparison",
    "Summary",
    "as_json",
    "compare",
    "comparison_cells",
    "comparisons",
    "load",
    "summaries",
    "summarise",
    "summary_cells",
]


@dataclass(frozen=True)
class Summary:
    """One runner, or variant, on one suite."""

    suite: str
    label: str
    problems: int
    solved: int
    interval: tuple[float, float]
    """Wilson's, 95 %, of the share that is solved."""
    claimed: int
    claimed_right: int
    """Of these, how many pass the hidden cases."""
    claimed_interval: tuple[float, float]
    tokens: int
    prompt_tokens: int
    calls: int
    seconds: float
    model_seconds: float
    gate_seconds: float
    rest_seconds: float
    timed_out: int
    errors: int

    @property
    def tokens_per_solved(self) -> float | None:
        """All tokens, those of unsolved problems too, by problems solved."""
        return self.tokens / self.solved if self.solved else None

    @property
    def seconds_per_solved(self) -> float | None:
        """All seconds, by problems solved."""
        return self.seconds / self.solved if self.solved else None

    @property
    def busy_share(self) -> float | None:
        """The share of the wall time in which a model or a gate was busy."""
        return 1 - self.rest_seconds / self.seconds if self.seconds else None

    @property
    def honest_share(self) -> float | None:
        """Of what was claimed to be solved, the share that passes the hidden cases."""
        return self.claimed_right / self.claimed if self.claimed else None


@dataclass(frozen=True)
class Comparison:
    """Two runners on the problems that both tried."""

    suite: str
    first: str
    second: str
    pairs: int
    both: int
    only_first: int
    only_second: int
    p_value: float
    """McNemar's exact test, two-sided."""
    ratio: float | None
    """How many times as many the second one solves."""
    ratio_interval: tuple[float, float] | None
    unsolved_ratio: float | None
    """How many times as many the second one leaves unsolved."""


def load(folders: Sequence[Path]) -> list[Row]:
    """All rows in ``folders``. Raises UsageError E-BENCH-RESULTS when one has none, or when two tell
    different things of one trial."""
    found: dict[results.Key, Row] = {}
    for folder in folders:
        rows = results.read(folder)
        if not rows:
            raise UsageError(
                f"{folder} holds no results",
                code="E-BENCH-RESULTS",
                hint='Name the folder that was given to "swarmd bench solve" with --out.',
            )
        for row in rows:
            if found.setdefault(row.key, row) != row:
                raise UsageError(
                    f'two folders have results of "{row.label}" on {row.task_id}',
                    code="E-BENCH-RESULTS",
                    hint="Report on them one by one.",
                )
    return list(found.values())


def summarise(rows: Sequence[Row]) -> Summary:
    """``rows`` of one label on one suite. Raises IndexError without any."""
    solved = sum(row.solved for row in rows)
    claimed = [row for row in rows if row.claimed]
    right = sum(row.hidden for row in claimed)
    return Summary(
        suite=rows[0].suite,
        label=rows[0].label,
        problems=len(rows),
        solved=solved,
        interval=stats.wilson(solved, len(rows)),
        claimed=len(claimed),
        claimed_right=right,
        claimed_interval=stats.wilson(right, len(claimed)),
        tokens=sum(row.tokens for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        calls=sum(row.calls for row in rows),
        seconds=sum(row.seconds for row in rows),
        model_seconds=sum(row.model_seconds for row in rows),
        gate_seconds=sum(row.gate_seconds for row in rows),
        rest_seconds=sum(row.rest_seconds for row in rows),
        timed_out=sum(row.timed_out for row in rows),
        errors=sum(bool(row.error) for row in rows),
    )


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.suite, row.label), []).append(row)
    return groups


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """One for each label on each suite, in the order in which they were run."""
    groups = _groups(rows)
    return [summarise(groups[key]) for key in sorted(groups, key=lambda key: key[0])]


def compare(first: Sequence[Row], second: Sequence[Row]) -> Comparison:
    """``second`` against ``first``, both of one suite, by task and seed."""
    theirs = {(row.task_id, row.seed): row.solved for row in second}
    pairs = [
        (row.solved, theirs[row.task_id, row.seed]) for row in first if (row.task_id, row.seed) in theirs
    ]
    ones, others = sum(one for one, _ in pairs), sum(other for _, other in pairs)
    both = sum(one and other for one, other in pairs)
    left = len(pairs) - ones
    return Comparison(
        suite=first[0].suite,
        first=first[0].label,
        second=second[0].label,
        pairs=len(pairs),
        both=both,
        only_first=ones - both,
        only_second=others - both,
        p_value=stats.mcnemar(ones - both, others - both),
        ratio=others / ones if ones else None,
        ratio_interval=stats.ratio_interval(pairs),
        unsolved_ratio=(len(pairs) - others) / left if left else None,
    )


def comparisons(rows: Sequence[Row], against: str | None = None) -> list[Comparison]:
    """Every two labels of one suite; or every other one against the label ``against``."""
    groups = _groups(rows)
    found = []
    for suite in sorted({suite for suite, _ in groups}):
        labels = [label for name, label in groups if name == suite]
        pairs = (
            [(against, label) for label in labels if label != against]
            if against in labels
            else list(itertools.combinations(labels, 2))
        )
        found += [compare(groups[suite, one], groups[suite, two]) for one, two in pairs]
    return found


def summary_cells(summary: Summary) -> dict[str, str]:
    """``summary`` as the cells of one line, by their headings."""
    low, high = summary.interval
    seconds = max(summary.seconds, 1e-9)
    split = [summary.model_seconds, summary.gate_seconds, summary.rest_seconds]
    return {
        "suite": summary.suite,
        "runner": summary.label,
        "solved": f"{summary.solved}/{summary.problems}",
        "95 %": f"{low * 100:.0f}–{high * 100:.0f} %",
        "claimed": str(summary.claimed),
        "of these right": _percent(summary.honest_share),
        "tokens/solved": _number(summary.tokens_per_solved, ",.0f"),
        "s/solved": _number(summary.seconds_per_solved, ".1f"),
        "s": f"{summary.seconds:.0f}",
        "model/gates/rest": " / ".join(f"{part / seconds * 100:.0f}" for part in split) + " %",
        "calls": str(summary.calls),
        "out of time": str(summary.timed_out),
        "errors": str(summary.errors),
    }


def comparison_cells(one: Comparison) -> dict[str, str]:
    """``one`` as the cells of one line, by their headings."""
    interval = f"{one.ratio_interval[0]:.2f}–{one.ratio_interval[1]:.2f}" if one.ratio_interval else "-"
    return {
        "suite": one.suite,
        "runner": one.second,
        "against": one.first,
        "pairs": str(one.pairs),
        "both": str(one.both),
        "only runner": str(one.only_second),
        "only against": str(one.only_first),
        "solved ×": _number(one.ratio, ".2f"),
        "95 %": interval,
        "unsolved ×": _number(one.unsolved_ratio, ".2f"),
        "p (McNemar)": f"{one.p_value:.2g}",
    }


def as_json(one: Summary | Comparison) -> dict[str, Any]:
    """The fields and what follows from them."""
    names = ("tokens_per_solved", "seconds_per_solved", "busy_share", "honest_share")
    derived = {name: getattr(one, name) for name in names} if isinstance(one, Summary) else {}
    return {**one.__dict__, **derived}


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f} %"
