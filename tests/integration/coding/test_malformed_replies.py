"""Every collected malformed reply through the coding role, on real files: one patch of one file, or none."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmd.agents.roles import RoleContext, coding
from swarmd.agents.spec import load_type
from swarmd.errors import ModelError
from swarmd.home import seed_folder
from swarmd.messages import ChatCall, ChatReply, Order, Packet, Survey, Usage, dump
from swarmd.workspace.parsing import parse
from swarmd.workspace.patch import apply

FOLDER = Path(__file__).parents[2] / "unit" / "coding" / "replies"
TASKS = {task["id"]: task for task in tomllib.loads((FOLDER / "tasks.toml").read_text())["task"]}
LEAST_SAVED = 0.8
"""Less than what the reading alone saves: here the role itself chooses target and form."""
BESIDE = {"other.py": "def slugify(title):\n    return title\n", "etc/passwd": "root\n", "README": "x\n"}
"""What must stay as it is."""


def replies() -> Iterator[Mapping[str, Any]]:
    for path in sorted(FOLDER.glob("*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


def context(folder: Path, task: Mapping[str, Any], reply: Mapping[str, Any]) -> RoleContext:
    """An order for ``task`` in a project in ``folder``, whose model always answers ``reply``."""
    packet = Packet(
        packet_id="pkt-r-1",
        task_id="task-001",
        request_id="r",
        agent_type="coding",
        action=task["action"],
        files_owned=[task["path"]],
    )
    order = {
        "order_id": "o1",
        "packet": packet,
        "epoch": 1,
        "user_request": task["action"],
        "snapshot": str(folder / "project"),
        "survey": str(folder / "survey.json"),
        "attempt": 1,
        "sample": 1,
        "tier": "fast",
        "temperature": 0.0,
        "seed": 1,
        "max_tokens": 700,
        "context_tokens": 3000,
    }
    answer = {"text": reply["reply"], "model": "m", "provider": "scripted", "usage": Usage(), "latency_ms": 1}

    def ask_all(calls: Sequence[ChatCall]) -> list[ChatReply | ModelError]:
        whole = answer | {"finish": "length" if reply["cut"] else "stop"}
        return [ChatReply.model_validate(whole) for _ in calls]

    return RoleContext(
        order=Order.model_validate(order),
        agent_type=load_type(seed_folder() / "agents" / "coding"),
        ask_all=ask_all,
        beat=lambda doing: None,
        snapshot=folder / "project",
    )


def make_project(folder: Path, task: Mapping[str, Any]) -> Path:
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    files = BESIDE | ({task["path"]: task["source"].lstrip("\n")} if "source" in task else {})
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    survey = Survey(
        request_id="r", workspace=str(project), base_commit="0", base_name="main", files=sorted(files)
    )
    (folder / "survey.json").write_bytes(dump(survey))
    return project


def test_every_reply_ends_in_a_patch_of_the_target_or_in_a_reason(tmp_path: Path) -> None:
    kinds: Counter[tuple[str, str]] = Counter()
    for reply in replies():
        task = TASKS[reply["task"]]
        project = make_project(tmp_path, task)
        proposal = coding.run(context(tmp_path, task, reply))
        kinds[reply["label"], proposal.kind] += 1
        if proposal.kind == "none":
            assert proposal.failure is not None, reply["id"]
            continue
        parsed = parse(proposal.patch, max_lines=300)
        assert parsed.paths == [task["path"]], reply["id"]
        apply(parsed, project)
        assert {path: (project / path).read_text() for path in BESIDE} == BESIDE, reply["id"]
        found = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
        assert found == {*BESIDE, task["path"]}, reply["id"]
    saved, not_saved = kinds["recoverable", "patch"], kinds["recoverable", "none"]
    assert saved >= LEAST_SAVED * (saved + not_saved), kinds
