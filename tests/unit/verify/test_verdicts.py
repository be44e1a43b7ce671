"""What a test run means, from its report alone."""

from __future__ import annotations

import hashlib

import pytest

from swarmd.messages import AcceptedRequest
from swarmd.sandbox import Completed
from swarmd.verify.compare import Demand, judge_tests, named_by
from swarmd.verify.demand import kind_of, targets
from swarmd.verify.digest import MAX_DIGEST, failure, gate_failure
from swarmd.verify.evidence import clean
from swarmd.verify.facts import TestFacts
from swarmd.verify.gates import GateResult
from swarmd.verify.mutate import mutants
from swarmd.verify.runners.findings import Finding, new_findings
from swarmd.verify.runners.parse import parse_failures
from swarmd.verify.runners.plant import Planted, check_planted
from swarmd.verify.runners.report import TestRecord, TestRun, parse_report
from swarmd.verify.runners.suites import SuiteRun

KEY = b"k" * 32


def lines(*records: list[str], key: bytes = KEY) -> bytes:
    last, out = b"", b""
    for record in records:
        payload = b" ".join(field.encode().hex().encode() for field in record)
        last = hashlib.blake2b(last + payload, key=key, digest_size=16).hexdigest().encode()
        out += last + b" " + payload + b"\n"
    return out


WHOLE = [["start", "3.11", "9"], ["begin", "t::a"], ["test", "t::a", "passed", "seal", "1"], ["end", "1"]]


def test_a_report_is_read_back() -> None:
    run = parse_report(lines(*WHOLE), KEY, cut=False)
    assert run.finished
    assert run.outcomes("passed") == ["t::a"]
    assert run.running is None


@pytest.mark.parametrize(
    "data",
    [
        lines(*WHOLE, key=b"x" * 32),
        lines(*WHOLE).replace(b"\n", b"\n00 61\n", 1),
        b"".join(lines(*WHOLE).splitlines(keepends=True)[1:]),
        lines(*WHOLE)[:-5],
        lines(*WHOLE) + b"x",
        lines(*WHOLE, ["end", "1"]),
        lines(["nonsense"], *WHOLE),
    ],
)
def test_a_report_that_anyone_else_touched_is_not_genuine(data: bytes) -> None:
    assert not parse_report(data, KEY, cut=False).finished


def test_a_report_that_a_limit_cut_tells_what_was_running() -> None:
    run = parse_report(lines(*WHOLE[:2])[:-3] + lines(*WHOLE)[:0], KEY, cut=True)
    assert run.genuine
    run = parse_report(lines(*WHOLE[:2]), KEY, cut=True)
    assert (run.running, run.finished) == ("t::a", False)


def run_of(broken: dict[str, str] | None = None, status: int | None = 1, **outcomes: str) -> TestRun:
    tests = {
        name: TestRecord(name, outcome, "s", "ValueError", "ValueError: no")
        for name, outcome in outcomes.items()
    }  # type: ignore[arg-type]
    files = {name: TestRecord(name, "failed", "", kind, kind) for name, kind in (broken or {}).items()}
    return TestRun(started=True, status=status, tests=tests, broken=files)


def suite(run: TestRun, *, limit: str | None = None, **fields: object) -> SuiteRun:
    completed = Completed(0, b"", 1.0, limit, "bwrap", b"")  # type: ignore[arg-type]
    return SuiteRun(completed, run, **{"wrong": [], "touched": [], "note": "", **fields})  # type: ignore[arg-type]


BASE = TestFacts(passed=["a", "b"], failed=["c"], skipped=["d"], seals={"a": "s", "b": "s"})


def kind(run: TestRun, demand: Demand | None = None, base: TestFacts = BASE, **fields: object) -> str | None:
    judged = judge_tests(suite(run, **fields), base, demand or Demand())  # type: ignore[arg-type]
    assert judged.ok == (judged.kind is None)
    return judged.kind


def test_as_good_as_the_base_is_green() -> None:
    assert kind(run_of(a="passed", b="passed", c="failed", d="skipped")) is None
    assert kind(run_of(a="passed", b="passed")) is None


@pytest.mark.parametrize("outcome", ["failed", "skipped", "xfailed", "unknown"])
def test_a_test_that_passed_and_does_not_now_is_red(outcome: str) -> None:
    assert kind(run_of(a="passed", b=outcome)) in ("assertion", "missing")


def test_a_test_that_vanished_is_missing() -> None:
    assert kind(run_of(a="passed")) == "missing"
    assert kind(run_of()) == "missing"


def test_a_run_that_did_not_end_is_never_green() -> None:
    assert kind(run_of(a="passed", b="passed", status=None)) == "missing"
    assert kind(run_of(a="passed", b="passed", status=2)) == "missing"


def test_a_limit_is_told_apart() -> None:
    assert kind(run_of(), limit="timeout") == "timeout"
    assert kind(run_of(), limit="memory") == "limits"


def test_signs_of_forgery_outweigh_passing_tests() -> None:
    good = run_of(a="passed", b="passed")
    assert kind(good, wrong=["a planted test passed"]) == "forged"
    assert kind(good, touched=["tests/x"]) == "forged"
    assert kind(run_of(a="lied", b="passed")) == "forged"
    tampered = run_of(a="passed", b="passed")
    tampered.tampered.add("_pytest.x")
    assert kind(tampered) == "forged"
    assert kind(tampered, base=BASE.model_copy(update={"tampered": ["_pytest.x"]})) is None
    swapped = run_of(a="passed", b="passed")
    swapped.tests["a"] = TestRecord("a", "passed", "other")
    assert kind(swapped) == "forged"


def test_what_must_turn_green_must() -> None:
    demand = Demand(green=frozenset({"c"}))
    assert kind(run_of(a="passed", b="passed", c="failed"), demand) == "assertion"
    assert kind(run_of(a="passed", b="passed", c="skipped"), demand) == "missing"
    assert kind(run_of(a="passed", b="passed", c="passed"), demand) is None


def test_a_file_that_could_not_be_collected_must_be_and_all_of_it_pass() -> None:
    base = TestFacts(failed=["tests/test_x.py"])
    demand = Demand(green=frozenset({"tests/test_x.py"}))
    ok = {"tests/test_x.py::a": TestRecord("tests/test_x.py::a", "passed")}
    assert kind(TestRun(started=True, status=1, tests=ok), demand, base) is None
    bad = {**ok, "tests/test_x.py::b": TestRecord("tests/test_x.py::b", "failed")}
    assert kind(TestRun(started=True, status=1, tests=bad), demand, base) == "assertion"
    assert kind(run_of({"tests/test_x.py": "ImportError"}), demand, base) == "name"


def test_a_file_that_is_newly_broken_is_red_and_has_its_own_class() -> None:
    assert kind(run_of({"tests/test_y.py": "SyntaxError"}, a="passed", b="passed")) == "syntax"


def test_cases_whose_ids_change_from_run_to_run_are_counted() -> None:
    base = TestFacts(passed=["t[0x1]", "t[0x2]"])
    assert kind(run_of(**{"t[0x3]": "passed", "t[0x4]": "passed"}), base=base) is None
    assert kind(run_of(**{"t[0x3]": "passed"}), base=base) == "missing"
    assert kind(run_of(**{"t[0x3]": "passed", "t[0x4]": "failed"}), base=base) == "assertion"


def test_accepted_tests_must_run_and_pass() -> None:
    demand = Demand(files=frozenset({"tests/test_n.py"}))
    assert kind(run_of(a="passed", b="passed"), demand) == "missing"
    assert kind(run_of(a="passed", b="passed", **{"tests/test_n.py::x": "passed"}), demand) is None
    assert kind(run_of(a="passed", b="passed", **{"tests/test_n.py::x": "failed"}), demand) == "assertion"
    assert kind(run_of(a="passed", b="passed", **{"tests/test_n.py::x": "skipped"}), demand) == "missing"


def test_planted_tests_must_have_failed_wherever_tests_ran() -> None:
    planted = [Planted("tests/test_f00.py", "f00"), Planted("more/test_f11.py", "f11")]
    folders = {"tests/test_a.py::x": "tests"}
    run = run_of(**{"tests/test_a.py::x": "passed", "tests/test_f00.py::test_f00": "failed"})
    assert check_planted(run, planted, folders) == []
    run = run_of(**{"tests/test_a.py::x": "passed", "tests/test_f00.py::test_f00": "passed"})
    assert check_planted(run, planted, folders)
    run = run_of(**{"tests/test_a.py::x": "passed", "more/test_f11.py::test_f11": "failed"})
    assert check_planted(run, planted, folders)
    assert check_planted(run_of(t="passed"), planted, {})


def test_ids_of_both_runners_belong_to_their_file() -> None:
    assert named_by("tests/test_a.py", "tests/test_a.py::T::x")
    assert named_by("tests/test_a.py", "tests.test_a.T.x")
    assert named_by("tests/test_a.py", "test_a.T.x")
    assert named_by("tests/test_a.py", "unittest.loader._FailedTest.test_a")
    assert not named_by("tests/test_a.py", "tests/test_ab.py::x")
    assert not named_by("tests/test_a.py", "test_ab.T.x")


def request(text: str, **fields: object) -> AcceptedRequest:
    given = {"user_request": text, "request_id": "r", "received_at": "2026-01-01T00:00:00.000Z"}
    return AcceptedRequest.model_validate({**given, "source_name": "r", "content_sha256": "0", **fields})


FAILED = ["tests/test_auth.py::test_login", "tests/test_cart.py::test_sum[1]", "tests/test_net.py"]


def test_the_request_names_what_must_turn_green() -> None:
    assert targets(request("Fix the failing tests in auth.py."), "bugfix", FAILED) == {FAILED[0]}
    assert targets(request("make test_sum pass"), "feature", FAILED) == {FAILED[1]}
    assert targets(request("see tests/test_net.py"), "bugfix", FAILED) == {FAILED[2]}
    assert targets(request("do it", files=["src/cart.py"]), "feature", FAILED) == {FAILED[1]}
    assert targets(request("fix the bug"), "bugfix", FAILED) == set(FAILED)
    assert targets(request("add a button"), "feature", FAILED) == set()


def test_the_kind_is_the_plans_the_requests_or_a_guess() -> None:
    assert kind_of(request("Fix it"), None) == "bugfix"
    assert kind_of(request("Add it"), None) == "feature"
    assert kind_of(request("Fix it", kind="refactor"), None) == "refactor"


def test_findings_are_compared_without_their_lines_but_with_their_number() -> None:
    old = Finding("a.py", 3, "F401", "unused")
    assert new_findings([Finding("a.py", 9, "F401", "unused")], [old.key]) == []
    assert len(new_findings([old, Finding("a.py", 9, "F401", "unused")], [old.key])) == 1


def test_a_digest_is_short_harmless_and_equal_for_equal_failures() -> None:
    one = failure("assertion", "x" * 5000 + "\x1b[31mred\x1b[0m \u202e end at 0x7f12")
    assert len(one.digest) <= MAX_DIGEST
    assert "\x1b" not in one.digest
    assert "\u202e" not in one.digest
    first, second = (failure("name", f"<X at 0x{n}> has no y {n}") for n in (12, 345))
    assert first.signature == second.signature
    assert first.signature != failure("types", first.digest).signature
    assert clean("a\rb\x00c") == "a\nbc"


def test_a_red_lint_gate_lists_its_findings() -> None:
    result = GateResult(
        gate="lint", argv=["ruff"], ok=False, exit_code=1, seconds=0, sandbox_level="bwrap",
        findings=["a.py:3: F401 unused"], failure_kind="lint",
    )  # fmt: skip
    found = gate_failure(result)
    assert (found.kind, "a.py:3: F401 unused" in found.digest) == ("lint", True)
    moved = result.model_copy(update={"findings": ["a.py:99: F401 unused"]})
    assert gate_failure(moved).signature == found.signature


def test_changed_files_must_parse() -> None:
    files = {"a.py": ("x = 1", "x ="), "b.json": ("{}", "{"), "c.json": ("// x", "// y"), "d.md": ("", "{")}
    assert [one.path for one in parse_failures(files, lenient=False)] == ["a.py", "b.json"]
    odd = {"a.py": ("print 1", "print 2")}
    assert parse_failures(odd, lenient=False)
    assert not parse_failures(odd, lenient=True)


def test_mutants_differ_parse_and_leave_docstrings_alone() -> None:
    body = '    """Doc."""\n    if a < b and a != 3:\n        return a + b\n    return None\n'
    source = f"def f(a, b):\n{body}\n\ndef g():\n    return 1\n"
    made = mutants(source, {"f"})
    texts = [mutant.source for mutant in made]
    assert 4 <= len(texts) <= 8
    assert len(set(texts)) == len(texts)
    assert all("Doc." in text and "return 1" in text for text in texts)
    assert "return None" in made[0].source
    assert mutants("x = 1\n") == []
    assert mutants("def (", {"f"}) == []
