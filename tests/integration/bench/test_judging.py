"""Solutions run in the sandbox, and problems made of published tasks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from swarmd.bench import cases, repository, suite
from swarmd.bench.dataset import Dataset, Task
from swarmd.bench.judge import Judge
from swarmd.bench.testcmd import LOG, read_log
from tests.unit.bench.invented import FENCE, SHELVES

GOOD = FENCE.prompt + FENCE.canonical_solution
CASES = cases.read(FENCE.test)
assert CASES is not None


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Judge.make().sandbox, case_s=1.0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (GOOD, ["pass"] * 6),
        (
            GOOD.replace("full + 1\n    return", "full + 2\n    return"),
            ["pass", "pass", "fail", "fail", "pass", "fail"],
        ),
        ("def fence_posts(", ["fail"] * 6),
        ("def other(): ...", ["fail"] * 6),
        ("import os\nos._exit(0)", ["fail"] * 6),
        ("import sys\nsys.exit(0)", ["fail"] * 6),
        ("def fence_posts(length, gap):\n    while True: pass", ["timeout"] * 6),
        ("def fence_posts(length, gap):\n    raise SystemExit(0)", ["fail"] * 6),
    ],
)
def test_each_case_is_judged_by_itself(judge: Judge, source: str, expected: list[str]) -> None:
    assert CASES is not None
    assert judge.run(source, "fence_posts", CASES, CASES.codes) == expected


def test_a_solution_that_writes_a_report_of_its_own_fails(judge: Judge) -> None:
    forged = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b'[["pass", ""]]')
    except OSError:
        pass
os._exit(0)
"""
    assert CASES is not None
    assert set(judge.run(forged, "fence_posts", CASES, CASES.codes)) == {"fail"}


def test_a_solution_cannot_write_outside(judge: Judge, tmp_path: Path) -> None:
    target = tmp_path / "escaped"
    source = f"open({str(target)!r}, 'w').write('x')\n{GOOD}"
    assert CASES is not None
    judge.run(source, "fence_posts", CASES, CASES.codes)
    assert not target.exists()


def test_implement_keeps_the_head_and_hides_every_case(judge: Judge) -> None:
    made = suite.build(Dataset((FENCE, SHELVES), "x"), "implement", 5, 0, judge)
    assert {one.task_id for one in made.problems} == {FENCE.task_id, SHELVES.task_id}
    for one in made.problems:
        assert one.source.endswith("    raise NotImplementedError\n")
        assert one.test == ""
        assert one.hidden
        assert one.shown == ()
        assert "fail" in judge.run(one.source, one.entry_point, one.cases, one.hidden)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fix_shows_failing_tests_of_one_bug(judge: Judge, tmp_path: Path, seed: int) -> None:
    data = Dataset((FENCE, SHELVES), "x")
    made = suite.build(data, "fix", 5, seed, judge)
    assert made == suite.build(data, "fix", 5, seed, judge)
    assert made.skipped == {SHELVES.task_id: "its cases cannot be told apart"}
    (one,) = made.problems
    assert sum(a != b for a, b in zip(one.source.split("\n"), GOOD.split("\n"), strict=True)) == 1
    assert "fail" in judge.run(one.source, one.entry_point, one.cases, one.shown)
    assert set(judge.run(GOOD, one.entry_point, one.cases, [*one.shown, *one.hidden])) == {"pass"}
    assert not {code.partition("candidate")[2] for code in one.hidden} & set(one.test.splitlines())

    repository.make(one, tmp_path / "repository")
    assert run_tests(tmp_path / "repository", tmp_path / "gates") == 1
    (tmp_path / "repository/solution.py").write_text(GOOD)
    assert run_tests(tmp_path / "repository", tmp_path / "gates") == 0
    assert [status for _, _, status in read_log(tmp_path / "gates")] == [1, 0]


def run_tests(folder: Path, log: Path) -> int:
    env = {**os.environ, LOG: str(log), "PYTHONPATH": str(Path(__file__).parents[3])}
    argv = [sys.executable, "-P", "-m", "swarmd.bench.testcmd", "-q"]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, timeout=60)
    assert b" in 0.00s" in done.stdout, "how long it took must not come into prompts"
    return done.returncode


def test_tasks_that_do_not_hold_are_passed_over(judge: Judge) -> None:
    wrong = Task("Invented/wrong", FENCE.prompt, "fence_posts", "    return 0\n", FENCE.test)
    no_check = Task("Invented/none", FENCE.prompt, "fence_posts", FENCE.canonical_solution, "x = 1\n")
    made = suite.build(Dataset((wrong, no_check, FENCE), "x"), "implement", 3, 0, judge)
    assert made.skipped == {
        "Invented/wrong": "its own solution fails its cases",
        "Invented/none": "its test is no check(candidate)",
    }


def test_the_repository_is_the_same_each_time(judge: Judge, tmp_path: Path) -> None:
    one = suite.build(Dataset((FENCE,), "x"), "fix", 1, 0, judge).problems[0]
    heads = []
    for _ in range(2):
        repository.make(one, tmp_path / "repository")
        argv = ["git", "-C", str(tmp_path / "repository"), "rev-parse", "HEAD"]
        heads.append(subprocess.run(argv, capture_output=True, check=True).stdout)
    assert heads[0] == heads[1]
    (tmp_path / "repository/solution.py").unlink()
    (tmp_path / "repository/solution.py").symlink_to("/etc/passwd")
    assert repository.solution(tmp_path / "repository") is None


def test_a_bug_that_no_shown_case_sees_is_not_planted(judge: Judge) -> None:
    from swarmd.bench.mutate import mutations

    assert CASES is not None
    one = suite.build(Dataset((FENCE,), "x"), "fix", 1, 5, judge).problems[0]
    rng = random.Random("5:fix:Invented/fence")
    assert one.source in [mutation.source for mutation in mutations(GOOD, "fence_posts", rng)]
