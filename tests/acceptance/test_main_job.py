"""The main job on real models: three requests of different priorities become verified branches."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.harness import Daemon, fingerprint, git, make_repository, own_tests_pass

STOCK = {
    "stock/__init__.py": "",
    "stock/levels.py": '''"""Stock levels."""


def remaining(total, reserved):
    """Units left when ``reserved`` of ``total`` are taken; never negative."""
    left = total - reserved
    if left > 0:
        return 0
    return left


def is_low(level, threshold):
    """Whether ``level`` is below ``threshold``."""
    return level < threshold
''',
    "stock/labels.py": '''"""Labels for shelves."""


def shelf_label(row, column):
    return f"{row.upper()}-{column:02d}"
''',
    "stock/prices.py": '''"""Prices in cents."""


def gross(net_cents, tax_percent):
    """Net price plus tax, rounded to whole cents."""
    return round(net_cents * (100 + tax_percent) / 100)
''',
    "tests/test_levels.py": """from stock.levels import is_low, remaining


def test_remaining_counts_what_is_left():
    assert remaining(10, 4) == 6


def test_remaining_is_never_negative():
    assert remaining(3, 5) == 0


def test_is_low():
    assert is_low(1, 2)
    assert not is_low(2, 2)
""",
    "tests/test_labels.py": """from stock.labels import shelf_label


def test_shelf_label():
    assert shelf_label("b", 7) == "B-07"
""",
    "tests/test_prices.py": """from stock.prices import gross


def test_gross():
    assert gross(1000, 19) == 1190
""",
    "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
}

REQUESTS = {
    "bugfix": (
        "high",
        {"user_request": "Fix the failing tests: remaining in stock/levels.py returns the wrong number."},
    ),
    "feature": (
        "normal",
        {
            "user_request": "Add a function is_free(net_cents) to stock/prices.py that returns True when "
            "net_cents is 0 or less, and False otherwise. Add tests for it.",
            "kind": "feature",
            "files": ["stock/prices.py"],
        },
    ),
    "docstring": (
        "low",
        {
            "user_request": "Write a docstring for shelf_label in stock/labels.py.",
            "kind": "docs",
            "files": ["stock/labels.py"],
        },
    ),
}


def run_main_job(daemon: Daemon, folder: Path, timeout: float = 900) -> dict[str, dict]:
    """Drop the three requests, wait for their ends, and judge everything again."""
    shop = make_repository(folder / "stock", STOCK)
    (shop / "notes.txt").write_text("not committed\n")
    before = fingerprint(shop)
    daemon.start()
    for name, (priority, request) in REQUESTS.items():
        daemon.drop(name, {**request, "workspace": str(shop)}, priority)
    results = {name: daemon.result(name, timeout) for name in REQUESTS}
    assert daemon.stop() == 0
    assert fingerprint(shop) == before
    for name, result in results.items():
        print(name, result["status"], f"{result['seconds']:.0f} s", result["tokens"], result["error"])
        # nothing but models can tell whether the new function does what was asked
        delivered = "unconfirmed" if name == "feature" else "succeeded"
        assert result["status"] in (delivered, "failed")
        if result["status"] == delivered:
            judge_again(name, shop, result, folder / f"clone-{name}")
    assert [r["status"] for r in results.values()].count("failed") <= 1, daemon.tail()
    assert daemon.swarmd("audit", "verify").returncode == 0
    return results


def judge_again(name: str, shop: Path, result: dict, clone: Path) -> None:
    """What the test itself thinks of a success, on a fresh checkout."""
    assert result["branch"] == f"swarm/{name}"
    git(shop, "clone", "--quiet", "--branch", result["branch"], str(shop), str(clone))
    assert git(clone, "rev-parse", "HEAD~1").strip() == result["base_commit"]
    judges: dict[str, Callable[[Path, Path], None]] = {
        "bugfix": _judge_bugfix,
        "feature": _judge_feature,
        "docstring": _judge_docstring,
    }
    judges[name](shop, clone)


def _judge_bugfix(shop: Path, clone: Path) -> None:
    assert own_tests_pass(shop, "swarm/bugfix", clone.with_name("judged-bugfix"))


def _judge_feature(shop: Path, clone: Path) -> None:
    space: dict = {}
    exec((clone / "stock/prices.py").read_text(), space)
    assert [space["is_free"](cents) for cents in (-5, 0, 1, 250)] == [True, True, False, False]
    assert space["gross"](1000, 19) == 1190


def _judge_docstring(shop: Path, clone: Path) -> None:
    new, old = ((path / "stock/labels.py").read_text() for path in (clone, shop))
    functions = [node for node in ast.parse(new).body if isinstance(node, ast.FunctionDef)]
    assert ast.get_docstring(functions[0])
    functions[0].body = functions[0].body[1:]
    assert ast.dump(functions[0]) == ast.dump(ast.parse(old).body[1])


def test_three_requests_end_and_the_good_ones_are_good(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    results = run_main_job(make_daemon(), tmp_path)
    assert set(results) == set(REQUESTS)
