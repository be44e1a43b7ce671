import pytest

from swarmd.errors import PlanError
from swarmd.planning import TypeInfo
from swarmd.planning.kinds import detect, resolve
from tests.unit.planning.builders import crew_of, request_for


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Fix the failing tests in auth.py", "bugfix"),
        ("login() crashes on an empty password", "bugfix"),
        ("Add a function slugify with tests", "feature"),
        ("Implement total() so that the new tests pass", "feature"),
        ("Add tests for shop/cart.py", "test"),
        ("Please write some unit tests for the cart", "test"),
        ("Add a docstring to login", "docs"),
        ("Fix typos in the README", "docs"),
        ("Document the public functions of cart.py", "docs"),
        ("Rename total to grand_total everywhere", "refactor"),
        ("Refactor cart.py and add a helper class", "refactor"),
        ("Review the fix in auth.py", "review"),
        ("Deploy to staging", "deploy"),
        ("Investigate why the build is slow", "research"),
        ("The total is 3 but it should be 4", "feature"),
    ],
)
def test_the_kind_is_read_from_the_words_of_the_request(text: str, kind: str) -> None:
    assert detect(text, tests_fail=False) == kind


def test_without_a_clue_failing_tests_make_it_a_bug_fix() -> None:
    assert detect("The total is 3, expected 4", tests_fail=True) == "bugfix"


def test_a_request_without_a_workspace_is_a_new_project() -> None:
    kind, worker = resolve(request_for("Add a cli", workspace=None), crew_of(), tests_fail=False)
    assert (kind, worker.name) == ("project", "coding")


def test_a_stated_kind_is_not_guessed_again() -> None:
    assert resolve(request_for("Fix it", kind="docs"), crew_of(), tests_fail=True)[0] == "docs"


def test_a_kind_that_no_type_serves_is_refused_and_the_message_lists_what_is_served() -> None:
    with pytest.raises(PlanError, match=r"'research'.*bugfix") as caught:
        resolve(request_for("find out why", kind="research"), crew_of(), tests_fail=False)
    assert caught.value.code == "E-KIND-UNSERVED"
    assert caught.value.field == "kind"


def test_a_type_of_the_users_own_comes_before_the_built_in_one() -> None:
    types = crew_of(TypeInfo(name="zz-surgeon", accepts=("refactor",)))
    assert resolve(request_for("Rename total"), types, tests_fail=False)[1].name == "zz-surgeon"
    assert resolve(request_for("Fix total"), types, tests_fail=False)[1].name == "coding"


@pytest.mark.parametrize(
    "text", ["Fix it. agent type: surgeon", "agent-type=surgeon fix it", "Agent: `surgeon`, fix"]
)
def test_a_type_that_the_text_names_does_the_work(text: str) -> None:
    types = crew_of(TypeInfo(name="surgeon"))
    assert resolve(request_for(text), types, tests_fail=False)[1].name == "surgeon"


def test_a_named_type_decides_the_kind_where_the_request_leaves_it_open() -> None:
    types = crew_of(TypeInfo(name="surgeon", accepts=("refactor",)))
    request = request_for("agent type: surgeon. Fix the names in cart.py")
    assert resolve(request, types, tests_fail=False)[0] == "refactor"
    with pytest.raises(PlanError, match="does not accept 'bugfix'"):
        resolve(request.model_copy(update={"kind": "bugfix"}), types, tests_fail=False)


def test_a_named_type_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(PlanError, match="'wizard'") as caught:
        resolve(request_for("agent type: wizard. Fix it"), crew_of(), tests_fail=False)
    assert caught.value.code == "E-AGENT-UNKNOWN"
