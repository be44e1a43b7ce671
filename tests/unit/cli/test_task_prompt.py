"""``task show --prompt``, from the files that the daemon leaves."""

import json
import os
from pathlib import Path

import pytest

from swarmd.cli.exit_codes import ExitCode
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, CallRecord, ChatMessage, Transcript, Usage, dump

from .conftest import Run


def transcript(attempt: int, sample: int, *, task: str = "task-001", text: str = "Mend it") -> Transcript:
    call = CallRecord(
        purpose="edit",
        tier="fast",
        model="small",
        provider="embedded",
        temperature=0.7,
        seed=42,
        max_tokens=700,
        messages=[ChatMessage(role="system", content="Edit."), ChatMessage(role="user", content=text)],
        reply=f"reply {attempt}.{sample}",
        finish="stop",
        usage=Usage(prompt_tokens=81, completion_tokens=7, cached_tokens=60, calls=1),
        latency_ms=1500,
    )
    return Transcript(
        order_id=f"pkt-login-1.a{attempt}.s{sample}.e1",
        request_id="login",
        task_id=task,
        agent_id="coding.1",
        attempt=attempt,
        sample=sample,
        tier="fast",
        calls=[call],
    )


@pytest.fixture(params=["active", "done"])
def folder(home: Home, request: pytest.FixtureRequest) -> Path:
    """The request's folder, while it is worked on and after it has ended."""
    made = home.request_folder("login") if request.param == "active" else home.done / "2026-01-02" / "login"
    made.mkdir(parents=True)
    accepted = AcceptedRequest(
        user_request="Mend it", request_id="login", received_at="t", source_name="", content_sha256=""
    )
    (made / "request.json").write_bytes(dump(accepted))
    (made / "transcripts").mkdir()
    return made


def keep(folder: Path, *transcripts: Transcript) -> None:
    for age, one in enumerate(transcripts):
        path = folder / "transcripts" / f"{one.order_id}.json"
        path.write_bytes(dump(one))
        os.utime(path, (1000 + age, 1000 + age))


def test_the_last_sample_is_shown_word_by_word(run: Run, folder: Path) -> None:
    keep(folder, transcript(1, 1), transcript(1, 2, text="Mend it\n\tat once"))
    ran = run("task", "show", "login", "--prompt")
    assert ran.code == ExitCode.OK
    assert ran.out.splitlines() == [
        "task-001  attempt 1.2  fast  by coding.1",
        "call 1 of 1: edit, model small, provider embedded, temperature 0.7, seed 42, max_tokens 700,"
        " tokens 81 in (60 cached), 7 out, finish stop, 1.5 s",
        "--- system",
        "Edit.",
        "--- user",
        "Mend it",
        "    at once",
        "--- reply",
        "reply 1.2",
    ]
    assert "others: --task task-001 --attempt 1 --sample 1" in ran.err


def test_samples_are_chosen_by_task_attempt_and_sample(run: Run, folder: Path) -> None:
    keep(folder, transcript(1, 1), transcript(1, 2), transcript(2, 1), transcript(3, 1, task="task-002"))

    def replies(*words: str) -> list[str]:
        document = run("--json", "task", "show", "login", "--prompt", *words).document
        return [one["calls"][0]["reply"] for one in document["prompts"]]

    assert replies("--attempt", "1") == ["reply 1.1", "reply 1.2"]
    assert replies("--attempt", "1", "--sample", "2") == ["reply 1.2"]
    assert replies("--task", "task-002") == ["reply 3.1"]
    assert replies() == ["reply 3.1"]


def test_a_sample_that_is_not_there(run: Run, folder: Path) -> None:
    keep(folder, transcript(1, 1))
    ran = run("--json", "task", "show", "login", "--prompt", "--attempt", "4")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-NO-PROMPT")
    assert "--task task-001 --attempt 1 --sample 1" in ran.error["hint"]


def test_nothing_is_kept(run: Run, folder: Path) -> None:
    (folder / "transcripts" / "broken.json").write_text("{")
    ran = run("--json", "task", "show", "login", "--prompt")
    assert (ran.code, ran.error["code"]) == (ExitCode.FAILED, "E-NO-PROMPT")


def test_choosing_is_for_prompts(run: Run, folder: Path) -> None:
    ran = run("task", "show", "login", "--attempt", "1")
    assert ran.code == ExitCode.USAGE
    assert "--prompt" in ran.err


def test_what_a_model_said_cannot_move_the_cursor(run: Run, folder: Path) -> None:
    keep(folder, transcript(1, 1, text="a\x1b[2Jb\rc\u202ed"))
    out = run("task", "show", "login", "--prompt").out
    assert "\x1b" not in out
    assert "\u202e" not in out
    raw = run("--json", "task", "show", "login", "--prompt").document
    assert json.dumps("a\x1b[2Jb\rc\u202ed") in json.dumps(raw)
