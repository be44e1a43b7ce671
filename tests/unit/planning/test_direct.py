"""Requests that say enough: no planning call is made (the script is empty, so a call would fail)."""

import pytest

from swarmd.errors import ModelUnreachableError, PlanError
from swarmd.messages import GateResult, GateSpec, Spectrum, Survey, Suspect, TestFailure
from tests.unit.planning.builders import FILES, Script, outline, plan, survey_of


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Fix total in shop/cart.py", "shop/cart.py"),
        ("Fix total in `cart.py`.", "shop/cart.py"),
        ("Fix /src/shop/shop/cart.py", "shop/cart.py"),
        ("Fix shop.cart.total, it is wrong", "shop/cart.py"),
        ("Fix the cart module", "shop/cart.py"),
        ("Fix cart.py so that tests/test_cart.py passes", "shop/cart.py"),
        ("Fix send_mail in mail/send.py", "shop/mail/send.py"),
    ],
)
def test_a_request_that_names_one_file_needs_no_planning(text: str, path: str) -> None:
    made = plan(text)
    assert made.origin == "direct"
    assert outline(made) == [
        ("coding", [path], []),
        ("review", [], ["task-001"]),
        ("git", [], ["task-001", "task-002"]),
    ]


def test_a_listed_file_needs_no_planning_and_wins_over_the_text() -> None:
    made = plan("Fix what cart.py gets from auth.py", files=["./shop/auth.py"])
    assert made.origin == "direct"
    assert made.packets[0].files_owned == ["shop/auth.py"]


def test_a_new_file_that_the_request_names_is_planned_directly() -> None:
    made = plan("Add shop/text.py with a function slugify")
    assert outline(made)[:2] == [
        ("coding", ["shop/text.py"], []),
        ("testing", ["tests/test_text.py"], ["task-001"]),
    ]


def test_the_test_file_that_the_request_names_is_the_one_that_is_written() -> None:
    made = plan("Add slugify to shop/cart.py, with tests in tests/test_slug.py")
    assert made.packets[1].files_owned == ["tests/test_slug.py"]


@pytest.mark.parametrize("text", ["Add tests for shop/cart.py", "Add more tests to tests/test_cart.py"])
def test_tests_for_one_file_go_into_a_new_file_beside_the_existing_ones(text: str) -> None:
    made = plan(text)
    assert outline(made) == [("testing", ["tests/test_cart_2.py"], []), ("git", [], ["task-001"])]
    assert "shop/cart.py" in made.packets[0].action


@pytest.mark.parametrize("text", ["Update the README", "Fix typos in README.md"])
def test_documentation_of_one_page(text: str) -> None:
    made = plan(text)
    assert outline(made) == [("docs", ["README.md"], []), ("git", [], ["task-001"])]


def test_review_and_deployment_are_one_packet_without_a_plan() -> None:
    assert outline(plan("Review shop/auth.py and tests/test_auth.py")) == [
        ("review", ["shop/auth.py", "tests/test_auth.py"], [])
    ]
    assert outline(plan("Deploy to staging")) == [("deploy", [], [])]


@pytest.mark.parametrize(
    ("text", "runner", "tested"),
    [
        ("Add shop/text.py with a function slugify", "pytest", True),
        ("Add shop/text.py with a function slugify", None, False),
        ("Add shop/text.ts with a function slugify", "pytest", False),
    ],
)
def test_no_tests_are_planned_that_nothing_could_judge(text: str, runner: str | None, tested: bool) -> None:
    first = runner and GateSpec(gate="tests", runner=runner, argv=[runner])
    made = plan(text, survey=survey_of(gates=[], first_tests=first))
    assert ("testing" in [packet.agent_type for packet in made.packets]) is tested


def red(*frames: str, test: str = "tests/test_cart.py", name: str = "test_total") -> TestFailure:
    return TestFailure(test_id=f"{test}::{name}", path=test, message="boom", frames=list(frames))


def survey_with(*failures: TestFailure) -> Survey:
    result = GateResult(
        gate="tests",
        argv=["pytest"],
        ok=False,
        exit_code=1,
        seconds=0.1,
        failures=list(failures),
        sandbox_level="bwrap",
    )
    return survey_of(base_results=[result], base_failed=[f.test_id for f in failures])


def test_failing_tests_point_at_the_file_in_their_frames() -> None:
    survey = survey_with(red("tests/test_cart.py:4 test_total", "shop/cart.py:5 total"))
    made = plan("Fix the failing tests", survey=survey)
    assert (made.origin, made.packets[0].files_owned) == ("direct", ["shop/cart.py"])


def test_a_failed_assertion_has_no_frame_in_the_source_so_the_tests_imports_point_at_it() -> None:
    made = plan("Fix the failing tests", survey=survey_with(red("tests/test_cart.py:4 test_total")))
    assert made.packets[0].files_owned == ["shop/cart.py"]


def test_only_the_failing_test_that_the_request_names_counts() -> None:
    login = red("shop/auth.py:4 login", test="tests/test_auth.py", name="test_login")
    survey = survey_with(red("shop/cart.py:5 total"), login)
    assert plan("Make test_login pass, it is broken", survey=survey).packets[0].files_owned == [
        "shop/auth.py"
    ]


@pytest.mark.parametrize("text", ["Fix send_mail", "Fix `total`, it is wrong", "login() is broken"])
def test_a_function_that_one_file_defines_points_at_it(text: str) -> None:
    where = {"Fix s": "shop/mail/send.py", "Fix `": "shop/cart.py", "login": "shop/auth.py"}
    made = plan(text)
    assert (made.origin, made.packets[0].files_owned) == ("direct", [where[text[:5]]])


def test_a_function_that_two_files_define_points_at_none_of_them() -> None:
    twice = FILES | {"shop/auth.py": "def send_mail(): ...\n"}
    script = Script(ModelUnreachableError("no engine"))
    assert plan("Fix send_mail", script, contents=twice).origin == "template"


def test_an_existing_function_says_nothing_about_where_a_new_one_belongs() -> None:
    script = Script(ModelUnreachableError("no engine"))
    assert plan("Implement a newsletter that uses send_mail", script).origin == "template"


def test_what_failed_on_the_base_does_not_steer_a_feature() -> None:
    survey = survey_with(red("shop/auth.py:4 login"))
    made = plan("Implement slugify in shop/cart.py", survey=survey)
    assert made.packets[0].files_owned == ["shop/cart.py"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../evil.py", "not inside"),
        ("/etc/passwd", "not inside"),
        ("pyproject.toml", "base commit"),
        ("tests/test_cart.py", "test file"),
        (".git/hooks/pre-commit", "git"),
    ],
)
def test_a_listed_file_that_no_plan_may_change_is_refused(path: str, why: str) -> None:
    with pytest.raises(PlanError, match=why) as caught:
        plan("Fix it", files=[path])
    assert (caught.value.code, caught.value.field) == ("E-PLAN-FILES", "files")


def test_paths_outside_that_the_text_names_are_no_files_of_the_project() -> None:
    made = plan("Fix shop/cart.py as ../other/cart.py and https://example.org/auth.py do")
    assert made.packets[0].files_owned == ["shop/cart.py"]


def test_packets_carry_the_requests_and_the_types_choices() -> None:
    made = plan("Fix total in shop/cart.py", request_id="fix-1", priority="high", tier="deep")
    coding, review, git = made.packets
    assert [p.packet_id for p in made.packets] == ["pkt-fix-1-001", "pkt-fix-1-002", "pkt-fix-1-003"]
    assert {p.priority for p in made.packets} == {"high"}
    assert (coding.tier, review.tier, git.tier) == ("deep", "reviewer", "fast")
    assert (coding.max_attempts, review.max_attempts) == (5, 2)


def test_a_skill_is_chosen_by_its_name_in_the_request() -> None:
    assert plan("Fix the api in shop/cart.py").packets[0].skill == "api"
    assert plan("Fix total in shop/cart.py").packets[0].skill is None


def test_a_hostile_test_file_and_hostile_frames_point_nowhere_outside() -> None:
    hostile = FILES | {
        "tests/test_cart.py": "from ../../etc import passwd\nimport os, sys\nfrom .... import x\n"
    }
    survey = survey_with(red("tests/test_cart.py:4 test_total", "../../etc/passwd:1 root"))
    made = plan("Fix the failing tests", survey=survey, contents=hostile)
    assert made.packets[0].files_owned == ["shop/cart.py"]  # by the test's name


def test_files_that_the_failing_tests_run_into_are_one_packet() -> None:
    def suspect(path: str, score: float, failed: int = 2) -> Suspect:
        return Suspect(path=path, name="f", line=1, end=2, failed=failed, passed=0, score=score)

    found = [
        suspect("shop/mail/send.py", 1.0),
        suspect("tests/test_cart.py", 1.0),
        suspect("shop/cart.py", 0.8),
        suspect("shop/cart.py", 0.7),
        suspect("gone.py", 0.7),
        suspect("shop/auth.py", 0.3),
    ]
    failing = survey_with(red("shop/auth.py:4 check"))
    survey = failing.model_copy(update={"spectrum": Spectrum(failed=2, suspects=found)})
    made = plan("Fix the failing tests", survey=survey)
    assert made.origin == "direct"
    assert made.packets[0].files_owned == ["shop/mail/send.py", "shop/cart.py"]
    several = Spectrum(failed=3, suspects=found)
    made = plan("Fix the failing tests", survey=failing.model_copy(update={"spectrum": several}))
    assert made.packets[0].files_owned == ["shop/auth.py"], "no function has part in all failures"
    made = plan("Fix shop/auth.py", survey=survey)
    assert made.packets[0].files_owned == ["shop/auth.py"]
