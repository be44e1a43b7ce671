"""``swarmd privacy report``."""

import hashlib
from typing import Any

import pytest

from swarmd.audit.chain import Chain
from swarmd.cli import privacy_gather
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.privacy_gather import gather
from swarmd.home import Home

from .conftest import Run

HOSTILE = "x|<b>`a`\x1b[31m\n# [y](z)"


def line(event: str, request_id: str = "login", /, second: int = 1, **data: Any) -> dict[str, Any]:
    return {
        "ts": f"2026-11-21T10:00:{second:02d}.000Z",
        "event": event,
        "level": "info",
        "actor": "coding.1",
        "request_id": request_id,
        "data": data,
    }


def call(
    number: int, request_id: str = "login", /, *, local: bool = True, **facts: Any
) -> list[dict[str, Any]]:
    data = {
        "call_id": f"call-{number}",
        "model": "small",
        "provider": "embedded" if local else "openai",
        "local": local,
        "destination": "unix:engine" if local else "https://api.openai.com:443",
        **facts,
    }
    begun = {**data, "bytes_sent": 120, "rule": "default", "mode": "local_only", "privacy": "strict"}
    return [
        line("model_call_start", request_id, number, **begun),
        line("model_call_complete", request_id, number, **data, bytes_received=30, prompt_tokens=40),
    ]


def write(home: Home, *lines: dict[str, Any]) -> None:
    chain = Chain(home.master_log, "1/2")
    chain.append(lines, durable_write=False)
    chain.close()


@pytest.fixture
def quiet(home: Home) -> Home:
    write(home, *call(1), *call(2, "other"))
    return home


@pytest.fixture
def loud(home: Home) -> Home:
    blocked = line("privacy_blocked", code="E-MODEL-PRIVACY", reason=HOSTILE, model="gpt-5")
    write(
        home,
        *call(1),
        *call(2, local=False, model=HOSTILE),
        blocked,
        line("model_call_start", call_id="lost"),
    )
    return home


def test_nothing_left(run: Run, quiet: Home) -> None:
    ran = run("privacy", "report")
    assert ran.code == 0
    assert "verdict  nothing left this machine: 2 model calls, each made on it" in ran.out
    assert "chain    verified: 4 lines of master.jsonl hold" in ran.out
    first = ran.out.splitlines()[1].split()
    assert first[0] == "2"
    assert " ".join(first[3:]) == "login small unix:engine 120 30 answered; rule default, local_only, strict"


def test_calls_that_left_are_the_verdict(run: Run, loud: Home) -> None:
    document = run("privacy", "report", "--json").document
    assert (document["calls_total"], document["calls_left"], document["calls_unknown"]) == (3, 1, 1)
    assert document["nothing_left"] is False
    assert [(one["seq"], one["start_seq"], one["outcome"]) for one in document["calls"]] == [
        (2, 1, "answered"),
        (4, 3, "answered"),
        (6, 6, "no end"),
    ]
    assert document["blocked"][0]["seq"] == 5
    out = run("privacy", "report").out
    assert "1 of 3 model calls went to another machine" in out
    assert "ELSEWHERE" in out
    assert "blocked  1 attempt\n" in out


def test_only_one_request(run: Run, quiet: Home) -> None:
    document = run("privacy", "report", "--request", "other", "--json").document
    assert [one["request_id"] for one in document["calls"]] == ["other"]
    assert document["flows"][0]["calls"] == 1
    assert run("privacy", "report", "--request", "none", "--json").document["calls"] == []


def test_only_what_is_not_older(run: Run, quiet: Home) -> None:
    document = run("privacy", "report", "--since", "2026-11-21T10:00:02Z", "--json").document
    assert [one["request_id"] for one in document["calls"]] == ["other"]


def test_markdown_holds_no_markup_of_others(run: Run, loud: Home) -> None:
    ran = run("privacy", "report", "--md")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "<b>" not in ran.out
    rows = [one for one in ran.out.splitlines() if one.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {8, 11}
    assert r"x\|\<b\>\`a\` \# \[y\]\(z\)" in ran.out


def test_markdown_names_the_line_that_it_rests_on(run: Run, quiet: Home) -> None:
    last = quiet.master_log.read_bytes().splitlines(keepends=True)[-1]
    assert hashlib.sha256(last).hexdigest() in run("privacy", "report", "--md").out


def test_the_terminal_is_not_touched(run: Run, loud: Home) -> None:
    assert "\x1b" not in run("privacy", "report").out


def test_a_log_that_was_changed_proves_nothing_behind_the_change(run: Run, quiet: Home) -> None:
    raw = quiet.master_log.read_bytes()
    quiet.master_log.write_bytes(
        raw.replace(b'"local":true,"destination":"unix:engine","bytes_received":30', b"", 1)
    )
    ran = run("privacy", "report")
    assert ran.code == 1
    assert "DOES NOT HOLD: master.jsonl" in ran.out
    assert "up to line 1 only" in ran.out
    document = run("privacy", "report", "--json").document
    assert [one["seq"] for one in document["calls"]] == [1]
    assert document["nothing_left"] is False
    assert document["chain"]["ok"] is False


def test_lines_that_come_while_it_is_made_are_left_for_the_next(
    quiet: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = privacy_gather.check.verify

    def verify_and_go_on(root: Any) -> Any:
        found = verified(root)
        write(quiet, *call(3, local=False))
        return found

    monkeypatch.setattr(privacy_gather.check, "verify", verify_and_go_on)
    gathered = gather(quiet)
    assert (gathered.held, gathered.calls.count, gathered.left) == (4, 2, 0)
    gathered.close()


def test_old_logs_say_what_was_not_recorded(run: Run, home: Home) -> None:
    write(home, line("model_call_complete", call_id="a", model="m", provider="ollama", local=True))
    out = run("privacy", "report").out
    assert "not recorded" in out
    assert "1 call of a version that did not record" in out
    assert "passes prompts on" in out


def test_before_the_first_line(run: Run, home: Home) -> None:
    ran = run("privacy", "report")
    assert ran.code == 0
    assert "nothing left this machine: there was no model call" in ran.out
    assert run("privacy", "report", "--json").document["calls"] == []
    assert "None: there was no model call." in run("privacy", "report", "--md").out


def test_broken_settings_do_not_hide_the_report(run: Run, quiet: Home) -> None:
    quiet.settings_file.write_text("privacy = 7")
    assert run("privacy", "report").code == 0
    assert "cannot be read" in run("privacy", "report", "--json").document["privacy"]


def test_two_ways_to_print_are_one_too_many(run: Run, quiet: Home) -> None:
    ran = run("privacy", "report", "--md", "--json")
    assert ran.code == ExitCode.USAGE


def test_more_rows_than_fit_memory(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy_gather, "IN_MEMORY", 100)
    monkeypatch.setattr(privacy_gather, "MOST_FLOWS", 2)
    lines = [one for n in range(1, 6) for one in call(n, local=False, destination=f"https://{n}.test")]
    write(home, *lines)
    gathered = gather(home)
    assert [row["seq"] for row in gathered.calls] == [2, 4, 6, 8, 10]
    assert [row["seq"] for row in gathered.calls] == [2, 4, 6, 8, 10]
    assert [(flow.destination, flow.calls) for flow in gathered.flows.values()] == [
        ("https://1.test", 1),
        ("https://2.test", 1),
        (None, 3),
    ]
    gathered.close()
