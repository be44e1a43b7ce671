"""The user's repository, the private one where the work happens, and the patches in between.

Repositories and patches are untrusted. ``git`` runs git so that nothing of the repository's own is
started; ``parsing`` and ``patch`` take edits apart before they touch a file.
"""

from swarmd.workspace.git import Git
from swarmd.workspace.patch import FileChange, FilePatch, ParsedPatch, apply, make, parse
from swarmd.workspace.private import PrivateRepo
from swarmd.workspace.project import new_project
from swarmd.workspace.removal import remove_tree
from swarmd.workspace.source import FALLBACK_IDENTITY, Identity, Source, inspect

__all__ = [
    "FALLBACK_IDENTITY",
    "FileChange",
    "FilePatch",
    "Git",
    "Identity",
    "ParsedPatch",
    "PrivateRepo",
    "Source",
    "apply",
    "inspect",
    "make",
    "new_project",
    "parse",
    "remove_tree",
]
