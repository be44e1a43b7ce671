"""Runs a solution against cases, inside the sandbox, and says which passed.

The order comes as JSON on standard input: ``source``, ``entry_point``, ``preamble``, ``setup``, ``codes``,
``case_s``, ``nonce``. One line goes to the descriptor that $SWARMD_REPORT_FD names: the nonce, which the
solution is not told, and for each case "pass", "fail" or "timeout" with the error's name.
"""

import json
import os
import signal
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

MODULE = "solution"
MAX_TIMEOUTS = 2
"""After so many the rest is not tried: each would cost as long again."""


class OutOfTime(BaseException):
    """Not an Exception: ``except Exception`` in a solution must not swallow it."""


def ring(*_: object) -> None:
    """The time of what runs is over."""
    raise OutOfTime


def load(order: dict[str, Any]) -> dict[str, Any]:
    """The solution's names."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(order["source"], MODULE + ".py", "exec"), module.__dict__)  # noqa: S102
    return module.__dict__


def run_case(order: dict[str, Any], names: dict[str, Any], code: str) -> None:
    """One case, on names of its own."""
    space = dict(names)
    space["candidate"] = space[order["entry_point"]]
    for part in (order["preamble"], order["setup"], code):
        exec(compile(part, "case", "exec"), space)  # noqa: S102


def judged(action: Callable[[], None], seconds: float) -> tuple[str, str]:
    """``action``'s outcome and the name of its error."""
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        action()
        return "pass", ""
    except OutOfTime:
        return "timeout", "OutOfTime"
    except BaseException as error:
        return "fail", type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    """Read the order, run the cases, report."""
    order = json.loads(sys.stdin.buffer.read())
    nonce = order.pop("nonce")
    report = os.fdopen(int(os.environ.pop("SWARMD_REPORT_FD")), "w")
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    sys.path.insert(0, str(Path.cwd()))
    signal.signal(signal.SIGALRM, ring)
    names: dict[str, Any] = {}
    loaded = judged(lambda: names.update(load(order)), order["case_s"])
    found: list[tuple[str, str]] = []
    for code in order["codes"]:
        late = sum(outcome == "timeout" for outcome, _ in found)
        if loaded[0] != "pass" or late >= MAX_TIMEOUTS:
            found.append(loaded if loaded[0] != "pass" else ("timeout", "OutOfTime"))
            continue
        found.append(judged(partial(run_case, order, names, code), order["case_s"]))
    report.write(nonce + json.dumps(found))
    report.close()


main()
