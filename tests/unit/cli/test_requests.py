"""Giving work and looking at it, from the files that the daemon leaves."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmd.audit.chain import Chain
from swarmd.bus import outbox
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.progress import fold
from swarmd.cli.request_text import exit_code
from swarmd.home import Home
from swarmd.messages import (
    AcceptedRequest,
    AuditPoint,
    ErrorInfo,
    GateCounts,
    GateResult,
    Request,
    Result,
    TaskResult,
    dump,
    load,
)

from .conftest import Run

TESTS = GateResult(
    gate="tests",
    argv=["pytest"],
    ok=True,
    exit_code=0,
    seconds=1.5,
    counts=GateCounts(collected=41, passed=41),
    sandbox_level="bwrap",
)
TASK = TaskResult(
    task_id="task-001",
    agent_type="coding",
    action="fix",
    status="succeeded",
    attempts=2,
    samples=3,
    tier="fast",
    gates=[TESTS],
)
RESULT = Result(
    request_id="login",
    status="succeeded",
    summary="Fixed the login.",
    workspace="/src/shop",
    branch="swarm/login",
    base_commit="a" * 40,
    commit="b" * 40,
    patch="login.patch",
    tasks=[TASK],
    tokens={"local": 1234, "cloud": 0},
    cost_micro_usd={"local": 0, "cloud": 0},
    seconds=12.34,
    audit=AuditPoint(log="master.jsonl", seq=1, hash="0" * 64),
    finished_at="2026-11-21T14:03:22.000Z",
)
PATCH = b"--- a/auth.py\n+++ b/auth.py\n@@ -1 +1 @@\n-old\n+new \x1b[31m\n"


def accept(home: Home, request_id: str, folder: Path, **fields: Any) -> None:
    folder.mkdir(parents=True)
    request = AcceptedRequest(
        user_request="Fix the login",
        request_id=request_id,
        priority="high",
        received_at="2026-11-21T14:00:00.000Z",
        source_name=f"{request_id}.json",
        content_sha256="0" * 64,
        **fields,
    )
    (folder / "request.json").write_bytes(dump(request))


def end(home: Home, result: Result = RESULT) -> None:
    """A request that has ended, as the daemon leaves it."""
    folder = home.done / "2026-11-21" / result.request_id
    accept(home, result.request_id, folder)
    (folder / "login.patch").write_bytes(PATCH)
    outbox.write(home, result)


def begin(home: Home, request_id: str) -> None:
    """A request that is worked on."""
    accept(home, request_id, home.request_folder(request_id))
    ids = {"request_id": request_id, "task_id": "task-001"}
    Chain(home.master_log, "1/2").append(
        [
            {"event": "request_received", "request_id": request_id},
            {"event": "plan_created", "request_id": request_id},
            {"event": "task_created", **ids, "data": {"agent_type": "coding", "action": "fix auth.py"}},
            {"event": "task_created", **ids, "task_id": "task-002", "data": {"agent_type": "docs"}},
            {"event": "task_assigned", **ids, "actor": "coding.1", "tier": "fast", "attempt": 1, "data": {}},
        ]
    )


def dropped(home: Home, priority: str = "normal") -> Request:
    (path,) = (home.inbox / priority).iterdir()
    return load(Request, path.read_bytes())


# --- task add


def test_add_drops_a_request_and_prints_its_id(run: Run, home: Home, tmp_path: Path) -> None:
    words = [
        "--workspace",
        str(tmp_path),
        "--kind",
        "bugfix",
        "--file",
        "a.py",
        "--file",
        "b.py",
        "--id",
        "login",
    ]
    ran = run("task", "add", "Fix it", "--priority", "high", *words)
    assert (ran.code, ran.out) == (0, "login\n")
    request = dropped(home, "high")
    assert request.user_request == "Fix it"
    assert request.workspace == str(tmp_path)
    assert (request.kind, request.files, request.request_id) == ("bugfix", ["a.py", "b.py"], "login")


def test_add_takes_the_text_from_standard_input(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Größer machen\n".encode())))
    assert run("task", "add", "-").code == 0
    assert dropped(home).user_request == "Größer machen"


def test_add_takes_a_request_file_and_options_win(run: Run, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"user_request": "Fix it", "kind": "docs", "tier": "deep"}))
    assert run("task", "add", "-f", str(path), "--kind", "bugfix").code == 0
    assert (dropped(home).kind, dropped(home).tier) == ("bugfix", "deep")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "E-REQUEST"),
        ("[]", "E-REQUEST"),
        ('{"user_request": 3}', "E-REQUEST-VALUE"),
        ('{"wish": "x"}', "E-REQUEST"),
    ],
)
def test_add_refuses_a_bad_request_file_and_drops_nothing(
    run: Run, home: Home, tmp_path: Path, content: str, code: str
) -> None:
    path = tmp_path / "request.json"
    path.write_text(content)
    ran = run("task", "add", "-f", str(path), "--json")
    assert ran.code == ExitCode.USAGE
    assert ran.error["code"].startswith(code)
    assert list((home.inbox / "normal").iterdir()) == []


@pytest.mark.parametrize("words", [(), ("x", "-f", "/dev/null"), ("  ",)])
def test_add_wants_exactly_one_request(run: Run, home: Home, words: tuple[str, ...]) -> None:
    assert run("task", "add", *words).code == ExitCode.USAGE


def test_add_and_wait_without_a_daemon_drops_nothing(run: Run, home: Home) -> None:
    ran = run("task", "add", "Fix it", "--wait", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.DAEMON_DOWN, "E-DAEMON-DOWN")
    assert list((home.inbox / "normal").iterdir()) == []


# --- task list, show, watch, cancel, status


def test_list_shows_what_waits_runs_and_has_ended(run: Run, home: Home) -> None:
    end(home)
    begin(home, "search")
    run("task", "add", "Later", "--id", "later")
    rows = [line.split()[:4] for line in run("task", "list").out.splitlines()[1:]]
    assert rows == [
        ["login", "succeeded", "high", "1/1"],
        ["search", "running", "high", "0/2"],
        ["later", "waiting", "normal", "-"],
    ]
    states = {
        request["request_id"]: request["state"]
        for request in run("task", "list", "--json").document["requests"]
    }
    assert states == {"login": "succeeded", "search": "running", "later": "waiting"}


def test_show_tells_everything_about_a_result(run: Run, home: Home) -> None:
    end(home, RESULT.model_copy(update={"warnings": ["the tree was dirty"], "warrants": ["deploy-1"]}))
    out = run("task", "show", "login").out
    assert "succeeded  login  12.3 s" in out
    assert "swarm/login in /src/shop" in out
    assert "fast, 2 attempts, 3 samples  tests 41/41 ok (bwrap)" in out
    assert "1,234 local, 0 cloud; 0.0000 USD" in out
    assert "warning: the tree was dirty" in out
    assert "waits for you: council/warrants/pending/deploy-1.json" in out
    assert f"next: git -C /src/shop diff {'a' * 12}..swarm/login" in out


def test_show_tells_why_a_request_failed(run: Run, home: Home) -> None:
    error = ErrorInfo(
        code="E-TASK-FAILED", message="task-001: no\x1b[2Jgreen sample", hint="Try a larger model."
    )
    end(home, RESULT.model_copy(update={"status": "failed", "branch": None, "error": error}))
    out = run("task", "show", "login").out
    assert "error[E-TASK-FAILED]: task-001: nogreen sample" in out
    assert "hint: Try a larger model." in out
    assert "next: swarmd log --task login" in out
    assert "\x1b" not in out


def test_show_tells_how_far_an_active_request_is(run: Run, home: Home) -> None:
    begin(home, "search")
    out = run("task", "show", "search").out
    assert "running  search  0/2 tasks" in out
    assert "task-001  coding  running  fast attempt 1  coding.1  fix auth.py" in out
    document = run("task", "show", "search", "--json").document
    assert [task["status"] for task in document["tasks"]] == ["running", "pending"]


def test_show_diff_is_the_patch_byte_for_byte_in_a_pipe(
    capsysbinary: pytest.CaptureFixture[bytes], home: Home
) -> None:
    from swarmd.cli import main

    end(home)
    assert main(["task", "show", "login", "--diff"]) == 0
    sys.stdout.flush()
    assert capsysbinary.readouterr().out == PATCH


def test_show_diff_for_people_is_coloured_and_harmless(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    end(home)
    assert run("task", "show", "login", "--diff").out.splitlines() == [
        "--- a/auth.py",
        "+++ b/auth.py",
        "\x1b[36m@@ -1 +1 @@\x1b[0m",
        "\x1b[31m-old\x1b[0m",
        "\x1b[32m+new \x1b[0m",
    ]


def test_show_diff_says_pending_or_why_there_is_none(run: Run, home: Home) -> None:
    begin(home, "search")
    assert run("task", "show", "search", "--diff").code == ExitCode.PENDING
    end(home, RESULT.model_copy(update={"status": "failed", "patch": None}))
    assert run("task", "show", "login", "--diff", "--json").error["code"] == "E-NO-PATCH"


def test_a_patch_name_cannot_point_outside_the_folder(run: Run, home: Home) -> None:
    (home.root / "secret").write_text("hidden")
    end(home, RESULT.model_copy(update={"patch": "../../../../secret"}))
    ran = run("task", "show", "login", "--diff", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.FAILED, "E-NO-PATCH")


@pytest.mark.parametrize("words", [("show",), ("watch",), ("cancel",)])
def test_an_unknown_request_is_told_with_the_nearest_names(
    run: Run, home: Home, words: tuple[str, ...]
) -> None:
    end(home)
    ran = run("task", *words, "logn", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-REQUEST-UNKNOWN")
    assert "login" in ran.error["hint"]


@pytest.mark.parametrize(
    ("status", "words", "code"), [("succeeded", (), 0), ("failed", (), 0), ("failed", ("--exit-status",), 1)]
)
def test_watch_shows_an_ended_request_at_once(
    run: Run, home: Home, status: str, words: tuple[str, ...], code: int
) -> None:
    end(home, RESULT.model_copy(update={"status": status}))
    Chain(home.master_log, "1/2").append(
        [
            {"event": "task_assigned", "request_id": "login"},
            {"event": "task_complete", "request_id": "login"},
            {"event": "task_complete", "request_id": "other"},
        ]
    )
    ran = run("task", "watch", "login", *words)
    assert ran.code == code
    assert ran.out.count("task_complete") == 1
    assert "task_assigned" in ran.out
    assert f"{status}  login" in ran.out
    compact = run("task", "watch", "login", "--compact", "--json").out.splitlines()
    assert [json.loads(line)["event"] for line in compact] == ["task_complete"]


def test_watch_without_a_daemon_does_not_wait_for_ever(run: Run, home: Home) -> None:
    begin(home, "search")
    assert run("task", "watch", "search").code == ExitCode.DAEMON_DOWN


def test_cancel_of_an_ended_request_changes_nothing(run: Run, home: Home) -> None:
    end(home)
    assert run("task", "cancel", "login").code == ExitCode.FAILED
    assert list(home.control.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "warrants", "code"),
    [
        ("succeeded", [], 0),
        ("succeeded", ["x"], 0),
        ("failed", [], 1),
        ("failed", ["x"], 4),
        ("cancelled", [], 1),
    ],
)
def test_exit_code_of_a_result(status: str, warrants: list[str], code: int) -> None:
    assert exit_code(RESULT.model_copy(update={"status": status, "warrants": warrants})) == code


def test_progress_survives_lines_that_are_not_what_they_should_be() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"request_id": ["x"]},
        {"request_id": "a", "event": None, "data": 3},
        {"request_id": "a", "task_id": 7, "event": "task_created"},
        {"request_id": "a", "task_id": "t", "event": "task_created", "data": None},
        {"request_id": "a", "task_id": "t", "event": "task_abort", "status": "skipped"},
        {"request_id": "a", "event": "warrant_requested", "data": {"warrant": "w"}},
    ]
    progress = fold(odd, ["a"])["a"]
    assert (str(progress), progress.tasks["t"].status, progress.warrants) == ("1/1", "skipped", ["w"])
