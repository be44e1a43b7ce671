"""The processes of the benchmark: one that measures a row, and the consumers it starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.peers.measure import Sizes, claims, measure
from benchmarks.peers.peer import find
from benchmarks.peers.processes import die_with_parent


def main() -> None:
    verb, name, folder, *rest = sys.argv[1:]
    die_with_parent()
    if verb == "work":
        find(name)(Path(folder)).work(int(rest[0]))
    elif verb == "claim":
        print(json.dumps(claims(find(name), Path(folder), int(rest[0]))))
    elif verb == "measure":
        print(json.dumps(_measure(name, Path(folder), json.loads(rest[0]), set(rest[1].split(",")))))
    else:
        sys.exit(f"unknown: {verb}")


def _measure(name: str, folder: Path, sizes: dict[str, object], wanted: set[str]) -> dict[str, object]:
    try:
        kind = find(name)
        reason = kind.missing()
    except ImportError as error:
        return {"missing": f"{error} (in {sys.prefix})"}
    about: dict[str, object] = {
        "title": kind.title,
        "durability": kind.durability,
        "note": kind.note,
        "group": kind.group,
    }
    if reason:
        return {**about, "missing": reason}
    return {**about, **measure(name, kind, folder, Sizes(**sizes), wanted)}  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
