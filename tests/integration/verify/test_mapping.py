"""A project's tags, made by the confined process, cached by blob, and left beside the survey."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from swarmd.sandbox import Sandbox
from swarmd.verify import mapping
from swarmd.verify.mapping import run_tagger
from swarmd.workspace.tags.store import load_tags

from .conftest import AUTH, TEST_AUTH, Lab, git, write

MONEY = "from auth import login\n\n\ndef pay(name, cents):\n    return login(name, '', {}) and cents\n"
FILES = {"auth.py": AUTH, "money.py": MONEY, "test_auth.py": TEST_AUTH, "notes.txt": "words"}


@pytest.fixture
def shop(tmp_path: Path, sandbox: Sandbox) -> Lab:
    return Lab(tmp_path, sandbox, FILES)


def test_prepare_leaves_the_tags_beside_the_survey(shop: Lab) -> None:
    shop.prepare()
    files = load_tags(shop.folder).files
    assert sorted(files) == ["auth.py", "money.py", "test_auth.py"]
    assert [one.name for one in files["auth.py"].definitions] == ["login", "logout"]
    assert files["money.py"].references == {"login": 2}


def test_a_second_request_tags_only_what_is_new(shop: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.prepare()
    first = load_tags(shop.folder)
    asked: list[str] = []
    real = run_tagger

    def spy(root: Path, paths: list[str], **options: object) -> object:
        asked.extend(paths)
        return real(root, paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(mapping, "run_tagger", spy)
    shop.request = shop.request.model_copy(update={"request_id": "again"})
    shop.folder = shop.home.request_folder("again")
    shop.prepare()
    assert asked == []
    assert load_tags(shop.folder) == first
    write(shop.workspace, {"money.py": MONEY + "\n\ndef refund(cents): ...\n"})
    git(shop.workspace, "commit", "-aqm", "more")
    shop.request = shop.request.model_copy(update={"request_id": "third"})
    shop.folder = shop.home.request_folder("third")
    shop.prepare()
    assert asked == ["money.py"]
    assert "refund" in {one.name for one in load_tags(shop.folder).files["money.py"].definitions}


def test_a_project_of_one_file_has_no_map(tmp_path: Path, sandbox: Sandbox) -> None:
    lab = Lab(tmp_path, sandbox, {"auth.py": AUTH, "test_auth.py": TEST_AUTH})
    lab.prepare()
    assert not (lab.folder / "tags.json").exists()


def test_hostile_files_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "inside"
    write(
        root, {"good.py": "def good(): ...\n", "huge.py": "x = 1\n" * 60_000, "last.py": "def last(): ...\n"}
    )
    write(tmp_path, {"outside.py": "def outside(): ...\n"})
    (root / "binary.py").write_bytes(b"\xff\xfe\x00def f(): ...")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    os.mkfifo(root / "pipe.py")
    names = ["binary.py", "good.py", "gone.py", "huge.py", "link.py", "pipe.py", "../outside.py", "last.py"]
    found = run_tagger(root, names, require=True, on_wait=lambda: None)
    assert sorted(found) == ["good.py", "last.py"]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tagger whose text a test writes."""
    script = tmp_path / "tagger.py"
    runner = tmp_path / "python"
    runner.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n')
    runner.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(runner))
    return script


HEAD = "import json, os, sys, time\nfiles = json.load(sys.stdin)['files']\n"
TAGS = "json.dumps([path, {'language': 'python'}])"


def test_it_goes_on_behind_a_file_that_ends_the_process(tmp_path: Path, stand_in: Path) -> None:
    stand_in.write_text(
        HEAD + f"for path in files:\n    if 'bad' in path: os.abort()\n    print({TAGS}, flush=True)\n"
    )
    paths = ["a.py", "bad1.py", "b.py", "bad2.py", "c.py", "bad3.py", "d.py"]
    found = run_tagger(tmp_path, paths, require=True, on_wait=lambda: None)
    assert sorted(found) == ["a.py", "b.py", "c.py"], "three runs, then the rest is left"


def test_what_it_was_not_asked_for_is_not_believed(tmp_path: Path, stand_in: Path) -> None:
    stand_in.write_text(
        HEAD + f"print({TAGS.replace('path', 'files[0]', 1)})\npath = 'secret.py'\nprint({TAGS})\n"
    )
    assert sorted(run_tagger(tmp_path, ["a.py", "b.py"], require=True, on_wait=lambda: None)) == ["a.py"]


def test_one_that_hangs_is_ended_and_its_lines_count(tmp_path: Path, stand_in: Path) -> None:
    stand_in.write_text(HEAD + f"path = files[0]\nprint({TAGS}, flush=True)\ntime.sleep(600)\n")
    waits: list[int] = []
    found = run_tagger(tmp_path, ["a.py", "b.py"], require=True, on_wait=lambda: waits.append(1), seconds=1.5)
    assert sorted(found) == ["a.py"]
    assert waits, "the verifier says that it lives meanwhile"
