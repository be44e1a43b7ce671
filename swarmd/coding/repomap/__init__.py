"""A map of the project, ranked for a request: which files and definitions matter, as signatures."""

from swarmd.coding.repomap.callees import called_signatures
from swarmd.coding.repomap.focus import Focus, focus_on
from swarmd.coding.repomap.ranking import Ranked, Ranking, rank
from swarmd.coding.repomap.text import map_text

__all__ = ["Focus", "Ranked", "Ranking", "called_signatures", "focus_on", "map_text", "rank"]
