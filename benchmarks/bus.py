"""swarmd's bus beside the queues that people would use instead: same machine, payload and run.

    sh benchmarks/bus_peers.sh /tmp/peers                  # once: a virtual environment with the peers
    python benchmarks/bus.py --peers /tmp/peers --json run.json --markdown

docs/benchmarks.md says what each column means.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bus_disk import Disk, at_hand, journaled  # noqa: E402
from benchmarks.bus_report import markdown, plain  # noqa: E402
from benchmarks.peers import ROWS  # noqa: E402
from benchmarks.peers.measure import Sizes  # noqa: E402
from benchmarks.peers.peer import find  # noqa: E402
from benchmarks.peers.processes import Process, kill_tree  # noqa: E402

QUICK = Sizes(messages=500, idle=100, waiting=(1000, 10_000), active=1000, redo_s=10.0)
CLASSES = ("power", "interval", "process", "none")
MEASURES = ("a", "b", "c", "d", "kill", "start")
ROW_LIMIT_S = 900.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=Path, metavar="VENV", help="the environment of bus_peers.sh")
    parser.add_argument("--quick", action="store_true", help="500 messages in place of 5,000, less waiting")
    parser.add_argument("--only", metavar="NAMES", help=f"rows, comma-separated: {', '.join(ROWS)}")
    parser.add_argument(
        "--measures", default=",".join(MEASURES), metavar="NAMES",
        help="a: 1 → 1; b: idle latency; c: four workers; d: claim cost; kill; start (default: all)",
    )  # fmt: skip
    parser.add_argument("--durability", choices=CLASSES, help="only rows of this class; swarmd is set to it")
    parser.add_argument("--dir", type=Path, help="measure in this folder; default: a loop device if root")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--read", type=Path, metavar="FILE", help="show the figures of an earlier run")
    parser.add_argument("--markdown", action="store_true", help="print the table for docs/benchmarks.md")
    chosen = parser.parse_args()
    for name in names(chosen):
        if name not in ROWS:
            parser.error(f"there is no row {name!r}; there are {', '.join(ROWS)}")
    return chosen


def names(chosen: argparse.Namespace) -> list[str]:
    """The rows that were asked for, in the order of the table."""
    wanted = str(chosen.only).split(",") if chosen.only else list(ROWS)
    return [name for name in ROWS if name in wanted] + [name for name in wanted if name not in ROWS]


@contextlib.contextmanager
def disk(folder: Path | None) -> Iterator[Disk]:
    """Where to measure; it is left as it was found."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            try:
                yield stack.enter_context(journaled())
            except OSError as error:
                print(f"no journaled loop device: {error}", file=sys.stderr)
            else:
                return
        where = stack.enter_context(tempfile.TemporaryDirectory(prefix="bus-", dir=folder))
        yield at_hand(Path(where))


def interpreter(name: str, peers: Path | None) -> str:
    """swarmd and the references run under this interpreter, the peers under the one with their packages."""
    ours = name.startswith("swarmd") or name in ("maildir", "groups", "prealloc")
    return sys.executable if ours or peers is None else str(peers.absolute() / "bin" / "python")


def measure(name: str, python: str, folder: Path, sizes: str, wanted: str) -> dict[str, Any]:
    """One row, in a process of its own that takes everything it started with it."""
    folder.mkdir()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="bus-") as memory:
        return _in_process(name, python, folder, memory, sizes, wanted)


def _in_process(name: str, python: str, folder: Path, memory: str, sizes: str, wanted: str) -> dict[str, Any]:
    command = [python, "-m", "benchmarks.peers", "measure", name, str(folder), sizes, wanted]
    ours = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "BUS_MEMORY": memory}
    with (folder / "errors.log").open("wb") as errors:
        process: Process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ours},
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        output, _ = process.communicate(timeout=ROW_LIMIT_S)
        found: dict[str, Any] = json.loads(output)
    except subprocess.TimeoutExpired:
        return {"missing": f"it took longer than {ROW_LIMIT_S:.0f} s"}
    except ValueError:
        return {"missing": (folder / "errors.log").read_text(errors="replace")[-500:] or "no output"}
    finally:
        kill_tree([process])
    return found


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """All rows, one after the other."""
    sizes = QUICK if chosen.quick else Sizes()
    rows: dict[str, Any] = {}
    os.environ["BUS_DURABILITY"] = chosen.durability or "power"
    with disk(chosen.dir) as where:
        about = machine(where, sizes)
        for name in names(chosen):
            if chosen.durability not in (None, find(name).durability):
                continue
            began = time.monotonic()
            python = interpreter(name, chosen.peers)
            found = measure(name, python, where.folder / name, json.dumps(sizes.__dict__), chosen.measures)
            shutil.rmtree(where.folder / name, ignore_errors=True)
            os.sync()  # the next row shall not pay for this one
            rows[name] = found
            figures = {key: round(found[key]) for key in ("a", "c") if key in found}
            said = found.get("missing") or found.get("failed") or ""
            print(f"{name}: {time.monotonic() - began:.0f} s {figures} {said}", file=sys.stderr)
    return {"v": 1, "about": about, "rows": rows}


def machine(where: Disk, sizes: Sizes) -> dict[str, str]:
    """What a reader must know to compare."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, kernel {platform.release()}, Python {platform.python_version()}",
        "file system": where.kind,
        "messages": f"{sizes.messages:,} of 1 KB",
        "claim cost at": " / ".join(f"{size:,}" for size in sizes.waiting) + " waiting",
    }


def main() -> None:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the disk is unmounted then, too
    found = json.loads(chosen.read.read_text()) if chosen.read else run(chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    print((markdown if chosen.markdown else plain)(found["rows"], found["about"]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
