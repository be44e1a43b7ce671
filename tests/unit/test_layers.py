"""Imports only go down, packages of one layer do not know each other, and starting stays light."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "swarmd"

LAYERS: list[set[str]] = [
    {"errors", "messages", "clock"},
    {"home", "config", "durable", "audit"},
    {"bus", "knowledge", "client"},
    {"models", "workspace", "sandbox", "council"},
    {"planning", "coding", "verify"},
    {"agents", "calibration"},
    {"daemon", "bench"},
    {"cli"},
]
"""From the lowest to the highest. Foundations may know each other: the two lowest layers are shared
vocabulary, not packages with a life of their own."""

SHARED_LAYERS = 2
HEAVY = {"ollama", "openai", "anthropic", "xllamacpp", "genai_prices", "httpx", "libcst", "tree_sitter"}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ENTRY_POINTS = {"__init__", "__main__"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The package or top-level module that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> Iterator[str]:
    """Every part of swarmd that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what a file depends on"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "swarmd" and len(parts) > 1:
                yield parts[1]


def violation(own: str, other: str) -> str | None:
    """Why ``own`` must not import ``other``; None if it may."""
    if own == other or other == "__version__":
        return None
    if other == "testing":
        return "fakes are for tests"
    if own in ("testing", *ENTRY_POINTS):
        return None
    if LEVEL[other] > LEVEL[own]:
        return "an arrow up"
    if LEVEL[other] == LEVEL[own] >= SHARED_LAYERS:
        return "a sideways arrow"
    return None


def test_every_part_has_a_layer() -> None:
    found = {part_of(path) for path in modules()} - {"testing", *ENTRY_POINTS}
    assert found <= LEVEL.keys(), "name the layer of a new package here and in the design"


def test_imports_only_go_down() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other}: {why}"
        for path in modules()
        for other in imported_parts(path)
        if (why := violation(part_of(path), other))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("own", "other", "allowed"),
    [
        ("bus", "messages", True),
        ("bus", "daemon", False),
        ("messages", "home", False),
        ("home", "durable", True),
        ("models", "sandbox", False),
        ("coding", "verify", False),
        ("bus", "client", False),
        ("cli", "daemon", True),
        ("daemon", "cli", False),
        ("bench", "daemon", False),
        ("cli", "bench", True),
        ("agents", "testing", False),
    ],
)
def test_the_rule_itself(own: str, other: str, allowed: bool) -> None:
    assert (violation(own, other) is None) == allowed


def test_package_names_say_what_they_hold() -> None:
    assert not {path.stem for path in modules()} & {"utils", "util", "core", "helpers", "common", "misc"}


@pytest.mark.parametrize(
    "statement",
    [
        "import swarmd",
        "from swarmd.cli import main; main(['--help'])",
        "from swarmd.cli import main; main(['task', '--help'])",
        "from swarmd.cli import main; main(['task', 'add', '--help'])",
        "from swarmd.cli import main; main(['doctor', '--help'])",
        "import swarmd.agents.zygote",
        "import swarmd.models.client",
        "import swarmd.daemon",
    ],
)
def test_the_start_path_loads_nothing_heavy(statement: str) -> None:
    """A fresh interpreter, because this one may have loaded anything."""
    code = f"import sys, json; {statement}; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert loaded & HEAVY == set()


def test_help_loads_neither_pydantic_nor_rich() -> None:
    """They would double the time that it takes."""
    code = "import sys; from swarmd.cli import main; main(['--help']); sys.stderr.write(str([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert "'click'" in done.stderr
    assert "'pydantic'" not in done.stderr
    assert "'rich'" not in done.stderr
