import pytest

from swarmd.errors import ModelUnreachableError, PlanError
from swarmd.messages import KINDS
from swarmd.planning import TypeInfo
from swarmd.planning.templates import TEMPLATES
from tests.unit.planning.builders import Script, crew_of, outline, plan, survey_of


def test_every_kind_has_a_template() -> None:
    assert set(TEMPLATES) == set(KINDS) - {"auto"}


def without_model() -> Script:
    return Script(ModelUnreachableError("no engine"))


@pytest.mark.parametrize(
    ("kind", "text", "types"),
    [
        ("bugfix", "The login is broken", ["coding", "review", "git"]),
        ("feature", "Let the login count", ["coding", "testing", "review", "git"]),
        ("refactor", "Tidy the login", ["coding", "review", "git"]),
        ("test", "Cover the login", ["testing", "git"]),
        ("docs", "Explain the login", ["docs", "git"]),
        ("project", "A login", ["coding", "testing", "review", "git"]),
    ],
)
def test_without_a_model_the_kinds_template_is_used_on_the_file_that_fits_best(
    kind: str, text: str, types: list[str]
) -> None:
    made = plan(text, without_model(), kind=kind)
    assert made.origin == "template"
    assert "E-MODEL-DOWN" in made.note
    assert [p.agent_type for p in made.packets] == types
    owned = made.packets[0].files_owned
    assert owned == (["tests/test_auth_2.py"] if kind == "test" else ["shop/auth.py"])


def test_tests_for_several_files_are_one_packet_each() -> None:
    made = plan(
        "Cover the cart and the login", without_model(), files=["shop/cart.py", "shop/auth.py"], kind="test"
    )
    assert outline(made) == [
        ("testing", ["tests/test_cart_2.py"], []),
        ("testing", ["tests/test_auth_2.py"], []),
        ("git", [], ["task-001", "task-002"]),
    ]


def test_research_needs_a_type_that_accepts_it() -> None:
    with pytest.raises(PlanError, match="research"):
        plan("Find out about auth.py", kind="research")
    types = crew_of(TypeInfo(name="scholar", role="docs", accepts=("research",)))
    made = plan("Find out about README.md", kind="research", types=types)
    assert [p.agent_type for p in made.packets] == ["scholar", "review", "git"]


def test_what_is_not_installed_is_left_out() -> None:
    types = crew_of(without=["testing", "review", "git"])
    assert outline(plan("Add slugify to shop/cart.py", types=types)) == [("coding", ["shop/cart.py"], [])]


def test_a_custom_type_serves_its_kind_and_ends_in_review_and_git() -> None:
    types = crew_of(
        TypeInfo(name="surgeon", accepts=("refactor",), tier="deep", attempts=3, gates=("tests",))
    )
    made = plan("Rename total in shop/cart.py", types=types)
    assert [p.agent_type for p in made.packets] == ["surgeon", "review", "git"]
    first = made.packets[0]
    assert (first.tier, first.max_attempts, first.acceptance) == ("deep", 3, ["tests"])


def test_a_gate_that_the_project_does_not_have_never_leaves_work_ungated() -> None:
    types = crew_of(TypeInfo(name="surgeon", accepts=("refactor",), gates=("mutation",)))
    assert plan("Rename total in shop/cart.py", types=types).packets[0].acceptance == []  # all


def test_a_type_named_in_the_text_does_the_work_of_another_kind() -> None:
    types = crew_of(TypeInfo(name="poet"))
    made = plan("agent type: poet. Fix total in shop/cart.py", types=types)
    assert [p.agent_type for p in made.packets] == ["poet", "review", "git"]


def test_no_tests_are_planned_for_what_has_no_test_runner() -> None:
    made = plan("Add a dark mode to style.css", survey=survey_of(["style.css", "README.md"]))
    assert [p.agent_type for p in made.packets] == ["coding", "review", "git"]


def test_an_empty_project_gets_a_first_file() -> None:
    made = plan("Make a calculator", without_model(), survey=survey_of([]), workspace=None)
    assert made.kind == "project"
    assert [p.files_owned for p in made.packets[:2]] == [["main.py"], ["tests/test_main.py"]]


def test_a_bug_in_a_project_without_source_is_refused() -> None:
    with pytest.raises(PlanError, match="no file") as caught:
        plan("Fix the crash", without_model(), survey=survey_of(["LICENSE"]))
    assert caught.value.code == "E-PLAN-NO-FILES"
