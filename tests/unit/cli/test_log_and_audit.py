"""``swarmd log``, ``swarmd audit verify`` and ``swarmd bus dead``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from swarmd.audit.chain import Chain
from swarmd.bus import deadletter
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.log_filter import LogFilter, moment
from swarmd.errors import RequestError, UsageError
from swarmd.home import Home

from .conftest import Run

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


@pytest.fixture
def log(home: Home) -> Path:
    lines: list[dict[str, Any]] = [
        {"event": "daemon_started", "level": "info", "actor": "master"},
        {
            "event": "task_created",
            "level": "info",
            "actor": "master",
            "request_id": "login",
            "task_id": "task-001",
        },
        {"event": "model_call_start", "level": "debug", "actor": "coding.1", "request_id": "login"},
        {
            "event": "verification_fail",
            "level": "warning",
            "actor": "verifier.1",
            "data": {"agent_type": "coding"},
        },
        {
            "event": "task_abort",
            "level": "error",
            "actor": "coding.10",
            "request_id": "other",
            "task_id": "task-001",
        },
    ]
    stamps = [(NOW - timedelta(minutes=10 * (5 - n))).isoformat() for n in range(5)]
    chain = Chain(home.master_log, "1/2")
    chain.append([{"ts": ts, **line} for ts, line in zip(stamps, lines, strict=True)])
    chain.close()
    return home.master_log


def events(run: Run, *words: str) -> list[str]:
    return [json.loads(line)["event"] for line in run("log", "--json", *words).out.splitlines()]


def test_log_for_people_leaves_debug_lines_out(run: Run, log: Path) -> None:
    out = run("log").out
    assert len(out.splitlines()) == 4
    assert "model_call_start" not in out
    assert "model_call_start" in run("log", "-v").out


def test_log_as_json_is_the_log_itself(run: Run, log: Path) -> None:
    assert run("log", "--json").out == log.read_text()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--task", "login"), ["task_created", "model_call_start"]),
        (("--task", "login/task-001"), ["task_created"]),
        (("--task", "task-001"), ["task_created", "task_abort"]),
        (("--agent", "coding"), ["model_call_start", "verification_fail", "task_abort"]),
        (("--agent", "coding.1"), ["model_call_start"]),
        (("--level", "warning"), ["verification_fail", "task_abort"]),
        (("--tail", "2"), ["verification_fail", "task_abort"]),
        (("--tail", "1", "--task", "login"), ["model_call_start"]),
        (("--tail", "0"), []),
        (("--since", (NOW - timedelta(minutes=25)).isoformat()), ["verification_fail", "task_abort"]),
        (("--since", "2099-01-01T00:00Z"), []),
    ],
)
def test_log_filters(run: Run, log: Path, words: tuple[str, ...], shown: list[str]) -> None:
    assert events(run, *words) == shown


def test_log_of_an_agent_type(run: Run, home: Home) -> None:
    Chain(home.agent_log("coding"), "1/2").append([{"event": "agent_ready", "level": "info"}])
    assert events(run, "--log", "agents/coding") == ["agent_ready"]
    ran = run("log", "--log", "../../etc/passwd", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-USAGE")
    assert "agents/coding" in ran.error["hint"]


@pytest.fixture
def rotated(log: Path) -> Path:
    """The same lines and two more, in three segments."""
    chain = Chain(log, "1/2")
    for n in range(2):
        chain.rotate(NOW.isoformat())
        chain.append([{"ts": NOW.isoformat(), "event": f"later_{n}", "level": "info", "actor": "master"}])
    chain.close()
    return log


def test_log_goes_over_all_segments(run: Run, rotated: Path) -> None:
    assert events(run, "--level", "info")[-3:] == ["task_abort", "later_0", "later_1"]
    assert len(events(run)) == 5 + 4
    assert len(run("log").out.splitlines()) == 4 + 2
    assert events(run, "--tail", "3", "--level", "info") == ["task_abort", "later_0", "later_1"]
    assert events(run, "--tail", "2", "--agent", "coding") == ["verification_fail", "task_abort"]
    since = (NOW - timedelta(minutes=15)).isoformat()
    assert events(run, "--since", since, "--level", "info") == ["task_abort", "later_0", "later_1"]


def test_a_short_tail_of_a_long_log_reads_only_its_end(run: Run, rotated: Path) -> None:
    first = rotated.parent / "archive" / "master.000000000001.jsonl"
    first.write_bytes(b"garbage\n" * 9)
    assert events(run, "--tail", "1") == ["later_1"]
    assert run("log").code == ExitCode.FAILED


def test_lines_out_of_order_by_the_clock_are_found_within_an_hour(run: Run, log: Path) -> None:
    chain = Chain(log, "1/2")
    for minutes in (0, 50, 5):
        chain.append([{"ts": (NOW - timedelta(minutes=minutes)).isoformat(), "event": f"m{minutes}"}])
    chain.close()
    since = (NOW - timedelta(minutes=8)).isoformat()
    assert events(run, "--since", since) == ["m0", "m5"]


def test_the_archive_is_no_log_of_its_own(run: Run, rotated: Path) -> None:
    for name in ("archive/master.000000000001", "nothing"):
        ran = run("log", "--log", name, "--json")
        assert (ran.code, ran.error["hint"]) == (ExitCode.USAGE, "There are: master.")


def test_verify_says_which_lines_are_not_present(run: Run, rotated: Path) -> None:
    assert run("audit", "verify").out.split()[:4] == ["ok", "master.jsonl", "9", "lines"]
    (rotated.parent / "archive" / "master.000000000001.jsonl").unlink()
    ran = run("audit", "verify")
    assert (ran.code, "1 to 5 are not present" in ran.out) == (0, True)
    assert run("audit", "verify", "--json").document["logs"][0]["absent"] == 5


def test_log_before_the_first_line_is_empty(run: Run, home: Home) -> None:
    assert run("log") == run("log", "--tail", "3")
    assert (run("log").code, run("log").out) == (0, "")


def test_a_damaged_log_is_an_error_that_names_the_check(run: Run, log: Path) -> None:
    log.write_bytes(b"garbage\n" + log.read_bytes())
    ran = run("log", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.FAILED, "E-AUDIT")
    assert "swarmd audit verify" in ran.error["hint"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-21T13:00:00Z", NOW - timedelta(hours=1)),
        ("2026-11-21T15:00:00+01:00", NOW),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "10", "m", "-5m", "9999999d", ""])
def test_what_is_no_moment_is_misuse(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        moment(text, NOW)


def test_lines_with_odd_fields_pass_a_filter_or_not_but_never_raise() -> None:
    wanted = LogFilter(task="a", agent="b", level="info", since=NOW)
    for line in (
        {},
        {"ts": 3, "level": [], "data": "x"},
        {"request_id": "a", "actor": 5, "ts": "2026-11-21"},
    ):
        assert wanted(line) is False
    assert LogFilter(since=NOW)({"ts": "no time"})


# --- audit verify


def test_verify_of_a_good_home(run: Run, log: Path) -> None:
    ran = run("audit", "verify")
    assert (ran.code, ran.out.split()[:4]) == (0, ["ok", "master.jsonl", "5", "lines"])


@pytest.mark.parametrize(
    ("before", "after", "code", "status"),
    [
        (b"task_created", b"task_creator", 1, "changed"),
        (b'"seq":2', b'"seq":9', 1, "changed"),
        (b'"seq":2', b'"seq":1', 1, "changed"),
        (b"task_abort", b"task_abort\n", 1, "changed"),
    ],
)
def test_verify_of_a_changed_log(
    run: Run, log: Path, before: bytes, after: bytes, code: int, status: str
) -> None:
    log.write_bytes(log.read_bytes().replace(before, after))
    ran = run("audit", "verify", "--json")
    assert ran.code == code
    assert ran.document["ok"] is False
    assert ran.document["logs"][0]["status"] == status


def test_verify_of_a_torn_log_and_of_a_copy(run: Run, log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "master.jsonl").write_bytes(log.read_bytes()[:-3])
    ran = run("audit", "verify", str(copy))
    assert ran.code == 4
    assert "TORN" in ran.out
    assert run("audit", "verify").code == 0


def test_verify_without_a_log(run: Run, home: Home) -> None:
    ran = run("audit", "verify")
    assert (ran.code, ran.out) == (0, "there is no log yet\n")


# --- bus dead


def test_dead_letters_say_why_and_what_to_do(run: Run, home: Home) -> None:
    path = home.inbox / "high" / "bad\n\x1b[2Jname.json"
    path.write_text("{")
    deadletter.bury(
        home, path, RequestError("it is cut off", code="E-REQUEST-CUT", hint="Write it whole."), NOW
    )
    out = run("bus", "dead").out
    assert "E-REQUEST-CUT" in out
    assert "it is cut off" in out
    assert "hint: Write it whole." in out
    assert "\x1b" not in out
    (letter,) = run("bus", "dead", "--json").document["letters"]
    assert (home.deadletter / letter["name"]).exists()


def test_no_dead_letters(run: Run, home: Home) -> None:
    (home.deadletter / "stray.error.json").write_text("{}")
    assert run("bus", "dead").out == "no dead letters\n"
