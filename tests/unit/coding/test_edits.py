"""From a whole reply to the new text of the file: tolerant reading, strict effect."""

from __future__ import annotations

import pytest

from swarmd.coding.edits import Edit, read_edit
from swarmd.coding.failure import EditError, FormatError, NothingError, RefusedError, SyntaxFailedError
from swarmd.coding.merge import Scope

CODE = "def f(x):\n    return x + 2\n\n\ndef g(x):\n    return f(x)\n"
FIXED = "def f(x):\n    return x + 1\n"
PAGE = "# Tool\n\nWhat it is.\n\n## Install\n\n```sh\npip install tool\n```\n\n## Use\n\nRun it.\n"


def symbol(source: str = CODE, *names: str, asked: str = "") -> Edit:
    return Edit("shop/cart.py", source, "symbol", Scope(frozenset(names or ("f",)), asked=asked))


def whole(path: str, source: str | None, asked: str = "") -> Edit:
    return Edit(path, source, "file", Scope(asked=asked))


def fenced(text: str, info: str = "python") -> str:
    return f"Of course.\n\n```{info}\n{text}```\n\nThat should do it."


def test_one_function_among_prose() -> None:
    assert read_edit(fenced(FIXED), symbol()) == CODE.replace("x + 2", "x + 1")


def test_several_blocks_are_all_read() -> None:
    reply = fenced(FIXED) + "\n" + fenced("f(3)  # -> 4\n") + "\n" + fenced("4\n", "text")
    assert read_edit(reply, symbol()) == CODE.replace("x + 2", "x + 1")


def test_windows_line_ends_stay() -> None:
    new = read_edit(fenced(FIXED), symbol(CODE.replace("\n", "\r\n")))
    assert new == CODE.replace("x + 2", "x + 1").replace("\n", "\r\n")


def test_a_block_for_another_file_never_touches_the_target() -> None:
    other = "test_cart.py\n```python\ndef f(x):\n    return 0\n```\n"
    assert read_edit(other + "\ncart.py\n" + f"```python\n{FIXED}```", symbol()).count("x + 1") == 1
    with pytest.raises(RefusedError, match=r"edits test_cart.py; only shop/cart.py"):
        read_edit(other, symbol())


def test_search_replace_is_understood_though_not_asked_for() -> None:
    reply = "<<<<<<< SEARCH\n    return x + 2\n=======\n    return x + 1\n>>>>>>> REPLACE"
    assert read_edit(reply, symbol()) == CODE.replace("x + 2", "x + 1")


def test_search_replace_may_not_drop_or_break() -> None:
    drop = "<<<<<<< SEARCH\ndef g(x):\n    return f(x)\n=======\n>>>>>>> REPLACE"
    with pytest.raises(RefusedError, match="drops g"):
        read_edit(drop, symbol())
    with pytest.raises(SyntaxFailedError):
        read_edit("<<<<<<< SEARCH\n    return x + 2\n=======\n    return (\n>>>>>>> REPLACE", symbol())


def test_a_function_goes_when_the_task_says_so() -> None:
    reply = fenced("def f(x):\n    return x + 1\n")
    assert "def g" not in read_edit(reply, whole("cart.py", CODE, "Remove the function g"))
    assert "def g" in read_edit(reply, whole("cart.py", CODE, "Fix g and f"))


def test_a_whole_new_file() -> None:
    assert read_edit(fenced(FIXED), whole("new.py", None)) == FIXED
    with pytest.raises(SyntaxFailedError, match="line 1"):
        read_edit(fenced("def f(:\n"), whole("new.py", None))


def test_a_markdown_page_keeps_its_inner_blocks() -> None:
    new = PAGE.replace("pip install", "pipx install")
    assert read_edit(f"```markdown\n{new}```", whole("README.md", PAGE)) == new


def test_a_markdown_page_without_its_outer_end_is_read_to_the_end() -> None:
    new = PAGE.replace("pip install", "pipx install")
    for info in ("", "markdown"):
        assert read_edit(f"```{info}\n{new}", whole("README.md", PAGE)) == new
        with pytest.raises(FormatError, match="cut"):
            read_edit(f"```{info}\n{new}", whole("README.md", PAGE), cut=True)
    assert read_edit(new, whole("README.md", PAGE)) == new


def test_a_new_file_has_what_is_to_be_added() -> None:
    edit = Edit("new.py", None, "file", Scope(adds=frozenset({"f"})))
    example = (
        fenced(FIXED) + "\n" + fenced("import new\n\nfor number in range(9):\n    print(new.f(number))\n")
    )
    assert read_edit(example, edit) == FIXED
    with pytest.raises(FormatError, match="must define f"):
        read_edit(fenced("import re\n\n# f is a function\n"), edit)


def test_a_markdown_page_may_not_lose_headings() -> None:
    with pytest.raises(RefusedError, match="Use"):
        read_edit("```markdown\n# Tool\n\n## Install\n\nx\n```", whole("README.md", PAGE, "Shorten the page"))
    asked = whole("README.md", PAGE, "Remove the sections Install and Use")
    assert read_edit("```markdown\n# Tool\n\nx\n```", asked) == "# Tool\n\nx\n"


def test_javascript_may_not_lose_functions() -> None:
    source = "export function a() {}\nconst b = () => 1;\n"
    edit = whole("x.js", source)
    assert read_edit(fenced(source.replace("1", "2"), "js"), edit) == source.replace("1", "2")
    with pytest.raises(RefusedError, match="b"):
        read_edit(fenced("export function a() {}\n", "js"), edit)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("", FormatError),
        ("I cannot do that.", FormatError),
        (fenced("def f(x):\n    return x + 2\n"), NothingError),
        (fenced(CODE), NothingError),
        (fenced("def f(x)\n    return x\n"), SyntaxFailedError),
    ],
)
def test_what_is_told_to_the_next_sample(reply: str, error: type[EditError]) -> None:
    with pytest.raises(error) as caught:
        read_edit(reply, symbol())
    failure = caught.value.failure
    assert failure.kind == error.kind
    assert failure.digest == caught.value.message
    assert failure.signature.startswith(f"{error.kind}:")


def test_a_cut_reply_is_called_cut() -> None:
    with pytest.raises(FormatError, match="cut"):
        read_edit("```python\ndef f(x):\n    return (x +", symbol(), cut=True)
    assert "x + 1" in read_edit(f"```python\n{FIXED}```\nThis functi", symbol(), cut=True)


def test_failures_that_look_alike_have_one_signature() -> None:
    def signature(reply: str) -> str:
        with pytest.raises(EditError) as caught:
            read_edit(reply, symbol())
        return caught.value.failure.signature

    assert signature(fenced("def h1(x):\n    return 1\n")) == signature(fenced("def h2(x):\n    return 2\n"))
    assert signature("no") != signature(fenced("def h(x):\n    return 1\n"))
