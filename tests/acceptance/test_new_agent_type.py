"""A new folder is a new agent type: no code, and its work ends in a gated branch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Daemon, git, make_repository, own_tests_pass
from tests.acceptance.projects import COUNTER

AGENT = """
description = "Gives functions clearer names and shapes without changing what they do."
accepts = ["refactor"]
tier = "deep"

[inference]
temperature = 0.1
max_tokens = 300

[limits]
max_instances = 1
"""

PROMPT = "You tidy Python code and keep its behaviour. PROMPT-OF-THE-TIDIER\n"

TIDY = '''```python
def longest(words):
    """The longest of ``words``, the first one of several."""
    return sorted(words, key=len, reverse=True)[0]
```
'''

FIXED = {
    **COUNTER,
    "counter/words.py": COUNTER["counter/words.py"].replace('split(" ")', "split()"),
}


def test_a_folder_makes_a_type_that_serves_requests(
    scripted: Callable[..., tuple[Daemon, Any]], tmp_path: Path
) -> None:
    words = make_repository(tmp_path / "words", FIXED)
    daemon, model = scripted(
        [
            {"match": "commit message", "reply": "Tidy longest\n\nNo change in behaviour."},
            {"match": '"?verdict"?', "reply": '{"verdict": "ok", "quote": "", "reason": ""}'},
            {"match": "PROMPT-OF-THE-TIDIER", "reply": TIDY},
        ]
    )
    folder = daemon.home / "agents/tidier"
    folder.mkdir()
    (folder / "agent.toml").write_text(AGENT)
    (folder / "prompt.md").write_text(PROMPT)
    daemon.start()
    request = {"user_request": "Refactor longest in counter/words.py.", "kind": "refactor"}
    daemon.drop("tidy", request | {"workspace": str(words)})
    result = daemon.result("tidy")

    assert result["status"] == "succeeded", daemon.tail()
    task = result["tasks"][0]
    assert (task["agent_type"], task["tier"], task["status"]) == ("tidier", "deep", "succeeded")
    assert {gate["gate"] for gate in task["gates"] if gate["ok"]} >= {"parse", "tests"}
    assert own_tests_pass(words, "swarm/tidy", tmp_path / "clone")
    assert "first one of several" in git(words, "show", "swarm/tidy:counter/words.py")
    assert daemon.events("agent_ready", actor="tidier.1")
    assert (daemon.home / "logs/agents/tidier.jsonl").exists()
    asked = [call for call in model.calls if "PROMPT-OF-THE-TIDIER" in str(call)]
    assert asked[0]["max_tokens"] == 300
    assert asked[0]["temperature"] == 0.1


def test_a_kind_that_no_type_serves_is_refused(
    scripted: Callable[..., tuple[Daemon, Any]], tmp_path: Path
) -> None:
    words = make_repository(tmp_path / "words", FIXED)
    daemon, _ = scripted([])
    daemon.start()
    daemon.drop("look", {"user_request": "Find out things.", "kind": "research", "workspace": str(words)})
    result = daemon.result("look")
    assert result["status"] == "rejected"
    assert result["error"]["code"] == "E-KIND-UNSERVED"
    assert result["error"]["hint"]
