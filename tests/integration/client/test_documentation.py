"""Every example of docs/client.md, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarmd.home import Home
from tests.integration.client.conftest import Served

PAGE = (Path(__file__).resolve().parents[3] / "docs/client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(python|sh)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
DROP = next(code for _, code in EXAMPLES if code.startswith("# swarmd_drop"))


@pytest.fixture
def env(home: Home, tmp_path: Path) -> dict[str, str]:
    """What a script finds: the home, a repository, and the program on its path."""
    (tmp_path / "src/shop").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/swarmd"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m swarmd "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        "HOME": str(tmp_path),
        "SWARMD_HOME": str(home.root),
    }


def run(kind: str, code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "error", "-c", code] if kind == "python" else ["sh", "-c", code]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def test_the_page_has_examples() -> None:
    assert [kind for kind, _ in EXAMPLES].count("python") >= 4
    assert [kind for kind, _ in EXAMPLES].count("sh") >= 5
    assert PAGE.count("```") == 2 * len(EXAMPLES), "an example that no test runs"


@pytest.mark.parametrize(("kind", "code"), EXAMPLES, ids=[code.split("\n")[0][:40] for _, code in EXAMPLES])
def test_example(kind: str, code: str, env: dict[str, str], served: Served) -> None:
    (served.home.deadletter / "old.json").write_text('{"user_request": "again"}')
    done = run(kind, code, env)
    told = [line for line in done.stderr.splitlines() if not line.startswith("next: ")]
    assert (done.returncode, told) == (0, [])
    print(done.stdout)


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        ("import os", "request_complete\nsucceeded None\n"),
        ("import asyncio", "['succeeded', 'succeeded']\n"),
    ],
)
def test_what_examples_print(begins: str, says: str, env: dict[str, str], served: Served) -> None:
    code = next(code for kind, code in EXAMPLES if kind == "python" and code.startswith(begins))
    assert run("python", code, env).stdout.endswith(says)


def test_the_cautious_example_without_a_daemon(env: dict[str, str]) -> None:
    code = next(code for _, code in EXAMPLES if "except RequestError" in code)
    assert run("python", code, env).stdout == "kept in the inbox until the daemon is started\n"


def test_the_cron_job_without_a_daemon_leaves_its_request_once(env: dict[str, str], home: Home) -> None:
    code = next(code for _, code in EXAMPLES if "15 2 * * *" in code)
    for _ in range(2):
        assert run("sh", code, env).returncode == 0
    assert {path.name[:5] for path in (home.inbox / "low").iterdir()} == {"docs-"}
    waits = next(code for _, code in EXAMPLES if "case $?" in code)
    assert run("sh", waits, env).returncode == 3


def test_the_dropped_file_is_whole_unique_and_private(env: dict[str, str], home: Home) -> None:
    functions = DROP.partition("\nfile=$(")[0]
    code = functions + '\nfor n in 1 2 3; do echo "{}" | swarmd_drop high a || exit; done'
    done = run("sh", code, env)
    names = {Path(line).name for line in done.stdout.splitlines()}
    files = list((home.inbox / "high").iterdir())
    assert {path.name for path in files} == names
    assert len(names) == 3
    assert all(path.read_text() == "{}\n" and path.stat().st_mode & 0o077 == 0 for path in files)


@pytest.mark.parametrize("feed", ["false |", "printf '' |"])
def test_nothing_is_dropped_when_there_is_nothing_to_drop(env: dict[str, str], home: Home, feed: str) -> None:
    functions = DROP.partition("\nfile=$(")[0]
    assert run("sh", f"{functions}\n{feed} swarmd_drop high a", env).returncode == 1
    assert list((home.inbox / "high").iterdir()) == []


def test_the_helper_tells_what_was_refused(env: dict[str, str], served: Served) -> None:
    functions = DROP.partition("\nfile=$(")[0]
    code = f'{functions}\nfile=$(echo "[]" | swarmd_drop high a); swarmd_receipt "$file" 30'
    done = run("sh", code, env)
    assert done.returncode == 1
    assert '"code": "E-REQUEST' in done.stderr


def test_the_helper_does_not_wait_for_ever(env: dict[str, str]) -> None:
    functions = DROP.partition("\nfile=$(")[0]
    code = f'{functions}\nfile=$(echo "[]" | swarmd_drop high a); swarmd_receipt "$file" 0'
    assert run("sh", code, env).returncode == 124
