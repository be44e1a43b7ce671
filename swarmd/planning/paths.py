"""Which paths a plan may name, and where new tests go."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from swarmd.messages import Survey

__all__ = [
    "DOCUMENTS",
    "SOURCES",
    "changeable",
    "is_test",
    "new_test",
    "problem_with",
    "subject_of_test",
    "tidy",
]

_CODE = "py pyi js mjs cjs ts tsx jsx vue svelte go rs c h cc cpp hpp java kt rb php sh sql html css scss"
SOURCES = frozenset(_CODE.split())
"""Suffixes of files that hold code."""
DOCUMENTS = frozenset({"md", "rst", "txt"})
_DATA = frozenset({"json", "toml", "yaml", "yml", "csv", "xml", "svg", "ini", "cfg", "jinja", "j2"})

_JUDGES = """
conftest.py pytest.ini tox.ini setup.cfg setup.py pyproject.toml noxfile.py sitecustomize.py
usercustomize.py package.json package-lock.json uv.lock poetry.lock requirements.txt
"""
_STEERS_TESTS = frozenset(_JUDGES.split())
"""Names of files that decide, wherever they lie, what is judged and how."""

_TEST_FOLDERS = frozenset({"tests", "test", "__tests__", "spec"})
_TEST_NAME = re.compile(r"(?:^test_.*|.*_test|^test)\.py$|.*\.(?:test|spec)\.[a-z]+$|^conftest\.py$")
_PART = re.compile(r"[\w@+()\[\]][\w@+().,\[\] -]*")
_MAX_LENGTH, _MAX_DEPTH = 200, 10


def is_test(path: str) -> bool:
    """Whether ``path`` is part of the tests, by its name or its folder."""
    pure = PurePosixPath(path)
    return bool(_TEST_NAME.fullmatch(pure.name)) or any(part in _TEST_FOLDERS for part in pure.parts[:-1])


def tidy(path: str, survey: Survey) -> str:
    """``path`` as a plan should have written it: without ``./`` or the project's own absolute path
    before it, and with the folder when only the name of a file was given and it is the only one."""
    path = path.strip().removeprefix(survey.workspace.rstrip("/") + "/").removeprefix("./")
    if path in survey.files or path.startswith(("/", "..")):
        return path
    homonyms = [known for known in survey.files if known.endswith(f"/{path}")]
    return homonyms[0] if len(homonyms) == 1 else path


def problem_with(path: str, survey: Survey, *, testing: bool) -> str | None:
    """Why a plan may not give ``path`` to an agent; None if it may.

    ``testing``: the agent writes tests, which may be new files only.
    """
    shape = _shape_problem(path)
    if shape:
        return shape
    name = PurePosixPath(path).name
    if path in survey.protected or name in _STEERS_TESTS:
        return "is judged as it is in the base commit and may not be changed"
    if testing:
        if path in survey.files:
            return "exists already: only new test files count"
        return None if is_test(path) else "is not a test file"
    if is_test(path):
        return "is a test file: only a testing agent may write it, so leave it out"
    return None if path in survey.files else _new_file_problem(path, survey)


def changeable(survey: Survey) -> list[str]:
    """The project's files that an agent other than a testing one may be given."""
    protected = set(survey.protected)
    return [
        path
        for path in survey.files
        if path not in protected
        and not is_test(path)
        and PurePosixPath(path).name not in _STEERS_TESTS
        and _shape_problem(path) is None
    ]


def _shape_problem(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith(("/", "~")) or "\\" in path or ":" in path or ".." in parts:
        return "is not inside the project"
    if len(path) > _MAX_LENGTH or len(parts) > _MAX_DEPTH:
        return "is too long"
    if any(part.lower() in (".git", "git~1") for part in parts) or parts[0] in (".github", ".gitlab"):
        return "belongs to git or to the CI"
    if any(part in ("", ".") for part in parts) or not all(_PART.fullmatch(p.lstrip(".")) for p in parts):
        return "is no sane path of a file"
    return None


def _new_file_problem(path: str, survey: Survey) -> str | None:
    prefix = f"{path}/"
    if any(known.startswith(prefix) for known in survey.files):
        return "is a folder: name its files"
    if any(str(parent) in survey.files for parent in PurePosixPath(path).parents):
        return "lies below a file"
    if any(part.startswith(".") for part in path.split("/")):
        return "would be a hidden new file"
    if PurePosixPath(path).suffix.removeprefix(".").lower() not in SOURCES | DOCUMENTS | _DATA:
        return "does not exist, and is no sort of file that is written here"
    return None


def new_test(source: str | None, survey: Survey, taken: set[str]) -> str:
    """The path of a new test file for ``source`` (a source file, or a test that exists), in the
    project's own manner and not in ``taken``."""
    pure = PurePosixPath(source or "request.py")
    stem = _bare_stem(pure.name)
    stem = pure.parent.name if stem in ("__init__", "index") and pure.parent.name else stem
    stem = re.sub(r"\W+", "_", stem).strip("_") or "request"
    suffix = pure.suffix if pure.suffix.removeprefix(".") in SOURCES else ".py"
    names = {PurePosixPath(known).name for known in {*survey.files, *taken}}
    marks = ("", *(f"_{number}" for number in range(2, len(names) + 3)))
    forms = (f"test_{stem}{m}.py" if suffix == ".py" else f"{stem}{m}.test{suffix}" for m in marks)
    name = next(form for form in forms if form not in names)
    folder = _test_folder(survey, suffix)
    return f"{folder}/{name}" if folder else name


def _bare_stem(name: str) -> str:
    """``cart`` of cart.py, test_cart.py, cart_test.py, test_cart_2.py and cart.test.js."""
    stem = re.sub(r"\.(?:test|spec)(?=\.)", "", name)
    stem = stem.rpartition(".")[0] or stem
    if not is_test(name):
        return stem
    return re.sub(r"_\d+$", "", stem.removeprefix("test_").removesuffix("_test"))


def _test_folder(survey: Survey, suffix: str) -> str:
    tests = [PurePosixPath(path) for path in survey.files if path.endswith(suffix)]
    tests = [path for path in tests if _TEST_NAME.fullmatch(path.name) and path.name != "conftest.py"]
    folders = Counter(str(path.parent) for path in tests)
    if not folders:
        return "tests"
    folder = min(folders, key=lambda name: (-folders[name], name))
    return "" if folder == "." else folder


def subject_of_test(test: str, survey: Survey) -> str | None:
    """The one source file that the test file ``test`` is named after, if there is one."""
    stem = _bare_stem(PurePosixPath(test).name)
    found = [
        path
        for path in survey.files
        if PurePosixPath(path).stem == stem and _is_source(path) and not is_test(path)
    ]
    return found[0] if len(found) == 1 else None


def _is_source(path: str) -> bool:
    return PurePosixPath(path).suffix.removeprefix(".") in SOURCES
