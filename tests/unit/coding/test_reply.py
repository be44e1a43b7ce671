"""What small models really answer."""

from __future__ import annotations

import pytest

from swarmd.coding.reply import bare_code, blocks, is_for, replacements

CODE = "def f(x):\n    return x + 1"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{CODE}\n```",
        f"```\n{CODE}\n```",
        f"``` Python\n{CODE}\n```",
        f"~~~py\n{CODE}\n~~~",
        f"```python\n{CODE}",
        f"```python\r\n{CODE}\r\n```\r\n",
        f"Sure! Here is the fixed function:\n\n```python\n{CODE}\n```\n\nThis adds one to `x`.",
        "1. The fix:\n   ```python\n   def f(x):\n       return x + 1\n   ```\n",
        f"<think>\nfirst I thought ```python\npass\n```\n</think>\n```python\n{CODE}\n```",
    ],
    ids=["plain", "no-language", "space", "tildes", "no-end", "crlf", "prose", "in-a-list", "thinking"],
)
def test_the_code_is_found(reply: str) -> None:
    (block,) = blocks(reply)
    assert block.text.strip() == CODE


def test_a_block_without_its_end_is_known_to_be_open() -> None:
    assert [block.closed for block in blocks(f"```python\n{CODE}\n```\n```\nx = 1")] == [True, False]


@pytest.mark.parametrize(
    ("reply", "path"),
    [
        (f"shop/cart.py\n```python\n{CODE}\n```", "shop/cart.py"),
        (f"**`shop/cart.py`**\n\n```python\n{CODE}\n```", "shop/cart.py"),
        (f"### File: cart.py\n```python\n{CODE}\n```", "cart.py"),
        (f"```python:shop/cart.py\n{CODE}\n```", "shop/cart.py"),
        (f"```shop/cart.py\n{CODE}\n```", "shop/cart.py"),
        (f"```python\n# shop/cart.py\n{CODE}\n```", "shop/cart.py"),
        (
            f"Here is the new version of the function in cart.py that you asked for:\n```python\n{CODE}\n```",
            None,
        ),
        (f"`cart.total` was wrong:\n```python\n{CODE}\n```", None),
    ],
)
def test_the_label_of_a_block(reply: str, path: str | None) -> None:
    (block,) = blocks(reply)
    assert block.path == path
    assert block.text == CODE


def test_a_block_is_for_a_file_however_it_is_spelled() -> None:
    (block,) = blocks(f".\\shop/Cart.py\n```python\n{CODE}\n```") or blocks("")
    assert is_for(block, "src/shop/cart.py")
    assert not is_for(block, "src/shop/test_cart.py")


def test_markdown_keeps_its_inner_blocks() -> None:
    page = "# Title\n\n```sh\npip install x\n```\n\nMore.\n"
    for language in ("markdown", "md", ""):
        (block,) = blocks(f"```{language}\n{page}```\nThat is all.")
        assert block.text == page.rstrip("\n")


def test_code_without_a_fence_is_found_among_prose() -> None:
    reply = f"Here is the function:\n\n{CODE}\n\nIt adds one to its argument."
    assert bare_code(reply) == CODE


def test_prose_alone_is_no_code() -> None:
    assert bare_code("I am sorry, I cannot do that.\nimport duties are not my field") is None


def test_search_replace_blocks_tolerate_missing_words_and_end() -> None:
    reply = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\ntext\n<<<<<<<\nc\n=======\nd\n```"
    first, second = replacements(reply)
    assert (first.search, first.replace, first.closed) == ("a", "b", True)
    assert (second.search, second.replace, second.closed) == ("c", "d", False)


def test_a_deletion_is_an_empty_replacement() -> None:
    (change,) = replacements("<<<<<<< SEARCH\na\n=======\n>>>>>>> REPLACE")
    assert change.replace == ""
