"""Options of a call that some servers refuse: left out once they have said so, and never sent again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swarmd.errors import ModelRefusedError

__all__ = ["RefusableOptions"]


class RefusableOptions:
    """Which of some options a server takes.

    Newer models of cloud services refuse sampling parameters, and some servers refuse fields that are newer
    than they are. Nothing of the question is lost without them: what a schema asks for is checked anyway.
    """

    def __init__(self, *names: str, renamed: Mapping[str, str] | None = None) -> None:
        """``names`` can be left out; those in ``renamed`` must be sent under their other name instead."""
        self._names = names
        self._renamed = dict(renamed or {})
        self._refused: set[str] = set()

    def fitted(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``request`` without what is refused."""
        kept = {name: value for name, value in request.items() if name not in self._refused}
        renamed = self._refused & self._renamed.keys() & request.keys()
        new = {self._renamed[name]: request[name] for name in renamed}
        return kept | new

    def learn(self, error: ModelRefusedError) -> bool:
        """Whether ``error`` names an option that was sent, so that asking again without it is worth it."""
        for name in (*self._renamed, *self._names):
            if name not in self._refused and re.search(rf"(?<!\w){name}(?!\w)", error.message):
                self._refused.add(name)
                return True
        return False
