"""Tasks of one request that are green alone and red together: they end green, or the request fails."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, git, make_repository

FILES = {
    "size.py": 'def limit():\n    """The most that fits."""\n    return 10\n',
    "rule.py": 'def need():\n    """What is needed at least."""\n    return 5\n',
    "label.py": 'def label():\n    """What it is called."""\n    return "box"\n',
    "tests/test_box.py": "from rule import need\nfrom size import limit\n\n\n"
    "def test_what_is_needed_fits():\n    assert need() <= limit(), 'it does not fit'\n",
    "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\npythonpath = ["."]\n',
}
REQUEST = (
    "Make limit() in size.py return less, need() in rule.py return more, label() in label.py return crate."
)
GOALS = {
    "size.py": "Let limit() return less",
    "rule.py": "Let need() return more",
    "label.py": "Let label() return crate",
}


def code(name: str, value: str) -> str:
    doc = next(text for text in FILES.values() if f"def {name}" in text).split('"""')[1]
    return f'```python\ndef {name}():\n    """{doc}"""\n    return {value}\n```'


def rules(*, learns: bool) -> list[dict[str, Any]]:
    """A model that is right about each file alone. Told that they do not fit together, it changes the one
    that came second, if it ``learns``."""
    packets = [
        {"id": number, "type": "coding", "goal": goal, "files": [path], "depends_on": []}
        for number, (path, goal) in enumerate(GOALS.items(), 1)
    ]
    return [
        {"match": "commit message", "reply": "Change the box"},
        {"match": '"?verdict"?', "reply": '{"verdict": "ok", "quote": "", "reason": ""}'},
        {"match": r"From rule\.py.*went wrong", "reply": code("need", "7" if learns else "9")},
        {"match": r"From size\.py.*went wrong", "reply": code("limit", "9" if learns else "8")},
        {"match": r"From size\.py", "reply": code("limit", "8")},
        {"match": r"From rule\.py", "reply": code("need", "9")},
        {"match": r"From label\.py", "reply": code("label", '"crate"')},
        {"match": "", "reply": json.dumps({"packets": packets})},
    ]


@pytest.mark.parametrize("learns", [True, False])
def test_what_is_red_together_is_never_delivered(
    scripted: Callable[..., tuple[Daemon, ScriptedModel]], tmp_path: Path, learns: bool
) -> None:
    daemon, _ = scripted(rules(learns=learns))
    box = make_repository(tmp_path / "box", FILES)
    daemon.start()
    daemon.drop("box", {"user_request": REQUEST, "workspace": str(box), "kind": "feature"})
    result = daemon.result("box", 120)
    tasks = [line for line in daemon.events("task_assigned") if line["data"]["agent_type"] == "coding"]
    assert len({line["task_id"] for line in tasks}) == 3, daemon.tail()
    assert daemon.events("verification_fail"), "they would have been red together"
    if learns:
        assert result["status"] == "unconfirmed", "nothing but the model says that it is what was asked"
        values = {
            name: int(re.findall(r"return (\d+)", git(box, "show", f"{result['branch']}:{name}"))[0])
            for name in ("rule.py", "size.py")
        }
        assert values["rule.py"] <= values["size.py"]
        assert values != {"rule.py": 5, "size.py": 10}
    else:
        assert result["status"] == "failed"
        assert result["branch"] is None
