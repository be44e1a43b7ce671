"""What the wheel holds: the code, the default agents and knowledge, and nothing of anyone's runs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

hatchling = pytest.importorskip("hatchling.builders.wheel")
ROOT = Path(__file__).resolve().parents[2]

RUNTIME_FILES = [
    "swarmd.toml",
    ".swarmd.lock",
    ".swarmd.daemon.json",
    "bus/inbox/high/login.json",
    "bus/outbox/login.json",
    "logs/master.jsonl",
    "logs/agents/coding.jsonl",
    "calibration/qwen2.5-coder-0.5b-0a1b2c3d.json",
    "council/keys/agents-registry.json",
    "council/keys/active-agents.json",
    "council/warrants/pending/deploy-1.json",
    "knowledge/lessons/coding.jsonl",
    "workspaces/login/repo.git/HEAD",
    "swarmd/__pycache__/home.cpython-311.pyc",
    ".venv/bin/python",
]
"""What a home at the top of a checkout leaves there: git ignores it, and so must the wheel."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree as it is, with runtime files planted in it."""
    tree = tmp_path_factory.mktemp("tree") / "swarmd"
    ignored = shutil.ignore_patterns(
        ".git", "__pycache__", ".*_cache", ".venv", ".hypothesis", "dist", "build"
    )
    shutil.copytree(ROOT, tree, ignore=ignored)
    for name in RUNTIME_FILES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("of one run")
    built = next(hatchling.WheelBuilder(str(tree)).build(directory=str(tmp_path_factory.mktemp("dist"))))
    return Path(built)


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def tracked(folder: str, pattern: str) -> set[str]:
    paths = (ROOT / folder).rglob(pattern)
    return {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}


def test_all_code_is_inside_with_its_type_marker_and_settings_template(names: set[str]) -> None:
    assert tracked("swarmd", "*.py") | {"swarmd/py.typed", "swarmd/swarmd.toml.in"} <= names


def test_the_default_agents_and_knowledge_are_inside(names: set[str]) -> None:
    agents = tracked("agents", "agent.toml") | tracked("agents", "*.md")
    knowledge = tracked("knowledge", "*.md")
    assert "agents/coding/agent.toml" in agents
    assert {f"swarmd/_home/{name}" for name in agents | knowledge} <= names


def test_the_exercises_of_calibrations_are_inside(names: set[str]) -> None:
    exercises = tracked("calibration", "*.toml")
    assert len(exercises) >= 12
    assert {f"swarmd/_home/{name}" for name in exercises} <= names


def test_nothing_but_code_defaults_and_metadata_is_inside(names: set[str]) -> None:
    strange = {name for name in names if not name.startswith("swarmd/") and ".dist-info/" not in name}
    assert strange == set()
    homes = {name.split("/")[2] for name in names if name.startswith("swarmd/_home/")}
    assert homes <= {"agents", "calibration", "council", "knowledge"}


def test_no_runtime_file_is_inside(wheel: Path, names: set[str]) -> None:
    archive = zipfile.ZipFile(wheel)
    assert [name for name in names if archive.read(name) == b"of one run"] == []
    assert [name for name in names if name.endswith((".jsonl", ".pyc", ".lock"))] == []


def test_no_tests_are_inside(names: set[str]) -> None:
    assert not any("tests" in Path(name).parts or Path(name).name.startswith("test_") for name in names)


def test_the_wheel_alone_makes_a_home_with_the_default_agents(wheel: Path, tmp_path: Path) -> None:
    installed, home = tmp_path / "site", tmp_path / "home"
    zipfile.ZipFile(wheel).extractall(installed)
    env = {**os.environ, "PYTHONPATH": str(installed), "XDG_STATE_HOME": str(tmp_path / "state")}
    command = [sys.executable, "-P", "-m", "swarmd", "init", str(home)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (home / "agents/coding/agent.toml").is_file()
    assert (home / "swarmd.toml").read_bytes() == (ROOT / "swarmd/swarmd.toml.in").read_bytes()
    assert not list(home.rglob("*.gitignore"))
