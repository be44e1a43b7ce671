"""The scripted model as a program, for the demonstration without weights."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from swarmd.errors import UsageError
from swarmd.testing import ScriptedModel


def test_the_program_serves_a_script_and_ends_on_a_signal(tmp_path: Path) -> None:
    script, port_file = tmp_path / "script.json", tmp_path / "port"
    rules = [{"match": "two", "reply": "first", "times": 1}, {"match": "two", "reply": "then"}]
    script.write_text(json.dumps({"rules": rules, "default": {"reply": "else"}}))
    argv = ["-m", "swarmd.testing", "scripted-model", "--script", str(script), "--port-file", str(port_file)]
    process = subprocess.Popen([sys.executable, *argv])
    try:
        deadline = time.monotonic() + 10
        while not port_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        url = f"http://127.0.0.1:{int(port_file.read_text())}/v1/chat/completions"
        replies = [ask(url, text) for text in ("one two", "one\ntwo", "three")]
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(5)

    assert replies == ["first", "then", "else"]
    assert status == 0


def ask(url: str, text: str) -> str:
    body = json.dumps({"model": "x", "messages": [{"role": "user", "content": text}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("script", ["{", '[{"reply": "x", "matches": "y"}]', '[{"match": "("}]', "7"])
def test_a_script_that_is_wrong_is_refused(tmp_path: Path, script: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(script)
    with pytest.raises(UsageError, match="not a script"):
        ScriptedModel.load(path)
