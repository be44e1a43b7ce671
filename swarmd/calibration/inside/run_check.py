"""Runs an exercise's check on an edited file, inside the sandbox, and says whether it passed.

The order comes as JSON on standard input: ``module``, ``source``, ``check``, ``nonce``. When the check has
come to its end, the nonce, which the edited file is not told, goes to the descriptor that
$SWARMD_REPORT_FD names; else the name of the error goes to standard error.
"""

import json
import os
import sys
import types
from typing import Any


def load(name: str, source: str) -> None:
    """Make ``source`` the module ``name``."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)  # noqa: S102


def main() -> None:
    """Read the order, run the check, report."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    nonce, check = order.pop("nonce"), compile(order["check"], "check.py", "exec")
    with os.fdopen(int(os.environ.pop("SWARMD_REPORT_FD")), "w") as report:
        try:
            load(order["module"], order["source"])
            exec(check, {"__name__": "check"})  # noqa: S102
        except BaseException as error:  # it may end in any way
            said = f"{type(error).__name__}: {str(error)[:200]}"
            sys.stderr.write(f"\n{said.rstrip(': ')}\n")
            return
        report.write(nonce)


main()
