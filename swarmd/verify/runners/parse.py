"""The cheapest gate: do the changed files parse? It runs none of the project's code."""

from __future__ import annotations

import ast
import json
import tomllib
import warnings
from collections.abc import Mapping

from swarmd.messages import TestFailure
from swarmd.verify.evidence import clean

__all__ = ["parse_error", "parse_failures"]


def parse_error(path: str, text: str) -> tuple[int | None, str] | None:
    """Line and message of what keeps ``text`` from parsing as what ``path`` says it is, or None."""
    try:
        if path.endswith((".py", ".pyi")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(text)
        elif path.endswith(".json"):
            json.loads(text)
        elif path.endswith(".toml"):
            tomllib.loads(text)
    except SyntaxError as error:
        shown = (error.text or "").rstrip("\n")
        return error.lineno, f"{type(error).__name__}: {error.msg}\n    {shown}".rstrip()
    except (ValueError, RecursionError, MemoryError) as error:
        return getattr(error, "lineno", None), f"{type(error).__name__}: {error}"
    return None


def parse_failures(files: Mapping[str, tuple[str | None, str | None]], *, lenient: bool) -> list[TestFailure]:
    """What of the changed ``files`` (path: old and new text, None for absent) does not parse.

    ``lenient``: a file whose old text did not parse either is passed over, because the project's
    Python is not this one.
    """
    failures = []
    for path, (old, new) in files.items():
        error = parse_error(path, new) if new is not None else None
        strict = path.endswith((".py", ".pyi")) and not lenient
        if error is None or (old is not None and parse_error(path, old) and not strict):
            continue
        failures.append(TestFailure(test_id=path, path=path, line=error[0], message=clean(error[1])))
    return failures
