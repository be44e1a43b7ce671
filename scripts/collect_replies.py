"""Collects malformed replies of small models, as the fixture in tests/unit/coding/replies.

Each reply is an answer to one of the tasks in tasks.toml, asked in one of the styles below: as swarmd
itself asks, in its three forms, and as people ask who do not say how to answer. A reply that is exactly
what was asked for is not kept. Labels are not given here: see the README beside the tasks.

    python scripts/collect_replies.py --weights FILE.gguf --half A --count 90 --output FILE.jsonl

Run it again with the same output to go on: what was drawn already is not drawn again. A reply takes 5 to
30 seconds on 2 cores.
"""

from __future__ import annotations

import argparse
import ast
import html
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from swarmd.coding import prompts
from swarmd.coding.context import fence, strip_comments
from swarmd.coding.evidence import Evidence
from swarmd.coding.target import Target
from swarmd.messages import TestFailure

ROOT = Path(__file__).resolve().parents[1]
TASKS = ROOT / "tests" / "unit" / "coding" / "replies" / "tasks.toml"
MAX_TOKENS = (120, 160, 200)
TEMPERATURES = (0.8, 1.0, 1.2)
SLOTS = 4
CONTEXT = 1536
IN_A_ROW = 4
START_SECONDS = 120
REPLY_SECONDS = 3600
SEARCH_FORM = (
    "Answer with the edit in this form, the SEARCH lines copied from the file:\n"
    "<<<<<<< SEARCH\nold lines\n=======\nnew lines\n>>>>>>> REPLACE"
)
SMALL_REPLY = 60
"""A reply limit that makes swarmd ask for search/replace blocks instead of a whole file, in tokens."""
STYLES = (
    "direct", "direct", "explain", "anew", "blocks", "whole", "bare", "fix it", "numbered", "session",
    "escaped", "diff", "lines", "steps", "comment", "test too",
)  # fmt: skip

Task = dict[str, Any]
Ask = Callable[[Task], dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--half", choices=["A", "B"], required=True)
    parser.add_argument("--count", type=int, default=90, help="malformed replies in the output at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="1 is faster on a machine that is busy")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(argv)
    tasks = [task for task in tomllib.loads(TASKS.read_text())["task"] if task["half"] == options.half]
    done = options.output.read_text().splitlines() if options.output.exists() else []
    records = [json.loads(line) for line in done]
    drawn = {record["seed"] for record in records}
    draws = _draws(tasks, random.Random(f"{options.seed}{options.half}"))  # noqa: S311
    wanted = options.count - sum(not record["clean"] for record in records)
    with _engine(options.weights, options.threads) as ask, options.output.open("a") as output:
        _collect(ask, (draw for draw in draws if draw["seed"] not in drawn), wanted, output)
    return 0


def _collect(ask: Ask, draws: Iterator[Task], wanted: int, output: TextIO) -> None:
    """Write records until ``wanted`` of them are malformed, all slots busy until then."""
    kept = 0
    with ThreadPoolExecutor(SLOTS) as pool:
        pending: set[Future[dict[str, Any]]] = set()
        while kept < wanted:
            pending |= {pool.submit(ask, next(draws)) for _ in range(SLOTS - len(pending))}
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for one in finished:
                kept += not one.result()["clean"]
                output.write(json.dumps(one.result(), ensure_ascii=False) + "\n")
            output.flush()
            print(f"{kept} of {wanted}", flush=True)
        for one in pending:  # asked already
            output.write(json.dumps(one.result(), ensure_ascii=False) + "\n")


def _draws(tasks: Sequence[Task], chance: random.Random) -> Iterator[Task]:
    """What to ask, without end; the same for the same seed."""
    number = 0
    while True:
        # Prompts for one task begin alike, and the engine reads what they share once.
        for task in (task for task in chance.sample(tasks, len(tasks)) for _ in range(IN_A_ROW)):
            number += 1
            style = chance.choice([style for style in STYLES if _suits(style, task)])
            yield {
                "task": task,
                "style": style,
                "temperature": chance.choice(TEMPERATURES),
                "max_tokens": chance.choice(MAX_TOKENS),
                "seed": number,
            }


def _suits(style: str, task: Task) -> bool:
    is_python = task["path"].endswith(".py")
    if style in ("explain", "session"):
        return is_python and "source" in task and task.get("form") is None
    if style == "anew":
        return "test" in task
    if style in ("blocks", "numbered", "escaped", "diff", "lines"):
        return "source" in task
    return style != "test too" or is_python


def messages(task: Task, style: str) -> list[dict[str, str]]:
    """The prompt of ``task`` in ``style``."""
    system = strip_comments((ROOT / "agents" / "coding" / "prompt.md").read_text())
    if style in ("direct", "explain", "anew"):
        brief = prompts.build(
            system,
            prompts.Task(task["action"], task["action"], _target(task), evidence=_evidence(task)),
            1,
            budget=3000,
            reply=SMALL_REPLY if task.get("form") == "replace" else 1000,
            way=cast("prompts.Framing", style),
        )
        return [{"role": turn.role, "content": turn.content} for turn in brief.prompt.messages]
    return [{"role": "system", "content": system}] * (style in ("blocks", "whole")) + [
        {"role": "user", "content": _spoken(task, style)}
    ]


def _target(task: Task) -> Target:
    choices = (tuple(task["replaces"]),) if task.get("replaces") else ()
    return Target(
        task["path"], _source(task), choices, tuple(task.get("adds", ())), names=tuple(task.get("names", ()))
    )


def _source(task: Task) -> str | None:
    return task["source"].lstrip("\n") if "source" in task else None


def _evidence(task: Task) -> tuple[Evidence, ...]:
    if "test" not in task:
        return ()
    failure = TestFailure(test_id="test_it", message=task["output"])
    return (Evidence(failure, code=task["test"].strip("\n")),)


def _spoken(task: Task, style: str) -> str:
    """The task in a user's words; "blocks" and "whole" name a form."""
    source, path, action = _source(task) or "", task["path"], task["action"]
    language = "" if style in ("bare", "fix it") else Path(path).suffix[1:]
    code = fence(source, language)
    if style == "numbered":
        code = "\n".join(f"{number:>3} | {line}" for number, line in enumerate(source.split("\n"), 1))
    elif style == "session":
        lines = source.rstrip("\n").split("\n")
        code = "\n".join(("... " if line[:1] in (" ", "") else ">>> ") + line for line in lines)
    elif style == "escaped":
        code = f"<pre><code>{html.escape(source)}</code></pre>"
    elif style in ("bare", "fix it"):
        code = source
    shown = f"{path}\n{code}\n\n" if source else ""
    last = {
        "blocks": f"{action}\n\n{SEARCH_FORM}",
        "whole": f"{action}\n\nWrite the complete new text of {path} in one block, and nothing else.",
        "fix it": f"fix it: {action}",
        "diff": f"{action} Answer with a diff.",
        "lines": f"{action} Only show the lines that change.",
        "steps": f"{action} Think step by step and explain what you do.",
        "comment": f"{action} Comment the code well.",
        "test too": f"{action} Write a test too.",
    }
    return f"{shown}{last.get(style, action)}"


@contextmanager
def _engine(weights: Path, threads: int) -> Iterator[Ask]:
    """A function that asks an engine of its own for what was drawn."""
    with tempfile.TemporaryDirectory(prefix="replies") as folder:
        socket = Path(folder) / "m.sock"
        command = [sys.executable, "-P", "-m", "swarmd.models.engine", "--weights", str(weights)]
        command += ["--socket", str(socket), "--alias", "m", "--parent", str(os.getpid())]
        command += ["--context", str(CONTEXT), "--parallel", str(SLOTS), "--threads", str(threads)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        transport = httpx.HTTPTransport(uds=str(socket))
        try:
            with httpx.Client(transport=transport, timeout=REPLY_SECONDS, base_url="http://engine") as client:
                _wait_for(client)
                yield lambda draw: _ask(client, weights, draw)
        finally:
            process.terminate()
            process.wait()


def _wait_for(client: httpx.Client) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            if client.get("/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("The engine does not start.")


def _ask(client: httpx.Client, weights: Path, draw: Task) -> dict[str, Any]:
    task, asked = draw["task"], {name: draw[name] for name in ("temperature", "max_tokens", "seed")}
    body = {"messages": messages(task, draw["style"]), **asked}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    reply, cut = choice["message"]["content"] or "", choice["finish_reason"] == "length"
    size = re.search(r"\d+(?:\.\d+)?b", weights.name)
    return {
        "model": size[0] if size else weights.stem,
        "task": task["id"],
        "style": draw["style"],
        **asked,
        "cut": cut,
        "clean": not cut and is_clean(reply, task, draw["style"]),
        "reply": reply,
    }


def is_clean(reply: str, task: Task, style: str) -> bool:
    """True for exactly one fenced block of what was asked for, or exact search/replace blocks."""
    source = _source(task) or ""
    if style == "blocks" or (style == "direct" and task.get("form") == "replace"):
        form = r"<{7} SEARCH\n(.*?)\n={7}\n(.*?)\n>{7} REPLACE"
        rest = re.sub(form, "", reply.strip(), flags=re.DOTALL).strip()
        edits = re.findall(form, reply, flags=re.DOTALL)
        return bool(edits) and not rest and all(search in source for search, _ in edits)
    match = re.fullmatch(r"```\w*\n(.*?)\n```", reply.strip(), re.DOTALL)
    if match is None or "```" in match[1] or re.search(r"^\s*(?:#|//|<!--) *(?:\.\.\.|rest)", match[1], re.M):
        return False
    return not task["path"].endswith(".py") or _is_asked_code(match[1], task)


def _is_asked_code(code: str, task: Task) -> bool:
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    if task.get("form") in ("file", "replace"):
        return True
    wanted = {*task.get("replaces", ()), *task.get("adds", ())}
    names: list[str] = []
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name not in wanted:
            names += [f"{node.name}.{getattr(child, 'name', '')}" for child in node.body]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            return False
    return sorted(names) in (sorted(wanted), sorted(name.rpartition(".")[2] for name in wanted))


if __name__ == "__main__":
    sys.exit(main())
