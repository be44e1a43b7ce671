"""After power loss: put back from the write-ahead file what had not reached its own place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarmd import durable
from swarmd.audit import restore_tail
from swarmd.bus.wal import Record, read_records

__all__ = ["Replay", "forget", "mark", "replay"]

_BOOT = "boot-id"


@dataclass(frozen=True)
class Replay:
    """What was put back."""

    log_bytes: int = 0
    """How much of the log's end was missing, or stood there without having been committed."""
    files: int = 0
    """Payload files that were missing or not whole."""

    def __bool__(self) -> bool:
        return bool(self.log_bytes or self.files)


def mark(folder: Path, boot_id: str) -> None:
    """Note that the write-ahead files in ``folder`` are of this boot: as long as the machine runs,
    what was written is in its memory, and nothing has to be put back."""
    durable.write(folder / _BOOT, boot_id.encode())


def replay(root: Path, folder: Path, log: Path, boot_id: str) -> Replay:
    """Make the end of ``log`` what the records in ``folder`` say: what a killed process had begun to
    write goes away whole. If they were written under another boot, so that power may have been lost,
    the payload files under ``root`` are put back too. May be repeated. Nothing may have the log open.

    Raises AuditError when the log ends before the records begin: then more than power was lost.
    """
    records = read_records(folder)
    if not records:
        return Replay()
    changed = restore_tail(log, records[0].offset, b"".join(record.raw for record in records))
    if boot_id and _marked(folder) == boot_id:
        return Replay(changed)
    return Replay(changed, sum(_restore_files(root, record) for record in records))


def forget(folder: Path) -> None:
    """Remove the write-ahead files: from here on nothing is written ahead, and what they hold grows old."""
    for path in folder.glob("*.wal"):
        durable.remove(path)


def _marked(folder: Path) -> str:
    try:
        return (folder / _BOOT).read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _restore_files(root: Path, record: Record) -> int:
    restored = 0
    for name, data in record.files.items():
        path = root / name
        try:
            whole = durable.read_regular(path, len(data)) == data
        except OSError:
            whole = False
        if not whole:
            durable.make_dirs(path.parent)
            durable.write(path, data, durable=False)
            restored += 1
    return restored
