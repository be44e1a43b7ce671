"""Coding patches on a small project: what passes, what does not, and what the failure says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.messages import Verdict
from swarmd.sandbox import Sandbox, choose

from .conftest import AUTH, FIXED_AUTH, TEST_AUTH, Lab, packet

Build = Callable[..., Lab]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Lab:
    files = {"auth.py": AUTH, "tests/test_auth.py": TEST_AUTH, "README.md": "# Shop\n", "util.py": "X = 1\n"}
    made = Lab(tmp_path_factory.mktemp("judging"), sandbox, files)
    made.prepare()
    return made


def test_prepare_records_how_the_base_does(shop: Lab) -> None:
    survey = shop.prepare()
    assert [spec.gate for spec in survey.gates] == ["parse", "tests"]
    assert survey.base_passed == ["tests/test_auth.py::test_logout_empties_the_session"]
    assert survey.base_failed == ["tests/test_auth.py::test_login_accepts_the_right_password"]
    assert survey.base_results[1].counts.collected == 2  # the planted tests are not counted
    assert survey.protected == ["tests/test_auth.py"]


def test_a_correct_fix_passes_with_its_evidence(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": FIXED_AUTH}, owned=("auth.py",))
    assert verdict.ok
    assert [gate.gate for gate in verdict.gates] == ["parse", "tests"]
    tests = verdict.gates[-1]
    assert (tests.counts.passed, tests.counts.failed, tests.sandbox_level) == (2, 0, shop.level)
    kept = (shop.folder / "artifacts" / tests.output_sha256).read_text()
    assert "planted" in kept
    assert (verdict.diff_files, verdict.diff_lines) == (1, 2)


def test_a_wrong_fix_fails_with_expected_and_actual_in_the_digest(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": AUTH.replace("users.get(name) != password", "len(users) > 5")})
    failure = verdict.failure
    assert (failure.kind, failure.gate) == ("assertion", "tests")
    assert "assert False == True" in failure.digest
    assert "test_auth.py:5" in failure.digest
    assert len(failure.digest) <= 1500


def test_an_exception_in_the_code_names_the_line_and_its_values(shop: Lab) -> None:
    body = "    known = users[password]\n    return known == name\n"
    verdict = shop.judge({"auth.py": AUTH.replace("    return users.get(name) != password\n", body)})
    digest = verdict.failure.digest
    assert "KeyError" in digest
    assert "auth.py:2 login" in digest
    assert "known = users[password]" in digest
    assert "password = 'secret'" in digest


def test_an_unknown_name_is_told_apart_from_a_wrong_result(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": AUTH.replace("users.get(name)", "user.get(name)")})
    assert verdict.failure.kind == "name"
    assert "NameError" in verdict.failure.digest


def test_a_file_that_does_not_parse_stops_at_the_first_gate(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": AUTH.replace("):", ")", 1)})
    assert verdict.failure.kind == "syntax"
    assert [gate.gate for gate in verdict.gates] == ["parse"]
    assert "auth.py" in verdict.failure.digest


def test_equal_failures_have_equal_signatures_and_others_have_others(shop: Lab) -> None:
    def signature(expression: str) -> str:
        return shop.judge(
            {"auth.py": AUTH.replace("users.get(name) != password", expression)}
        ).failure.signature

    assert signature("len(users) > 5") == signature("len(users) > 77")
    assert signature("len(users) > 5") != signature("users[5]")


def test_a_file_outside_the_packet_is_refused_without_running_anything(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": FIXED_AUTH, "util.py": "X = 2\n"}, owned=("auth.py",))
    assert verdict.failure.kind == "refused"
    assert "util.py" in verdict.failure.digest
    assert verdict.gates == []


def test_a_changed_test_is_left_out_and_the_rest_is_judged_with_the_original(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": FIXED_AUTH, "tests/test_auth.py": "def test_nothing():\n    pass\n"})
    assert verdict.ok
    assert verdict.protected == ["tests/test_auth.py"]
    assert verdict.gates[-1].counts.passed == 2
    assert any("warrant" in text for text in verdict.warnings)


def test_deleting_the_failing_test_fixes_nothing(shop: Lab) -> None:
    verdict = shop.judge({"tests/test_auth.py": None})
    assert not verdict.ok
    assert verdict.protected == ["tests/test_auth.py"]


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_more.py",
        "tests/conftest.py",
        "conftest.py",
        "pytest.ini",
        "sitecustomize.py",
        "x.pth",
        "setup.cfg",
    ],
)
def test_new_files_that_steer_the_tests_are_left_out(shop: Lab, path: str) -> None:
    verdict = shop.judge({"auth.py": FIXED_AUTH, path: "\n# new\n"})
    assert verdict.ok
    assert verdict.protected == [path]


def test_a_patch_that_breaks_a_passing_test_fails(shop: Lab) -> None:
    verdict = shop.judge({"auth.py": FIXED_AUTH.replace("session.clear()", "pass")})
    assert verdict.failure.kind == "assertion"
    assert "test_logout_empties_the_session" in verdict.failure.digest


def test_a_fix_that_leaves_the_named_test_red_fails_though_nothing_got_worse(shop: Lab) -> None:
    verdict = shop.judge({"util.py": "X = 3\n"})
    assert not verdict.ok
    assert "test_login_accepts_the_right_password" in verdict.failure.digest


@pytest.mark.parametrize(
    ("patch", "kind"),
    [
        ("", "nothing"),
        ("this is no patch", "format"),
        ("--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", "refused"),
        (
            "--- a/auth.py\n+++ b/auth.py\n@@ -1,2 +1,2 @@\n-def nothing():\n+def login():\n     pass\n",
            "apply",
        ),
        ("--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+x\n", "refused"),
        ("--- /dev/null\n+++ /tmp/swarmd-owned\n@@ -0,0 +1 @@\n+x\n", "refused"),
        (
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n",
            "refused",
        ),
        (
            "diff --git a/s b/s\nnew file mode 160000\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n"
            f"+Subproject commit {'a' * 40}\n",
            "refused",
        ),
        ("--- /dev/null\n+++ b/big.py\n@@ -0,0 +1,400 @@\n" + "+x = 1\n" * 400, "refused"),
    ],
)
def test_patches_that_cannot_be_taken_have_a_class(shop: Lab, patch: str, kind: str) -> None:
    verdict = shop.judge(patch)
    assert verdict.failure.kind == kind
    assert not Path("/tmp/swarmd-owned").exists()


def test_the_weaker_sandbox_judges_alike(tmp_path: Path) -> None:
    made = Lab(tmp_path, choose("landlock"), {"auth.py": AUTH, "tests/test_auth.py": TEST_AUTH})
    assert made.prepare().base_passed == ["tests/test_auth.py::test_logout_empties_the_session"]
    verdict = made.judge({"auth.py": FIXED_AUTH})
    assert (verdict.ok, verdict.gates[-1].sandbox_level) == (True, "landlock")
    assert not made.judge({"auth.py": AUTH + "\n\nX = 1\n"}).ok


def test_an_endless_loop_is_ended_and_named(lab: Build) -> None:
    made = lab()
    made.set(gate_s=4)
    verdict = made.judge(
        {"auth.py": FIXED_AUTH.replace("    session.clear()", "    while session:\n        pass")}
    )
    assert verdict.failure.kind == "timeout"
    assert "test_logout_empties_the_session" in verdict.failure.digest
    assert made.waits > 4


def test_a_memory_hog_is_ended(lab: Build) -> None:
    made = lab()
    made.set(memory_mib=200)
    hog = "    hoard = bytearray(800_000_000)\n    hoard[::4096] = b'x' * len(hoard[::4096])\n"
    hog += "    session.clear()"
    verdict = made.judge({"auth.py": FIXED_AUTH.replace("    session.clear()", hog)})
    assert verdict.failure.kind == "limits"


def test_a_fork_bomb_is_ended(lab: Build) -> None:
    made = lab()
    made.set(processes=16)
    bomb = "    import os, time\n    while True:\n        os.fork() or time.sleep(30)\n"
    verdict = made.judge({"auth.py": FIXED_AUTH.replace("    session.clear()", bomb + "    session.clear()")})
    assert verdict.failure.kind == "limits"


def test_code_without_any_test_passes_but_says_that_nothing_was_verified(lab: Build) -> None:
    made = lab({"tool.py": "X = 1\n"}, user_request="Add a function")
    verdict = made.judge({"tool.py": "X = 1\n\n\ndef twice(number):\n    return 2 * number\n"})
    assert verdict.ok
    assert any("behaviour" in text for text in verdict.not_verified)


def test_a_request_for_tests_with_none_collected_fails(lab: Build) -> None:
    made = lab({"tool.py": "X = 1\n", "pytest.ini": "[pytest]\n"}, user_request="Test it", kind="test")
    verdict = made.judge({"tool.py": "X = 2\n"})
    assert verdict.failure.kind == "missing"
    assert "no test was collected" in verdict.failure.digest


def test_lint_and_types_count_only_what_is_new(lab: Build) -> None:
    config = '[tool.ruff.lint]\nselect = ["F"]\n[tool.mypy]\nstrict = true\n'
    old = "import os\n\n\ndef one() -> str:\n    return 1\n"
    made = lab({"pyproject.toml": config, "tool.py": old}, user_request="Add two()")
    survey = made.prepare()
    assert {spec.gate: spec.mandatory for spec in survey.gates} == {
        "parse": True,
        "lint": True,
        "types": True,
    }
    shifted = "import os\n\nVERSION = 1\n\n\ndef one() -> str:\n    return 1\n"
    assert made.judge({"tool.py": shifted}).ok
    unused = made.judge({"tool.py": "import sys\n" + shifted})
    assert (unused.failure.kind, unused.gates[-1].findings) == (
        "lint",
        ["tool.py:1: F401 `sys` imported but unused"],
    )
    mistyped = made.judge({"tool.py": shifted + "\n\ndef two() -> int:\n    return one()\n"})
    assert mistyped.failure.kind == "types"
    assert "return-value" in mistyped.failure.digest
    silenced = made.judge({"tool.py": shifted + "\n\ndef two() -> int:\n    return one()  # type: ignore\n"})
    assert (silenced.failure.kind, "silences" in silenced.failure.digest) == ("refused", True)


def test_the_requests_own_gates_must_pass_in_the_sandbox(lab: Build) -> None:
    check = ["python", "-c", "import auth, sys; sys.exit(auth.logout({1: 2}) != {})"]
    made = lab(verify=[check, ["test", "-e", "auth.py"]])
    assert made.judge({"auth.py": FIXED_AUTH}).ok
    failing = made.judge({"auth.py": FIXED_AUTH + "\n\nraise ValueError('stop')\n"})
    assert not failing.ok


def test_a_project_keeps_its_own_way_of_finding_its_modules(lab: Build) -> None:
    made = lab(
        {
            "pytest.ini": "[pytest]\npythonpath = lib\npython_files = check_*.py\n"
            "python_functions = check_*\naddopts = -x -q -n 2\n",
            "lib/inner.py": "def half(number):\n    return number / 3\n",
            "src/outer/__init__.py": "def third(number):\n    return number / 3\n",
            "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef four():\n    return 4\n",
            "checks/check_all.py": "from inner import half\nfrom outer import third\n\n\n"
            "def check_half(four):\n    assert half(four) == 2\n\n\n"
            "def check_third():\n    assert third(3) == 1\n",
        },
        user_request="Fix the bug",
    )
    survey = made.prepare()
    assert survey.base_passed == ["checks/check_all.py::check_third"]
    assert made.judge({"lib/inner.py": "def half(number):\n    return number / 2\n"}).ok


def test_a_syntax_error_in_the_base_is_mended_by_a_patch_that_makes_its_tests_run(lab: Build) -> None:
    made = lab({"auth.py": AUTH.replace("):", ")"), "tests/test_auth.py": TEST_AUTH})
    assert made.prepare().base_failed == ["tests/test_auth.py"]
    assert made.judge({"auth.py": AUTH}).failure.kind == "assertion"
    assert made.judge({"auth.py": FIXED_AUTH}).ok


def test_an_endless_loop_in_the_base_can_be_mended(lab: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = FIXED_AUTH.replace("    session.clear()", "    while session:\n        pass")
    made = lab({"auth.py": FIXED_AUTH, "tests/test_auth.py": TEST_AUTH})
    made = made.again({"auth.py": hanging, "tests/test_auth.py": TEST_AUTH}, gate_s=4)
    assert not made.judge({"auth.py": hanging + "\n\nX = 1\n"}).ok
    assert made.judge({"auth.py": FIXED_AUTH}).ok


def several(shop: Lab, *texts: str, ranked: bool = False) -> Verdict:
    first, *others = [shop.patch({"auth.py": text}) for text in texts]
    more = [{"patch": patch, "canonical": f"{number:x}"} for number, patch in enumerate(others, 1)]
    fields = shop.propose(first, packet(owned=("auth.py",)), canonical="0", others=more, ranked=ranked)
    report = shop.do("judge", **fields)
    assert report.verdict is not None
    if report.verdict.ok:
        tip = shop.repo.tip()
        landed = shop.do("integrate", **fields)
        assert shop.repo.read(landed.commit, "auth.py") == texts[report.verdict.chosen].encode()
        shop.repo.move_tip(landed.commit, tip)
    return report.verdict


def test_of_several_patches_the_smallest_that_passes_is_taken(shop: Lab) -> None:
    longer = FIXED_AUTH.replace("    session.clear()", "    session.clear()\n    session.update({})")
    wrong = AUTH.replace("!=", ">")
    verdict = several(shop, longer, wrong, FIXED_AUTH)
    assert verdict.ok
    assert (verdict.chosen, verdict.canonical, verdict.others) == (2, "2", ["1"])


def test_ranked_patches_are_judged_in_their_order(shop: Lab) -> None:
    longer = FIXED_AUTH.replace("    session.clear()", "    session.clear()\n    session.update({})")
    verdict = several(shop, AUTH.replace("!=", ">"), longer, FIXED_AUTH, ranked=True)
    assert verdict.ok
    assert (verdict.chosen, verdict.others) == (1, ["0"])


def test_one_of_many_patches_that_never_ends_takes_seconds(shop: Lab) -> None:
    endless = AUTH.replace("    session.clear()", "    while True:\n        session.clear()")
    begun = time.monotonic()
    verdict = several(shop, endless, FIXED_AUTH, ranked=True)
    assert verdict.ok
    assert (verdict.chosen, verdict.others) == (1, []), "with more time it may have passed"
    assert time.monotonic() - begun < 28, "the limit of an ordinary patch is 30 s"


def test_of_several_patches_that_all_fail_the_nearest_one_is_told(shop: Lab) -> None:
    broken = AUTH.replace("session.clear()", "session.clean()")
    half = AUTH.replace("users.get(name) != password", "len(users) > 5")
    verdict = several(shop, broken, "def (", half)
    assert not verdict.ok
    assert verdict.chosen == 2
    assert "assert False == True" in verdict.failure.digest
    assert sorted(verdict.others) == ["0", "1"]
