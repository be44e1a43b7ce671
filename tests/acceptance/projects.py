"""Small projects for the tests, and what a scripted model answers about them."""

from __future__ import annotations

from typing import Any

__all__ = ["COUNTER", "COUNTER_REQUEST", "GOOD_COUNTER", "answers"]

COUNTER = {
    "counter/__init__.py": "",
    "counter/words.py": '''"""Counting words."""


def count_words(text):
    """How many words ``text`` has."""
    return len(text.split(" "))


def longest(words):
    """The longest of ``words``."""
    return max(words, key=len)
''',
    "tests/test_words.py": """from counter.words import count_words, longest


def test_one_space_between_words():
    assert count_words("a b c") == 3


def test_any_white_space_between_words():
    assert count_words("a  b\\n c") == 3


def test_longest():
    assert longest(["a", "bcd", "ef"]) == "bcd"
""",
    "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
}

COUNTER_REQUEST = {
    "user_request": "Fix the failing test: count_words in counter/words.py counts gaps, not words."
}

GOOD_COUNTER = '''```python
def count_words(text):
    """How many words ``text`` has."""
    return len(text.split())
```
'''


def answers(code: str, **more: Any) -> list[dict[str, Any]]:
    """Rules of a scripted model: ``code`` for the coding agent, something plain for the others."""
    return [
        {"match": "commit message", "reply": "Count words, not gaps\n\nAny white space separates words."},
        {"match": '"?verdict"?', "reply": '{"verdict": "ok", "quote": "", "reason": ""}'},
        {"match": "count_words", "reply": code, **more},
    ]
