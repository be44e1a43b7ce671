"""The statistics of yes-or-no results: intervals, a paired test, ratios."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

__all__ = ["mcnemar", "ratio_interval", "wilson"]

Z95 = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion (E. B. Wilson, 1927): within 0 and 1 also for few trials.

    (0, 1) without trials. Raises ValueError unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials}")
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): that of so uneven a split of the pairs that
    differ, if both were equally good. 1 when no pair differs."""
    total = only_first + only_second
    if total == 0:
        return 1.0
    tail = sum(math.comb(total, count) for count in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**total))


def ratio_interval(
    pairs: Sequence[tuple[bool, bool]], *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval (B. Efron, 1979) of how many times as often the second of
    each pair is true as the first, drawing pairs. None when the first is so seldom true that a resample
    has none of them."""
    rng = random.Random(seed)  # noqa: S311 - statistics
    ratios = []
    for _ in range(resamples):
        drawn = rng.choices(pairs, k=len(pairs)) if pairs else []
        first = sum(one for one, _ in drawn)
        if first == 0:
            return None
        ratios.append(sum(two for _, two in drawn) / first)
    ratios.sort()
    return ratios[int(0.025 * resamples)], ratios[min(resamples - 1, int(0.975 * resamples))]
