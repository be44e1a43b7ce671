"""The fault walk: 20 requests on the real daemon, and a fault at every system call that changes anything.

For each point, a copy of one home is made, the daemon is started on it, and strace injects one fault
into the N-th call of one kind that one process makes: SIGKILL, EIO from a sync, a full disk, a short
write. Then the daemon is started again without a fault, and what must hold is checked: every dropped file
was still there, acknowledged or a dead letter when the fault came; every request ends in exactly one
result and one line that says so; logs verify; registry files parse; no process, socket, lock, checkout or
temporary file is left. A process that met a failed sync must have ended; one that met a full disk must
have waited and gone on.

The tracer is attached to the process itself, after its imports and before its first change: to the
daemon with its threads but without the programs that it starts, or to one agent, verifier, zygote or
broker once it idles. strace counts the calls of each thread on its own, so that a point is the N-th call
of the first thread that makes so many. Workers that come up anew are not traced: each run has one fault.
SIGKILL comes before the call takes effect; what would come after it is the point of the next call.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.faults.injection import FAULTS, TARGETS, Point
from scripts.faults.walk import Outcome, Walk

SHORT = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Walk, and print what was found. Exit status 0 when everything held, 1 when something did not, 2
    for wrong options."""
    options = _options(argv)
    began = time.monotonic()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fw-", dir=options.folder))
    with Walk(folder) as walk:
        points = [p for target in _targets(options.only) for p in walk.points(target)]
        wanted = [point for point in points if _is_wanted(point, options.only)]
        if not wanted and options.only:
            wanted = [_point(name) for name in options.only if name.count(":") == 3]
        if options.short:
            wanted = spread(wanted, options.points, options.seed)
        if options.list:
            print("\n".join(point.name for point in wanted))
            shutil.rmtree(folder)
            return 0
        outcomes = []
        with ThreadPoolExecutor(options.jobs) as pool:
            for outcome in pool.map(walk.run, wanted):
                outcomes.append(outcome)
                _show(outcome, options)
    if all(outcome.status != "failed" for outcome in outcomes):
        shutil.rmtree(folder)
    return report(outcomes, len(points), time.monotonic() - began, options)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--all", action="store_true", help="every point (the default)")
    how.add_argument("--short", action="store_true", help="a sample over all kinds")
    parser.add_argument("--points", type=int, default=SHORT, help="size of the sample (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KIND",
        help="target[:fault[:call[:number]]], such as master:kill or agent; may be given again",
    )
    parser.add_argument("--jobs", type=int, default=1, help="points at one time (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the homes are made; its path must be short")
    parser.add_argument("--list", action="store_true", help="only name the points")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args(argv)
    for name in options.only:
        target, fault = (*name.split(":"), "", "")[:2]
        if target not in TARGETS or (fault and fault not in FAULTS):
            known = ", ".join(f"{t}:{f}" for t, faults in TARGETS.items() for f in faults)
            parser.error(f"there is no kind {name!r}; there are: {known}")
    return options


def _targets(only: Sequence[str]) -> list[str]:
    named = {name.split(":")[0] for name in only}
    return [target for target in TARGETS if not only or target in named]


def _is_wanted(point: Point, only: Sequence[str]) -> bool:
    return not only or any(f"{point.name}:".startswith(f"{name}:") for name in only)


def _point(name: str) -> Point:
    """A point by its name, also where the run that counted made fewer such calls."""
    target, fault, call, number = name.split(":")
    return Point(target, FAULTS[fault], call, int(number))


def spread(points: Sequence[Point], most: int, seed: int) -> list[Point]:
    """At most ``most`` points: some of each kind before many of any."""
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.target, point.fault.name, point.call), []).append(point)
    rng = random.Random(seed)  # noqa: S311
    for group in groups.values():
        rng.shuffle(group)
    chosen: list[Point] = []
    while len(chosen) < most and any(groups.values()):
        for key in sorted(groups, key=lambda _: rng.random()):
            if groups[key] and len(chosen) < most:
                chosen.append(groups[key].pop())
    return chosen


def _show(outcome: Outcome, options: argparse.Namespace) -> None:
    if options.json:
        return
    if outcome.status != "failed":
        print(f"{outcome.status:14} {outcome.point}", flush=True)
        return
    print(f"FAILED         {outcome.point}\n    at {outcome.at}")
    print("\n".join(f"    {problem}" for problem in outcome.problems))
    print(f"    again: python scripts/fault_walk.py --only {outcome.point}", flush=True)


def report(outcomes: Sequence[Outcome], there_are: int, seconds: float, options: argparse.Namespace) -> int:
    """Print the sums; the exit status."""
    counts = Counter(outcome.status for outcome in outcomes)
    failed = [vars(outcome) for outcome in outcomes if outcome.status == "failed"]
    if options.json:
        facts = {"points": len(outcomes), "there_are": there_are, "seconds": round(seconds)} | dict(counts)
        print(json.dumps({**facts, "kinds": dict(_kinds(outcomes)), "failures": failed}, indent=2))
    else:
        print(f"\n{len(outcomes)} points of {there_are} in {seconds:.0f} s: {counts['held']} held, ", end="")
        print(f"{counts['failed']} failed, {counts['not reached']} were not reached in their run, ", end="")
        print(f"{counts['not applicable']} do not apply (no disk is needed for that call)")
        for kind, text in _kinds(outcomes):
            print(f"  {kind:24} {text}")
    return 1 if failed else 0


def _kinds(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        counts[outcome.point.rsplit(":", 2)[0], outcome.status] += 1
    for kind in dict.fromkeys(kind for kind, _ in counts):
        yield kind, ", ".join(f"{n} {status}" for (k, status), n in counts.items() if k == kind)


if __name__ == "__main__":
    sys.exit(main())
