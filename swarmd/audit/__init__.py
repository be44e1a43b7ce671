"""The log: chained lines in segments, their writer, their check, and reading them back."""

from swarmd.audit.chain import GENESIS, MAX_LINE, Chain, Head, Line, Prepared, restore_tail
from swarmd.audit.reading import (
    Follower,
    end_offset,
    find_last,
    follow,
    read_back,
    read_lines,
    tail_offset,
)
from swarmd.audit.tail import cut_broken

__all__ = [
    "GENESIS",
    "MAX_LINE",
    "Chain",
    "Follower",
    "Head",
    "Line",
    "Prepared",
    "cut_broken",
    "end_offset",
    "find_last",
    "follow",
    "read_back",
    "read_lines",
    "restore_tail",
    "tail_offset",
]
