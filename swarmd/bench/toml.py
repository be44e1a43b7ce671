"""Writing the few lines of TOML that a home needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["written"]


def written(table: Mapping[str, Any], prefix: str = "") -> str:
    """``table`` as TOML. Strings, numbers and lists of them are written alike in JSON and TOML."""
    plain, tables = [], []
    for key, value in table.items():
        name = f"{prefix}{json.dumps(key)}"
        if isinstance(value, Mapping):
            tables.append(f"[{name}]\n{written(value, f'{name}.')}")
        elif value is not None:
            plain.append(f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join([*plain, *tables])
