import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.planning.paths import is_test, new_test, problem_with, subject_of_test, tidy
from tests.unit.planning.builders import survey_of

SURVEY = survey_of()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../evil.py",
        "shop/../../evil.py",
        "~/evil.py",
        "C:\\evil.py",
        "shop\\evil.py",
        ".git/config",
        "shop/.GIT/hooks/x.py",
        "git~1/config",
        ".github/workflows/ci.yml",
        "shop//cart.py",
        "./shop/cart.py",
        "",
        ".",
        "shop/",
        "shop",
        "shop/cart.py/inner.py",
        "-rf.py",
        "shop/new\nline.py",
        "shop/nul\0.py",
        "shop/evil.so",
        "shop/evil.pth",
        "shop/noending",
        ".hidden.py",
        "a/" * 12 + "deep.py",
        "x" * 300 + ".py",
        "pyproject.toml",
        "shop/conftest.py",
        "sitecustomize.py",
        "tests/test_cart.py",
        "tests/test_new.py",
        "shop/test_new.py",
        "web/cart.test.ts",
    ],
)
def test_no_plan_may_give_such_a_path_to_a_coding_agent(path: str) -> None:
    assert problem_with(path, SURVEY, testing=False)


@pytest.mark.parametrize(
    "path", ["shop/cart.py", "shop/new.py", "new/pkg/mod.py", "README.md", "data/prices.json"]
)
def test_files_of_the_project_and_sane_new_ones_are_fine(path: str) -> None:
    assert problem_with(path, SURVEY, testing=False) is None


@pytest.mark.parametrize("path", ["shop/cart.py", "tests/test_cart.py", "tests/conftest.py", "../test_x.py"])
def test_a_testing_agent_writes_new_test_files_only(path: str) -> None:
    assert problem_with(path, SURVEY, testing=True)
    assert problem_with("tests/test_new.py", SURVEY, testing=True) is None


@given(st.text(max_size=60))
def test_whatever_is_accepted_stays_inside_the_project(path: str) -> None:
    if problem_with(path, SURVEY, testing=False) is None:
        parts = path.split("/")
        assert not path.startswith("/")
        assert not {"", ".", "..", ".git"} & set(parts)
        assert path.isprintable()


def test_slips_in_a_path_are_mended_only_where_the_meaning_is_clear() -> None:
    assert tidy("./shop/cart.py", SURVEY) == "shop/cart.py"
    assert tidy("/src/shop/shop/cart.py", SURVEY) == "shop/cart.py"
    assert tidy("cart.py", SURVEY) == "shop/cart.py"
    assert tidy("__init__.py", survey_of(["a/__init__.py", "b/__init__.py"])) == "__init__.py"
    assert tidy("../cart.py", SURVEY) == "../cart.py"


def test_new_tests_are_named_as_the_project_names_them() -> None:
    assert new_test("shop/text.py", SURVEY, set()) == "tests/test_text.py"
    assert new_test("shop/cart.py", SURVEY, set()) == "tests/test_cart_2.py"
    assert new_test("tests/test_cart.py", SURVEY, {"tests/test_cart_2.py"}) == "tests/test_cart_3.py"
    assert new_test("shop/mail/__init__.py", SURVEY, set()) == "tests/test_mail.py"
    assert new_test(None, survey_of([]), set()) == "tests/test_request.py"
    assert new_test("cart.py", survey_of(["cart.py", "test_auth.py"]), set()) == "test_cart.py"
    web = survey_of(["src/cart.ts", "src/auth.test.ts"])
    assert new_test("src/cart.ts", web, set()) == "src/cart.test.ts"


def test_a_new_test_never_takes_the_name_of_one_in_another_folder() -> None:
    # two test modules of one name in folders without __init__.py break pytest's collection
    nested = survey_of(["text.py", "tests/unit/test_cart.py", "tests/web/test_text.py"])
    assert new_test("text.py", nested, set()).endswith("/test_text_2.py")


def test_the_subject_of_a_test_is_found_by_name_when_there_is_only_one() -> None:
    assert subject_of_test("tests/test_cart.py", SURVEY) == "shop/cart.py"
    assert subject_of_test("tests/test_cart_2.py", SURVEY) == "shop/cart.py"
    assert subject_of_test("tests/test_nothing.py", SURVEY) is None
    assert subject_of_test("tests/test_cart.py", survey_of(["a/cart.py", "b/cart.py"])) is None


@pytest.mark.parametrize(
    "path", ["test_x.py", "pkg/x_test.py", "tests/data/x.json", "conftest.py", "a/x.spec.js"]
)
def test_files_of_the_tests_are_known(path: str) -> None:
    assert is_test(path)
    assert not is_test("shop/testing_ground.py")
