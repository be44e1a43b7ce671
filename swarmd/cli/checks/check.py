"""What one check is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from swarmd.errors import SwarmdError

__all__ = ["Check", "Probe", "State", "run_checks"]

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """What one check found."""

    name: str
    state: State
    detail: str
    fix: str = ""
    """The command, or the words, that mend it."""


Probe = tuple[str, Callable[[], Check]]
"""The check's name, and what runs it."""


def run_checks(probes: Iterable[Probe]) -> Iterator[Check]:
    """Each check as it is done. One that cannot be done has failed; it never ends the others."""
    for name, probe in probes:
        try:
            yield probe()
        except SwarmdError as error:
            yield Check(name, "fail", error.message, error.hint)
        except Exception as error:  # a doctor that falls ill tells so and goes on
            yield Check(name, "fail", f"the check itself failed: {type(error).__name__}: {error}")
