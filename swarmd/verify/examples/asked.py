"""What a request is about: the files and names in its text."""

from __future__ import annotations

import builtins
import re
from functools import cached_property
from pathlib import PurePosixPath

from swarmd.messages import Request
from swarmd.verify.demand import kind_of
from swarmd.verify.examples.project import Definition, Project

__all__ = ["Asked"]

_KIND = (
    r"(?:the\s+)?(?:(?:new|missing|existing|broken|public)\s+)?(?:(?:function|method|class|helper)s?\s+)?"
    r"(?:called\s+|named\s+)?"
)
_BEFORE = (
    r"(?:fix|fixes|repair|mend|implement\w*|correct|complete|finish|debug|rewrite|change|functions?|methods?"
    r"|class(?:es)?|def|bug\s+in|error\s+in)\s+" + _KIND
)
_BEHIND = (
    r"['\"]?\s+(?:functions?|methods?|class|(?:in|of|from)\s+[\w./-]+\.py|returns?|gives?|raises?|fails?|crash(?:es)?"
    r"|should|must|does\s*n[o']t|is\s+(?:wrong|broken|buggy)|loops|hangs)\b"
)
_NEW = (
    r"\b(?:add(?:ing|s)?|creat\w+|implement\w*|introduc\w+|writ\w+|provid\w+|new|need\w*|missing|function|method"
    r"|class|def|called|named)\s+(?:an?\s+)?"
    + _KIND
    + r"(?:[`'\"]?[\w.]+(?:\([^()\n]*\))?[`'\"]?\s*(?:,|and\b|&)\s*(?:and\s+)?){0,6}"
    r"[`'\"]?(?:[A-Za-z_]\w*\.)?"
)
_TO_WRITE = re.compile(
    r"\b(?:implement|complet|finish|writ|fill|stub|missing|body|bodies|NotImplemented)", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z_]\w{2,}|[A-Za-z_]\w*(?=[(`])")
_CHANGE = re.compile(
    r"\b(?:chang|instead|no longer|rather than|replac|switch|convert|renam|remov|delet|drop|modif|updat"
    r"|mov(?:e|ing)\b|different|rework|adapt|extend|now\b)",
    re.IGNORECASE,
)
_PYTHON_FILE = re.compile(r"(?<![\w/.-])([\w./-]+\.pyi?)\b")
_OTHER_CODE = (".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".go", ".java", ".rs", ".rb", ".c", ".cpp")


class Asked:
    """The request's own words, asked for names and files."""

    def __init__(self, request: Request, project: Project) -> None:
        self.text = request.user_request
        self._request = request
        self._project = project
        self._files = [path.removeprefix("./") for path in request.files]
        self.words = frozenset(_WORD.findall(self.text)[:2000])
        """Words that may be names; a shorter one only where it is called or quoted."""

    @cached_property
    def files(self) -> list[str]:
        """The Python files that it names: those that exist by their full path, new ones as they are."""
        found: dict[str, None] = {}
        for name in [*self._files, *_PYTHON_FILE.findall(self.text)]:
            name = name.removeprefix("./")
            if not name.endswith((".py", ".pyi")):
                continue
            known = [path for path in self._project.paths if path == name or path.endswith("/" + name)]
            found.update(dict.fromkeys(known or [name]))
        return list(found)

    @cached_property
    def speaks_python(self) -> bool:
        """Whether what is new in it may be Python: it names a Python file or the language, or the project
        is in Python and it names no file of another language."""
        words = [word.rstrip(".,;:") for word in self.text.split()]
        other = any(word.endswith(_OTHER_CODE) for word in [*words, *self._files])
        named = bool(self.files) or re.search(r"\bpython\b", self.text, re.IGNORECASE) is not None
        return named or (bool(self._project.paths) and not other)

    @cached_property
    def wants_change(self) -> bool:
        """Whether it may want something that works to work in another way, or to go away."""
        return kind_of(self._request, None) != "bugfix" and _CHANGE.search(self.text) is not None

    def names(self, name: str) -> bool:
        """Whether it names ``name`` as code: in backticks, called, in a dotted name, in a spelling that no
        plain word has, or beside a word such as "fix" or "function"."""
        if name not in self.words and name not in self.text:
            return False
        plain = re.escape(name)
        if re.search(rf"\b{plain}\b", self.text) and re.search(r"\w_\w|[a-z][A-Z]|^_|\d", name):
            return True
        patterns = (
            rf"`[^`\n]*\b{plain}\b[^`\n]*`",
            rf"\b{plain}\s?\(",
            rf"\w\.{plain}\b(?!\.\w)",
            rf"\b(?:{_BEFORE})['\"]?{plain}\b",
            rf"\b{plain}{_BEHIND}",
        )
        return any(
            re.search(pattern, self.text, flags=re.IGNORECASE if "fix" in pattern else 0)
            for pattern in patterns
        )

    def wants_new(self, name: str) -> bool:
        """Whether it asks for ``name``, which the project does not have."""
        if hasattr(builtins, name) or not self.speaks_python:
            return False
        return re.search(_NEW + re.escape(name) + r"\b", self.text, re.IGNORECASE) is not None

    def is_about(self, definition: Definition) -> bool:
        """Whether ``definition`` is named, is to be written, or is all that a named file has to offer."""
        if not definition.name:
            return False
        if self.names(definition.short):
            return True
        named = definition.path in self.files
        if definition.stub and _TO_WRITE.search(self.text) and (named or not self.files):
            return True
        return named and self._only(definition)

    def _only(self, definition: Definition) -> bool:
        public = [
            one
            for one in self._project.definitions(definition.path)
            if one.name and not one.short.startswith("_")
        ]
        return public == [definition]

    def modules(self) -> list[str]:
        """The modules of the files that it names."""
        found = [self._project.module(path) for path in self.files if PurePosixPath(path).suffix == ".py"]
        return [name for name in found if name]
