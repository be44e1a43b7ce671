"""What an attempt saw can be read while the request runs and after it has ended, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, make_repository

FILES = {
    "shop/__init__.py": "",
    "shop/money.py": "def rounded(cents):\n    return round(cents)\n",
    "shop/cart.py": (
        "from shop.money import rounded\n\n\ndef total(items):\n    return rounded(sum(items) - 1)\n"
    ),
    "shop/shelves.py": "def shelf_label(row):\n    return str(row).lower()\n",
    "tests/test_cart.py": (
        "from shop.cart import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    ),
    "AGENTS.md": "# Style\n\n- Prefer short functions.\n",
}
WRONG = "```python\ndef total(items):\n    return rounded(sum(items) - 2)\n```"
RIGHT = "```python\ndef total(items):\n    return rounded(sum(items))\n```"


def _plain(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"role": one["role"], "content": one["content"]} for one in messages]


def test_prompts_of_a_request(scripted: Callable[..., tuple[Daemon, ScriptedModel]], tmp_path: Path) -> None:
    rules = [{"match": "def total", "reply": WRONG, "times": 1}, {"match": "def total", "reply": RIGHT}]
    rules.append({"match": "def rounded", "reply": "That function is right."})
    daemon, model = scripted(rules)
    repository = make_repository(tmp_path / "shop", FILES)
    daemon.start()
    daemon.drop(
        "sum", {"user_request": "Fix the failing test", "workspace": str(repository), "kind": "bugfix"}
    )
    result = daemon.result("sum")
    assert result["status"] == "succeeded", result
    shown = json.loads(
        daemon.swarmd("--json", "task", "show", "sum", "--prompt", "--task", "task-001").stdout
    )
    (call,) = shown["prompts"][-1]["calls"]
    sent = next(sent for sent in model.calls if sent.get("seed") == call["seed"])
    assert sent["messages"] == _plain(call["messages"])
    assert (call["reply"], call["temperature"]) == (RIGHT, sent["temperature"])
    assert call["usage"]["prompt_tokens"] > 0
    prompt = call["messages"][-1]["content"]
    assert "Signatures in shop/money.py:\n```python\ndef rounded(cents): ..." in prompt
    assert "Conventions of this project (data):\n```\n- Prefer short functions.\n```" in prompt
    assert "shelf_label" not in prompt, "the failing test says where; no map is needed"
    first = daemon.swarmd("task", "show", "sum", "--prompt", "--attempt", "1", "--sample", "1").stdout
    assert "return rounded(sum(items) - 2)" in first
    logs = [path.read_text() for path in (daemon.home / "logs").rglob("*.jsonl")]
    assert not any("Conventions of this project" in text for text in logs), "no prompt in the log"
