"""The log: chained lines, their writer, their check, and reading them back."""

from swarmd.audit.chain import GENESIS, MAX_LINE, Chain, Head, Line
from swarmd.audit.reading import follow, read_lines

__all__ = ["GENESIS", "MAX_LINE", "Chain", "Head", "Line", "follow", "read_lines"]
