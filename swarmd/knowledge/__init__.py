"""What earlier work and people have written down: patterns to quote, lessons to learn from."""

from swarmd.knowledge.lessons import Lesson, add
from swarmd.knowledge.patterns import Pattern, choose

__all__ = ["Lesson", "Pattern", "add", "choose"]
