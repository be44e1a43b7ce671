"""Projects that use Python as people do: their tests are believed, whatever machinery they use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Daemon, make_repository
from tests.acceptance.projects import COUNTER, GOOD_COUNTER, answers

BUSY_TESTS = """
import asyncio
import collections
import contextlib
import dataclasses
import enum
import functools
import json
import logging
import subprocess
import sys
import threading
import typing
import warnings
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from counter import words
from counter.words import count_words


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    text: str
    expected: int


Pair = collections.namedtuple("Pair", "left right")


class Colour(enum.Enum):
    RED = 1


class Shape(typing.NamedTuple):
    sides: int = 3


@functools.singledispatch
def kind(value):
    return "thing"


@kind.register
def _(value: int):
    return "int"


@pytest.fixture
def case():
    yield Case("a b", 2)


@pytest.mark.parametrize(("text", "count"), [("a", 1), ("a b", 2), ("a  b", 2)])
def test_parametrized(text, count):
    assert count_words(text) == count


def test_fixture(case, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setattr(words, "count_words", lambda text: 42)
    monkeypatch.setenv("HOME", str(tmp_path))
    print(words.count_words("x"))
    assert capsys.readouterr().out == "42\\n"
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("said")
    assert "said" in caplog.text
    assert count_words(case.text) == case.expected


def test_mock():
    with mock.patch("counter.words.count_words", return_value=7) as patched:
        assert words.count_words("x") == 7
    patched.assert_called_once_with("x")
    with mock.patch.object(json, "dumps", side_effect=ValueError):
        with pytest.raises(ValueError):
            json.dumps({})


def test_concurrency():
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(count_words, ["a b", "c"])) == [2, 1]
    seen = []
    thread = threading.Thread(target=lambda: seen.append(1))
    thread.start()
    thread.join()

    async def main():
        await asyncio.sleep(0)
        return await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))

    assert asyncio.run(main()) == [1, 2] and seen == [1]


def test_subprocess():
    done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True)
    assert done.stdout == "1\\n"


def test_machinery():
    found = (kind(1), kind("x"), Pair(1, 2).left, Colour(1).name, Shape().sides)
    assert found == ("int", "thing", 1, "RED", 3)
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(eval("1 + 1"))
    space = {}
    exec("def made():\\n    return 5", space)
    assert space["made"]() == 5


class TestClass:
    def setup_method(self):
        self.value = 3

    def test_in_a_class(self):
        assert self.value == 3


@pytest.mark.skip(reason="not now")
def test_skipped():
    assert False


@pytest.mark.xfail
def test_expected_to_fail():
    assert count_words("a") == 5
"""

UNITTESTS = """
import unittest

from counter.words import count_words


class Words(unittest.TestCase):
    def test_white_space(self):
        for text in ("a b", "a  b", "a\\n b"):
            with self.subTest(text):
                self.assertEqual(count_words(text), 2)

    @unittest.skip("not now")
    def test_skipped(self):
        self.fail()
"""


def test_a_project_with_much_machinery_and_one_with_unittest(
    scripted: Callable[..., tuple[Daemon, Any]], tmp_path: Path
) -> None:
    busy = COUNTER | {
        "tests/test_busy.py": BUSY_TESTS,
        "conftest.py": "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef quiet():\n    yield\n",
    }
    plain = {
        "counter/__init__.py": "",
        "counter/words.py": COUNTER["counter/words.py"],
        "tests/__init__.py": "",
        "tests/test_plain.py": UNITTESTS,
    }
    daemon, _ = scripted(answers(GOOD_COUNTER))
    daemon.start()
    for name, files in (("busy", busy), ("plain", plain)):
        repository = make_repository(tmp_path / name, files)
        text = "Fix count_words in counter/words.py: any white space separates words."
        daemon.drop(name, {"user_request": text, "workspace": str(repository)})
    for name in ("busy", "plain"):
        result = daemon.result(name, 120)
        assert result["status"] == "succeeded", (result["error"], daemon.tail())
