"""One greedy answer of a model, read as tolerantly as swarmd reads its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmd.bench.runners.base import Attempt, Done
from swarmd.bench.suite import TEST_PATH, Problem, path_of
from swarmd.coding.edits import Edit, read_edit
from swarmd.coding.failure import EditError
from swarmd.coding.merge import Scope
from swarmd.errors import ModelReplyError, ModelUnreachableError

__all__ = ["Oneshot", "messages"]

SYSTEM = "You are an expert Python programmer."
REPLY_TOKENS = 1024


def messages(problem: Problem) -> list[dict[str, str]]:
    """What a person would paste into a chat window."""
    parts = [problem.request, f"{path_of()}:\n```python\n{problem.source.rstrip()}\n```"]
    if problem.test:
        parts.append(f"{TEST_PATH}:\n```python\n{problem.test.rstrip()}\n```")
    parts.append(f"Answer with the complete function {problem.entry_point} in one ```python block.")
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


@dataclass(frozen=True)
class Oneshot:
    """Asks once, at temperature 0."""

    model: str
    name: str = "oneshot"

    @property
    def models(self) -> tuple[str, ...]:
        """The one that is asked."""
        return (self.model,)

    def facts(self) -> Mapping[str, Any]:
        """See ``Runner``."""
        return {"system": SYSTEM, "reply_tokens": REPLY_TOKENS}

    def solve(self, attempt: Attempt) -> Done:
        """See ``Runner``. It claims to have solved whatever it answered with code."""
        problem, clock = attempt.problem, attempt.clock
        try:
            reply = self._ask(attempt)
        except ModelReplyError as error:
            return Done(False, error=f"{error.code}: {error.message}", seconds=clock.seconds)
        if reply is None:
            return Done(False, timed_out=True, seconds=min(clock.seconds, clock.limit_s))
        text, cut = reply
        scope = Scope(frozenset({problem.entry_point}), frozenset(), problem.request)
        try:
            new = read_edit(text, Edit(path_of(), problem.source, "symbol", scope), cut=cut)
        except EditError as error:
            return Done(False, error=f"{error.code}: {error.message}", seconds=clock.seconds)
        (attempt.repository / path_of()).write_text(new, encoding="utf-8")
        return Done(not clock.is_over, timed_out=clock.is_over, seconds=clock.seconds)

    def _ask(self, attempt: Attempt) -> tuple[str, bool] | None:
        """The reply, and whether it was cut; None when it did not come in time."""
        import httpx

        asked = {"model": self.model, "messages": messages(attempt.problem), "temperature": 0}
        body = {**asked, "max_tokens": REPLY_TOKENS, "stream": False}
        try:
            with httpx.Client(trust_env=False, timeout=attempt.clock.limit_s) as client:
                response = client.post(f"{attempt.endpoint}/chat/completions", json=body)
            if response.status_code >= 500:
                raise ModelUnreachableError(f"{self.model}: {response.status_code} {response.text[:300]}")
            if response.status_code != 200:
                raise ModelReplyError(f"{self.model} answered {response.status_code}: {response.text[:300]}")
            choice = response.json()["choices"][0]
            return str(choice["message"]["content"] or ""), choice.get("finish_reason") == "length"
        except httpx.TimeoutException:
            return None
        except httpx.HTTPError as error:
            raise ModelUnreachableError(f"{self.model} cannot be asked: {error}") from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ModelReplyError(f"{self.model} answered in no form that is known: {error}") from error
