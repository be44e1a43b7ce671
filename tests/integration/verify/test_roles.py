"""Tests, documentation, reviews and texts: each role is judged by its own rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmd.config import PolicySettings, Settings
from swarmd.sandbox import Sandbox

from .conftest import AUTH, FIXED_AUTH, TEST_AUTH, Lab, packet

Build = Callable[..., Lab]

PRICE = '''\
"""Prices."""


def total(price, count):
    """The price of all."""
    if count > 10:
        return price * count - 5
    return price * count
'''

GOOD_TEST = """\
from price import total


def test_total_multiplies():
    assert total(3, 4) == 12
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Lab:
    files = {
        "price.py": PRICE,
        "tests/test_old.py": "def test_old():\n    assert 1\n",
        "README.md": "# Shop\n",
    }
    made = Lab(
        tmp_path_factory.mktemp("roles"), sandbox, files, user_request="Write tests for price.py", kind="test"
    )
    made.prepare()
    return made


def test_tests_that_notice_a_mutant_are_accepted(shop: Lab) -> None:
    verdict = shop.judge({"tests/test_price.py": GOOD_TEST}, "testing")
    assert verdict.ok
    assert not verdict.held
    mutation = verdict.gates[-1]
    assert (mutation.gate, mutation.ok) == ("mutation", True)
    assert "price.py line" in mutation.detail


def test_tests_that_pass_whatever_the_code_does_are_not(shop: Lab) -> None:
    blunt = "from price import total\n\n\ndef test_total():\n    total(3, 4)\n    assert True\n"
    verdict = shop.judge({"tests/test_price.py": blunt}, "testing")
    assert verdict.failure.gate == "mutation"
    assert "were not noticed" in verdict.failure.digest


def test_tests_that_fail_on_finished_code_are_not(shop: Lab) -> None:
    verdict = shop.judge({"tests/test_price.py": GOOD_TEST.replace("12", "13")}, "testing")
    assert verdict.failure.kind == "assertion"
    assert "12 == 13" in verdict.failure.digest


def test_skipped_tests_do_not_count(shop: Lab) -> None:
    skipped = "import pytest\n\n\n@pytest.mark.skip\ndef test_later():\n    assert 0\n"
    assert shop.judge({"tests/test_price.py": skipped}, "testing").failure.kind == "missing"


def test_the_first_tests_of_a_project_are_judged(lab: Build) -> None:
    made = lab({"price.py": PRICE}, user_request="Write tests for price.py", kind="test")
    survey = made.prepare()
    assert survey.first_tests is not None
    assert [gate.gate for gate in survey.gates] == ["parse"]
    assert made.judge({"price.py": PRICE + "X = 1\n"}, "coding").gates[-1].gate == "parse"
    verdict = made.judge({"tests/test_price.py": GOOD_TEST}, "testing")
    assert [gate.gate for gate in verdict.gates] == ["parse", "tests", "mutation"], verdict.failure
    assert verdict.ok
    wrong = made.judge({"tests/test_price.py": GOOD_TEST.replace("12", "13")}, "testing")
    assert wrong.failure.kind == "assertion"


def test_a_testing_task_may_extend_a_file_but_not_change_it(shop: Lab) -> None:
    added = "from price import total\n\n\ndef test_old():\n    assert 1\n\n\n"
    added += "def test_new():\n    assert total(2, 2) == 4\n"
    assert shop.judge({"tests/test_old.py": added}, "testing").ok
    changed = "def test_old():\n    assert 2\n"
    assert shop.judge({"tests/test_old.py": changed}, "testing").failure.kind == "refused"


def test_a_testing_task_touches_no_code_and_no_configuration(shop: Lab) -> None:
    verdict = shop.judge({"tests/test_price.py": GOOD_TEST, "price.py": PRICE + "X = 1\n"}, "testing")
    assert (verdict.failure.kind, "no test file" in verdict.failure.digest) == ("refused", True)
    verdict = shop.judge({"tests/test_price.py": GOOD_TEST, "tests/conftest.py": "x = 1\n"}, "testing")
    assert (verdict.ok, verdict.protected) == (True, ["tests/conftest.py"])


def test_tests_that_reach_into_the_runner_are_refused(shop: Lab) -> None:
    hostile = "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n" + GOOD_TEST
    assert shop.judge({"tests/test_price.py": hostile}, "testing").failure.kind == "refused"


def test_docstrings_and_pages_may_change_and_code_may_not(shop: Lab) -> None:
    better = PRICE.replace("The price of all.", "The price of ``count`` pieces, with a discount.")
    assert shop.judge({"price.py": better, "README.md": "# The shop\n"}, "docs").ok
    assert (
        shop.judge({"price.py": PRICE.replace("count > 10", "count > 9")}, "docs").failure.kind == "refused"
    )
    assert (
        shop.judge({"price.py": PRICE.replace("count\n", "count  # noqa\n")}, "docs").failure.kind
        == "refused"
    )
    assert shop.judge({"new.py": '"""New."""\n'}, "docs").failure.kind == "refused"


def test_texts_need_only_be_there(shop: Lab) -> None:
    def judged(text: str) -> bool:
        fields = shop.propose("", packet("git"), kind="message", text=text)
        return shop.do("judge", **fields).verdict.ok

    assert judged("Fix the total")
    assert not judged("  \n")


def test_tests_first_are_held_and_land_with_the_code(lab: Build) -> None:
    made = lab(
        {"price.py": "X = 1\n", "tests/test_old.py": "def test_old():\n    assert 1\n"}, kind="feature"
    )
    made.plan("feature", packet("testing", 1), packet("coding", 2, after=(1,)))
    tests = made.propose({"tests/test_price.py": GOOD_TEST}, packet("testing", 1))
    report = made.do("judge", **tests)
    assert report.verdict.ok
    assert report.verdict.held
    report = made.do("integrate", **tests)
    assert (report.ok, report.commit) == (True, None)
    assert made.repo.tip() == made.repo.base()

    wrong = made.propose(
        {"price.py": PRICE.replace("price * count\n", "price + count\n")}, packet("coding", 2)
    )
    assert made.do("judge", **wrong).verdict.failure.kind == "assertion"
    right = made.propose({"price.py": PRICE}, packet("coding", 2))
    assert made.do("judge", **right).verdict.ok
    report = made.do("integrate", **right)
    assert made.repo.files(report.commit) == ["price.py", "tests/test_old.py", "tests/test_price.py"]


def test_of_several_tests_only_the_judged_ones_are_held(lab: Build) -> None:
    made = lab(
        {"price.py": "X = 1\n", "tests/test_old.py": "def test_old():\n    assert 1\n"}, kind="feature"
    )
    made.plan("feature", packet("testing", 1), packet("coding", 2, after=(1,)))
    longer = (
        GOOD_TEST + "\n\ndef test_never_judged():\n    assert True, 'this one is longer, and comes later'\n"
    )
    good = {"patch": made.patch({"tests/test_price.py": GOOD_TEST}), "canonical": "1"}
    tests = made.propose({"tests/test_price.py": longer}, packet("testing", 1), others=[good])
    report = made.do("judge", **tests)
    assert (report.verdict.held, report.verdict.chosen) == (True, 1)
    made.do("integrate", **tests)
    report = made.do("integrate", **made.propose({"price.py": PRICE}, packet("coding", 2)))
    assert made.repo.read(report.commit, "tests/test_price.py") == GOOD_TEST.encode()


def test_tests_given_with_a_job_must_pass_with_its_code(lab: Build) -> None:
    made = lab(
        {"price.py": "X = 1\n", "tests/test_old.py": "def test_old():\n    assert 1\n"}, kind="feature"
    )
    tests = made.propose({"tests/test_price.py": GOOD_TEST}, packet("testing", 1))
    code = made.propose(
        {"price.py": PRICE.replace("price * count\n", "price + count\n")}, packet("coding", 2)
    )
    report = made.do("judge", **code, accepted_tests=[tests["proposal"]])
    assert report.verdict.failure.kind == "assertion"


def test_tests_after_count_when_they_fail_on_the_base(lab: Build) -> None:
    made = lab(
        {"price.py": "X = 1\n", "tests/test_old.py": "def test_old():\n    assert 1\n"}, kind="feature"
    )
    made.plan("feature", packet("coding", 1), packet("testing", 2, after=(1,)))
    code = made.propose({"price.py": PRICE}, packet("coding", 1))
    made.do("judge", **code)
    assert made.do("integrate", **code).ok
    tests = made.propose({"tests/test_price.py": GOOD_TEST}, packet("testing", 2))
    verdict = made.do("judge", **tests).verdict
    assert verdict.ok
    assert not verdict.held
    assert "fail on the base commit" in verdict.gates[-1].detail
    assert made.do("integrate", **tests).ok
    assert "tests/test_price.py" in made.repo.files(made.repo.tip())


def _review(made: Lab, **fields: object) -> object:
    job = made.propose("", packet("review", 2), kind="findings", **fields)
    return made.do("judge", **job).verdict


def test_a_review_rejects_on_rules_and_on_readings_that_point_at_a_line(lab: Build) -> None:
    made = lab({"auth.py": AUTH, "tests/test_auth.py": TEST_AUTH})
    risky = (
        FIXED_AUTH
        + "\n\ndef run(text):\n    import subprocess\n\n    return subprocess.call(text, shell=True)\n"
    )
    code = made.propose({"auth.py": risky}, packet("coding", 1))
    made.do("judge", **code)
    assert made.do("integrate", **code).ok
    verdict = _review(made)
    assert verdict.failure.kind == "review"
    assert "B602" in verdict.failure.digest


def test_a_reading_advises_unless_it_may_block_and_a_vague_one_is_never_followed(lab: Build) -> None:
    made = lab({"auth.py": AUTH, "tests/test_auth.py": TEST_AUTH})
    code = made.propose({"auth.py": FIXED_AUTH}, packet("coding", 1))
    made.do("judge", **code)
    assert made.do("integrate", **code).ok
    assert _review(made).ok
    remark = ["auth.py:2: the comparison leaks timing"]
    advice = _review(made, rejects=True, findings=remark)
    assert advice.ok
    assert any("leaks timing" in text for text in advice.warnings)
    made.settings = Settings(policy=PolicySettings(review="block"))
    vague = _review(made, rejects=True, findings=["The code is not nice"])
    assert vague.ok
    assert any("names no changed line" in text for text in vague.warnings)
    pointed = _review(made, rejects=True, findings=remark)
    assert pointed.failure.kind == "review"
