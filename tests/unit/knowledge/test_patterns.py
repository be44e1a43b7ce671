from pathlib import Path

import pytest

from swarmd.knowledge.patterns import choose, parse

SHIPPED = Path(__file__).parents[3] / "knowledge" / "patterns"


@pytest.mark.parametrize(
    ("request_text", "name"),
    [
        ("Login accepts an expired JWT token", "authentication-jwt"),
        ("The refresh token is never revoked", "authentication-jwt"),
        ("Return a proper 404 status code from the users endpoint", "api-responses"),
        ("Add pagination to the orders API", "api-responses"),
        ("parse_port must raise ValueError on invalid input", "error-handling"),
        ("Validate the amount and raise an exception if it is negative", "error-handling"),
        ("Fix the failing tests in auth.py", None),
        ("Add a function slugify", None),
        ("There is an error in the total", None),
        ("", None),
    ],
)
def test_a_page_is_quoted_only_when_its_words_stand_in_the_request(
    request_text: str, name: str | None
) -> None:
    found = choose(SHIPPED, request_text, budget=4000)
    assert (found and found.name) == name


@pytest.mark.parametrize("page", sorted(SHIPPED.glob("*.md")), ids=lambda p: p.stem)
def test_the_shipped_pages_are_usable_within_a_small_budget(page: Path) -> None:
    title, keywords, body = parse(page.read_text())
    assert title
    assert len(keywords) >= 8
    found = choose(SHIPPED, " ".join(keywords), budget=900)
    assert found is not None
    assert found.name == page.stem
    assert 300 < len(found.text) <= 900
    assert found.text.count("```") % 2 == 0
    assert len(body) < 3000


def write(folder: Path, name: str, keywords: str, body: str = "Text.") -> None:
    (folder / f"{name}.md").write_text(f"---\ntitle: {name}\nkeywords: {keywords}\n---\n{body}\n")


def test_of_two_pages_that_fit_equally_well_neither_is_quoted(tmp_path: Path) -> None:
    write(tmp_path, "a", "red, green")
    write(tmp_path, "b", "red, green")
    assert choose(tmp_path, "red and green", budget=100) is None
    write(tmp_path, "b", "red, green, blue")
    found = choose(tmp_path, "red, green and blue", budget=100)
    assert found is not None
    assert (found.name, found.score) == ("b", 3)


def test_keywords_are_whole_words_in_any_case_and_phrases_count_their_words(tmp_path: Path) -> None:
    write(tmp_path, "a", "status code, car")
    assert choose(tmp_path, "the cart and the carpet", budget=100) is None
    assert choose(tmp_path, "a STATUS-CODE please", budget=100) is not None
    assert choose(tmp_path, "code status", budget=100) is None


def test_whole_paragraphs_are_kept_and_code_is_never_cut(tmp_path: Path) -> None:
    body = "First.\n\n```python\na = 1\n\nb = 2\n```\n\nLast."
    write(tmp_path, "a", "red, green", body)
    for budget in range(200):
        found = choose(tmp_path, "red green", budget=budget)
        text = found.text if found else ""
        assert len(text) <= budget
        assert text in ("", "First.", body.removesuffix("\n\nLast."), body)
    assert text == body


def test_pages_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "good", "red, green")
    (tmp_path / "binary.md").write_bytes(b"---\nkeywords: red, green\n---\n\xff\xfe")
    (tmp_path / "link.md").symlink_to("/etc/passwd")
    (tmp_path / "plain.md").write_text("red green")
    (tmp_path / "folder.md").mkdir()
    found = choose(tmp_path, "red green", budget=100)
    assert found is not None
    assert found.name == "good"
    assert choose(tmp_path / "absent", "red green", budget=100) is None
