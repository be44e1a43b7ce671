"""What one job leaves for a later one, in the request's folder; all of it can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from swarmd import durable
from swarmd.messages import Message, Proposal, Verdict, dump, load
from swarmd.verify.bench import ORDER_TRAILER, Bench, load_proposal

__all__ = [
    "JudgeRecord",
    "TipRecord",
    "held_tests",
    "hold_tests",
    "load_judged",
    "load_tip",
    "save_judged",
    "save_tip",
]

MAX_RECORD = 8 * 1024 * 1024
M = TypeVar("M", bound=Message)


class JudgeRecord(Message):
    """What a judging found: on which tip it was made, and what would land."""

    tip: str
    commit: str
    """Holds the patch, and the accepted tests that pass with it."""
    verdict: Verdict
    model: str = ""
    """Which model's answer it was."""
    red: list[str] | None = None
    """Tests that the request is about and that still fail; None: the same as before."""


class TipRecord(Message):
    """What is known of the integration tip."""

    commit: str
    red: list[str] = Field(default_factory=list)
    """Tests that the request is about and that still fail."""


def save_judged(bench: Bench, record: JudgeRecord) -> None:
    """Keep ``record`` for the integration of the same order."""
    _save(_judged_path(bench), record)


def load_judged(bench: Bench) -> JudgeRecord | None:
    """What the judging of this order left; None when there is nothing that can be read."""
    return _load(JudgeRecord, _judged_path(bench))


def save_tip(bench: Bench, record: TipRecord) -> None:
    """Keep what is known of the tip."""
    _save(bench.folder / "tip.json", record)


def load_tip(bench: Bench) -> TipRecord | None:
    """What is known of the present tip; None when there is nothing, or it is of another commit."""
    record = _load(TipRecord, bench.folder / "tip.json")
    return record if record is not None and record.commit == bench.repo.tip() else None


def hold_tests(bench: Bench, proposal: Proposal) -> None:
    """Keep accepted tests until the code that they test lands."""
    _save(bench.folder / "held" / f"{bench.slug}.json", proposal)


def held_tests(bench: Bench) -> list[str]:
    """Paths of the proposals that are held and have not landed."""
    folder = bench.folder / "held"
    paths = [str(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    landed = bench.landed(ORDER_TRAILER)
    return [path for path in paths if load_proposal(path, None).order_id not in landed]


def _judged_path(bench: Bench) -> Path:
    return bench.folder / "judged" / f"{bench.slug}.json"


def _save(path: Path, record: Message) -> None:
    durable.make_dirs(path.parent)
    durable.write(path, dump(record))


def _load(kind: type[M], path: Path) -> M | None:
    try:
        return load(kind, durable.read_regular(path, MAX_RECORD))
    except (OSError, ValidationError):
        return None
