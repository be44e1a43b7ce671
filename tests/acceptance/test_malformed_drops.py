"""Twelve bad drops, one good one among them: each ends where a person can see why."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Daemon, make_repository
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER, answers


def _write_slowly(path: Path, data: bytes) -> None:
    """Half of the file, two seconds of nothing, then the rest."""
    with path.open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        time.sleep(2)
        file.write(data[len(data) // 2 :])


def _drop_bad_ones(inbox: Path, request: dict[str, Any]) -> None:
    text = json.dumps(request)
    (inbox / "empty.json").write_bytes(b"")
    (inbox / "binary.json").write_bytes(bytes(range(256)) * 40)
    (inbox / "huge.json").write_bytes(b'{"user_request": "' + b"x" * 50_000_000 + b'"}')
    (inbox / "types.json").write_text('{"user_request": ["a", "list"], "files": "no list"}')
    (inbox / "unknown.json").write_text('{"user_request": "x", "workspce": "/tmp"}')
    (inbox / "outside.json").write_text('{"user_request": "x", "files": ["../../etc/passwd"]}')
    (inbox / "folder.json").mkdir()
    (inbox / "folder.json/inside.txt").write_text("x")
    (inbox / "link.json").symlink_to("/etc/passwd")
    (inbox / "denied.json").write_text(text)
    (inbox / "denied.json").chmod(0)
    (inbox / "two\nlines-ünï.json").write_text('{"user_request": 7}')
    (inbox / "twice.json").write_text('{"user_request": "something else", "request_id": "good"}')


REASONS = {
    "empty": "empty",
    "binary": "UTF-8|JSON",
    "huge": "large",
    "types": "user_request",
    "unknown": "workspace",
    "outside": "files",
    "folder": "folder|directory|file",
    "link": "link",
    "lines": "user_request",
    "twice": "good",
}


def test_each_bad_drop_gets_a_reason_and_the_good_one_is_served(
    scripted: Callable[..., tuple[Daemon, Any]], tmp_path: Path
) -> None:
    import re

    words = make_repository(tmp_path / "words", COUNTER)
    daemon, _ = scripted(answers(GOOD_COUNTER))
    daemon.start()
    inbox = daemon.home / "bus/inbox/normal"
    good = COUNTER_REQUEST | {"workspace": str(words)}
    daemon.drop("good", good | {"request_id": "good"}, "normal")
    daemon.wait(lambda: daemon.events("request_received", request_id="good"), 20, "good is not taken")
    late = json.dumps(good | {"user_request": good["user_request"] + " "}).encode()
    writer = threading.Thread(target=_write_slowly, args=(inbox / "half.json", late))
    writer.start()
    _drop_bad_ones(inbox, good)
    writer.join()

    assert daemon.result("good")["status"] == "succeeded", daemon.tail()
    assert daemon.result("half")["status"] == "succeeded", daemon.tail()
    daemon.wait(lambda: not list(inbox.iterdir()), 30, "the inbox is not empty", daemon.tail)
    letters = [json.loads(p.read_text()) for p in (daemon.home / "bus/deadletter").glob("*.error.json")]
    for part, reason in REASONS.items():
        letter = next(letter for letter in letters if part in letter["name"])
        said = f"{letter['code']} {letter['field']} {letter['message']} {letter['hint']}"
        assert re.search(reason, said), said
        assert letter["code"].startswith("E-REQUEST"), said
        assert letter["hint"], said
    if os.getuid() == 0:  # root reads everything: the file is a second good request
        assert daemon.result("denied")["status"] == "succeeded"
    else:
        assert any("denied" in letter["name"] for letter in letters)
    assert "unknown" in daemon.swarmd("bus", "dead").stdout
    assert daemon.stop() == 0
