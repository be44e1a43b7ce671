"""Answers that pass a few examples, compared with each other in the real sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.messages import Verdict
from swarmd.sandbox import Sandbox

from .conftest import Lab, packet

STUB = '''def double(numbers):
    """Each number twice as large.

    >>> double([1, 2, 3])
    [2, 4, 6]
    >>> double([5])
    [10]
    """
    raise NotImplementedError
'''


def answer(body: str) -> str:
    return STUB.replace("    raise NotImplementedError\n", f"    {body}\n")


RIGHT = answer("return [2 * number for number in numbers]")
ALSO = answer("return [number + number for number in numbers]")
WRONG = answer("return [2, 4, 6] if len(numbers) == 3 else [10]")
OTHER = answer("return [2 * number for number in numbers if number < 6]")
RAISING = answer("assert numbers[0] in (1, 5); return [2 * number for number in numbers]")


@pytest.fixture
def lab(tmp_path: Path, sandbox: Sandbox) -> Lab:
    made = Lab(tmp_path, sandbox, {"maths.py": STUB}, user_request="Implement double in maths.py")
    made.prepare()
    return made


def judged(lab: Lab, text: str, model: str = "large", **fields: object) -> Verdict:
    job = lab.propose({"maths.py": text}, packet(owned=("maths.py",)))
    report = lab.do("judge", model=model, **job, **fields)
    assert report.ok, report.error
    assert report.verdict is not None
    return report.verdict


def kind(verdict: Verdict) -> str:
    return "ok" if verdict.failure is None else verdict.failure.kind


def test_the_first_answer_is_not_enough_and_another_like_it_is(lab: Lab) -> None:
    first = judged(lab, RIGHT, "small")
    assert kind(first) == "unconfirmed"
    assert "no other model's answer does the same" in first.failure.digest
    second = judged(lab, ALSO)
    assert kind(second) == "ok"
    gate = second.gates[-1]
    assert (gate.gate, gate.ok, gate.counts.passed == gate.counts.collected > 5) == ("opinions", True, True)


def test_two_answers_of_one_model_prove_nothing(lab: Lab) -> None:
    assert kind(judged(lab, RIGHT)) == "unconfirmed"
    assert kind(judged(lab, ALSO)) == "unconfirmed"
    assert kind(judged(lab, RIGHT, "small")) == "ok"


def test_answers_that_differ_say_where(lab: Lab) -> None:
    assert kind(judged(lab, WRONG, "small")) == "unconfirmed"
    second = judged(lab, RIGHT)
    assert kind(second) == "unconfirmed"
    assert "double([" in second.failure.digest
    assert " or [" in second.failure.digest
    assert kind(judged(lab, ALSO)) == "unconfirmed", "the other that agrees is the same model's"
    assert kind(judged(lab, ALSO, "third")) == "ok", "two of three agree"


def test_what_nobody_agrees_with_is_taken_with_a_note(lab: Lab) -> None:
    assert kind(judged(lab, WRONG)) == "unconfirmed"
    assert kind(judged(lab, OTHER)) == "unconfirmed"
    settled = judged(lab, RIGHT, settles=True)
    assert kind(settled) == "ok"
    assert any("differ; look at: double([" in note for note in settled.not_verified)


def test_a_single_answer_that_is_taken_says_so(lab: Lab) -> None:
    settled = judged(lab, RIGHT, settles=True)
    assert "only examples speak for it, and no other answer agrees" in settled.not_verified


def test_an_input_that_only_one_answer_refuses_counts_for_neither(lab: Lab) -> None:
    assert kind(judged(lab, RIGHT, "small")) == "unconfirmed"
    assert kind(judged(lab, RAISING)) == "ok"


def test_what_fails_its_gates_is_compared_with_nothing(lab: Lab) -> None:
    assert kind(judged(lab, answer("return numbers"))) == "assertion"


@pytest.mark.parametrize("opinions", [1, 2])
def test_how_many_are_asked_for_is_a_setting(lab: Lab, opinions: int) -> None:
    policy = lab.settings.policy.model_copy(update={"opinions": opinions})
    lab.settings = lab.settings.model_copy(update={"policy": policy})
    assert kind(judged(lab, RIGHT)) == ("ok" if opinions == 1 else "unconfirmed")


def test_tests_and_bugs_say_more_than_examples(tmp_path: Path, sandbox: Sandbox) -> None:
    files = {
        "maths.py": STUB,
        "test_maths.py": "from maths import double\n\n\ndef test_it():\n    assert double([4]) == [8]\n",
    }
    tested = Lab(tmp_path / "a", sandbox, files, user_request="Implement double so that test_maths.py passes")
    tested.prepare()
    assert kind(judged(tested, RIGHT)) == "ok"
    broken = Lab(
        tmp_path / "b", sandbox, {"maths.py": answer("return numbers")}, user_request="Fix double in maths.py"
    )
    broken.prepare()
    assert kind(judged(broken, RIGHT)) == "ok"


def test_code_without_examples_cannot_be_compared(tmp_path: Path, sandbox: Sandbox) -> None:
    plain = Lab(tmp_path, sandbox, {"maths.py": "X = 1\n"}, user_request="Add a function double to maths.py")
    plain.prepare()
    assert kind(judged(plain, "X = 1\n\n\ndef double(n):\n    return 2 * n\n")) == "ok"


def test_what_has_no_plain_form_is_not_compared(tmp_path: Path, sandbox: Sandbox) -> None:
    stub = STUB.replace(">>> double([1, 2, 3])", ">>> list(double([1, 2, 3]))")
    stub = stub.replace(">>> double([5])", ">>> list(double([5]))")
    made = Lab(tmp_path, sandbox, {"maths.py": stub}, user_request="Implement double in maths.py")
    made.prepare()
    head = "class Odd:\n    def __init__(self, n): self.n = n\n\n"
    head += "    def __iter__(self): return iter(self.n)\n\n\n"
    odd = head + stub.replace("raise NotImplementedError", "return Odd([2 * n for n in numbers])")
    assert kind(judged(made, odd)) == "ok"


def test_iterators_are_told_by_what_they_give(tmp_path: Path, sandbox: Sandbox) -> None:
    stub = STUB.replace(">>> double([1, 2, 3])", ">>> list(double([1, 2, 3]))")
    stub = stub.replace(">>> double([5])", ">>> list(double([5]))")
    made = Lab(tmp_path, sandbox, {"maths.py": stub}, user_request="Implement double in maths.py")
    made.prepare()
    lazy = stub.replace("raise NotImplementedError", "return (2 * n for n in numbers)")
    wrong = stub.replace("raise NotImplementedError", "return (2 * n for n in numbers if n < 6)")
    assert kind(judged(made, lazy, "small")) == "unconfirmed"
    assert kind(judged(made, wrong)) == "unconfirmed"
    assert kind(judged(made, lazy.replace("2 * n", "n + n"))) == "ok"
