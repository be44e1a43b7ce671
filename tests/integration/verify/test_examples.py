"""The gate of the examples, on small repositories: what turns it red, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmd.config import PolicySettings
from swarmd.sandbox import Sandbox

from .conftest import Lab, packet

Build = Callable[..., Lab]

PRICES = '''\
"""Prices."""


def net(gross, rate=0.2):
    """The price without tax.

    >>> net(12)
    10.0
    >>> net(11, rate=0.1)
    10.0
    """
    return gross * (1 + rate)


def label(price):
    """How a price is shown.

    >>> label(3)
    '3.00 EUR'
    """
    return f"{price:.2f} EUR"


def parse(text):
    """Reads a price; parse("3.50 EUR") == 3.5, and nobody asked about it: parse("x") returns 0."""
    return float(text.split()[0])
'''
README = """\
# Prices

    >>> from prices import label, net
    >>> label(net(24))
    '20.00 EUR'

`label(1) == "1 EUR"` in the old version. `parse("2 EUR")` returns 2.0.
"""
RIGHT = PRICES.replace("gross * (1 + rate)", "round(gross / (1 + rate), 2)")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Lab:
    root = tmp_path_factory.mktemp("examples")
    request = "Fix the function `net` in prices.py. net(6) should return 5.0 and net(0) returns 0.0."
    lab = Lab(root, sandbox, {"prices.py": PRICES, "README.md": README}, user_request=request)
    lab.prepare()
    return lab


def test_prepare_makes_them_a_gate_and_says_which_must_turn_green(shop: Lab) -> None:
    survey = shop.prepare()
    assert [spec.gate for spec in survey.gates] == ["parse", "examples"]
    result = survey.base_results[-1]
    assert not result.ok
    assert sorted(one.test_id for one in result.failures) == [
        "README.md:4: label(net(24)) == '20.00 EUR' (example)",
        "prices.py:7: net(12) == 10.0 (example)",
        "prices.py:9: net(11, rate=0.1) == 10.0 (example)",
        "the request: net(6) == 5.0 (example)",
    ]
    first = next(one for one in result.failures if "net(12)" in one.test_id)
    assert "Expected:\n    10.0\nGot:\n    14.3" in first.message
    assert first.frames == ["prices.py:4 net"]


def test_what_fails_on_the_base_and_was_not_asked_for_is_ignored_and_named(shop: Lab) -> None:
    named = [text for text in shop.prepare().not_verified if text.startswith("examples:")]
    assert any("label(1) == '1 EUR'" in text for text in named)
    assert any("parse('x') == 0" in text for text in named)
    assert len(named) == 2


def test_a_right_implementation_is_green(shop: Lab) -> None:
    verdict = shop.judge({"prices.py": RIGHT})
    assert verdict.ok, verdict.failure
    gate = verdict.gates[-1]
    assert (gate.gate, gate.counts.passed, gate.counts.failed) == ("examples", 8, 0)
    assert gate.sandbox_level == shop.level


def test_a_wrong_one_is_red_and_the_digest_shows_what_was_expected(shop: Lab) -> None:
    verdict = shop.judge({"prices.py": PRICES.replace("gross * (1 + rate)", "gross * (1 - rate)")})
    failure = verdict.failure
    assert (failure.kind, failure.gate) == ("assertion", "examples")
    assert "net(6)" in failure.digest
    assert "Expected:\n    5.0\nGot:\n    4.8" in failure.digest
    assert "prices.py:4 net" in failure.digest


def test_an_exception_is_shown_with_its_line_and_values(shop: Lab) -> None:
    verdict = shop.judge({"prices.py": PRICES.replace("gross * (1 + rate)", "gross / (rate - rate)")})
    assert "ZeroDivisionError" in verdict.failure.digest
    assert "prices.py:12 net" in verdict.failure.digest
    assert "rate = 0.2" in verdict.failure.digest


def test_what_held_must_go_on_holding(shop: Lab) -> None:
    verdict = shop.judge({"prices.py": RIGHT.replace("{price:.2f}", "{price}")})
    assert verdict.failure.gate == "examples"
    assert "'3.00 EUR'" in verdict.failure.digest


def test_an_endless_loop_is_ended(shop: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmd.verify.examples.run.SECONDS_EACH", 0.2)
    verdict = shop.judge({"prices.py": PRICES.replace("return gross * (1 + rate)", "while True: pass")})
    assert verdict.failure.kind == "timeout"
    assert "still running" in verdict.failure.digest


def test_examples_that_a_patch_writes_or_takes_away_do_not_count(shop: Lab) -> None:
    wrong = "gross * (1 - rate)"
    forged = PRICES.replace("10.0", "9.6").replace("gross * (1 + rate)", wrong)
    assert shop.judge({"prices.py": forged, "README.md": "net(6) == 4.8\n"}).failure.gate == "examples"
    added = RIGHT.replace('"""How a price is shown.', '"""How a price is shown.\n\n    >>> label(2)\n    7\n')
    assert shop.judge({"prices.py": added}).ok


@pytest.mark.parametrize(
    "trick",
    [
        "import os\nos._exit(0)\n",
        "import doctest\ndoctest.OutputChecker.check_output = lambda *_: True\n",
        "import unittest\nunittest.TestCase.run = lambda self, result=None: None\n",
        "import sys\nsys.modules['__main__'].same = lambda *_: True\n",
    ],
)
def test_code_that_reaches_into_the_runner_is_not_believed(
    shop: Lab, trick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swarmd.verify import draft

    monkeypatch.setattr(draft, "added_reaches", lambda *_: [])
    verdict = shop.judge({"prices.py": trick + PRICES})
    assert not verdict.ok


def test_what_equals_everything_proves_nothing(shop: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from swarmd.verify import draft

    monkeypatch.setattr(draft, "added_reaches", lambda *_: [])
    liar = "class Any:\n    def __eq__(self, other):\n        return True\n"
    verdict = shop.judge({"prices.py": liar + PRICES.replace("return gross * (1 + rate)", "return Any()")})
    assert verdict.failure.gate == "examples"


def test_a_function_that_is_asked_for_may_come_in_any_file(lab: Build) -> None:
    shop = lab(
        {"prices.py": PRICES},
        user_request="Add a function `double` so that double(2) == 4 and double('a') == 'aa'.",
    )
    shop.settings = shop.settings.model_copy(update={"policy": PolicySettings(opinions=1)})
    assert shop.prepare().gates[-1].gate == "examples"
    assert shop.judge({"new.py": "def double(x):\n    return x * 2\n"}).ok
    verdict = shop.judge({"new.py": "def double(x):\n    return x + 2\n"})
    assert "Expected:\n    'aa'" in verdict.failure.digest or "TypeError" in verdict.failure.digest
    verdict = shop.judge({"new.py": "def triple(x):\n    return x\n"})
    assert verdict.failure.kind == "name"
    assert "name 'double' is not defined" in verdict.failure.digest


def test_targets_wait_for_the_last_coding_task(lab: Build) -> None:
    shop = lab(
        {"prices.py": PRICES},
        user_request="Add functions `double` and `half` to prices.py: double(2) == 4, half(4) == 2.",
    )
    first, second = packet(number=1), packet(number=2, after=(1,))
    shop.plan("feature", first, second)
    double = "\n\ndef double(x):\n    return 2 * x\n"
    fields = shop.propose({"prices.py": PRICES + double}, first)
    assert shop.do("judge", **fields).verdict.ok
    assert shop.do("integrate", **fields).ok
    fields = shop.propose({"prices.py": PRICES + double + "\n\ndef half(x):\n    return x\n"}, second)
    assert "half(4)" in shop.do("judge", **fields).verdict.failure.digest


def test_a_request_for_documentation_need_not_mend_them(lab: Build) -> None:
    shop = lab({"prices.py": PRICES}, user_request="Document `net` better", kind="docs")
    assert shop.judge({"prices.py": PRICES.replace("without tax.", "before tax.")}, "docs").ok
    assert shop.judge({"prices.py": PRICES.replace("gross *", "2 * gross *")}).ok


def test_a_project_without_examples_has_no_such_gate(lab: Build) -> None:
    assert "examples" not in [spec.gate for spec in lab().prepare().gates]


def test_a_missing_package_is_no_reason(lab: Build) -> None:
    code = 'import no_such_package\n\n\ndef f(x):\n    """\n    >>> f(2)\n    4\n    """\n    return x\n'
    survey = lab({"a.py": code}, user_request="Fix `f` in a.py").prepare()
    assert "examples" not in [spec.gate for spec in survey.gates]
