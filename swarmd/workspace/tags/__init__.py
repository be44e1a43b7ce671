"""What each file of a project defines and mentions, found by tree-sitter, for several languages.

``read`` tags one text; ``store`` keeps the tags of a whole project, and a cache of them by blob.
"""

from swarmd.workspace.tags.grammar import language_of
from swarmd.workspace.tags.model import Definition, ProjectTags, Tags
from swarmd.workspace.tags.reading import MAX_BYTES, Mention, mentions, tags_of

__all__ = ["MAX_BYTES", "Definition", "Mention", "ProjectTags", "Tags", "language_of", "mentions", "tags_of"]
