"""Log lines for people: what is shown, and that untrusted text cannot do anything to a terminal."""

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.audit.pretty import Style, clean, colour_of, mark, render

UTC_STYLE = Style(zone=UTC)
PASS = {
    "v": 1,
    "seq": 7,
    "ts": "2026-11-21T14:03:22.123Z",
    "event": "verification_pass",
    "level": "info",
    "actor": "verifier.1",
    "request_id": "login",
    "task_id": "task-001",
    "tier": "fast",
    "attempt": 1,
    "latency_ms": 3210,
    "status": "pass",
    "data": {
        "agent_type": "coding",
        "outcome": {"ok": True, "failure": None},
        "gates": [
            {"gate": "parse", "ok": True, "passed": 0, "failed": 0},
            {"gate": "tests", "ok": True, "passed": 41, "failed": 0},
        ],
    },
    "prev": "0" * 64,
}


def line(**fields: Any) -> dict[str, Any]:
    return {**PASS, "data": {}, **fields}


def test_a_line_has_time_mark_actor_subject_event_and_detail() -> None:
    assert render(PASS, UTC_STYLE) == (
        "14:03:22 ✓ ok   verifier.1   login/task-001           verification_pass    "
        "tier=fast  attempt=1  parse ok  tests 41/41  3.2s"
    )


def test_a_failure_shows_its_kind_and_the_first_line_of_its_digest() -> None:
    failure = {"kind": "assertion", "digest": "\nexpected 3, got 4\nmore", "signature": "x"}
    gates = [{"gate": "tests", "ok": False, "passed": 40, "failed": 1}, {"gate": "lint", "ok": False}]
    text = render(
        line(
            event="verification_fail",
            status="assertion",
            data={"outcome": {"failure": failure}, "gates": gates},
        ),
        UTC_STYLE,
    )
    assert "✗ FAIL" in text
    assert "assertion" in text
    assert "expected 3, got 4" in text
    assert "more" not in text
    assert "tests 40/41  lint FAIL" in text


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"event": "task_complete"}, "ok"),
        ({"event": "task_abort"}, "FAIL"),
        ({"event": "escalation"}, "WARN"),
        ({"event": "warrant_requested"}, "YOU"),
        ({"event": "model_call_start"}, ".."),
        ({"event": "request_complete", "status": "succeeded"}, "ok"),
        ({"event": "request_complete", "status": "failed"}, "FAIL"),
        ({"event": "model_call_complete", "level": "error"}, "FAIL"),
        ({"event": "never_heard_of", "status": None}, ""),
        ({"event": "never_heard_of", "status": None, "level": "error"}, "FAIL"),
        ({"event": "never_heard_of", "status": None, "level": "warning"}, "WARN"),
    ],
)
def test_every_mark_has_a_word(fields: dict[str, Any], word: str) -> None:
    assert mark(line(**fields)) == word


def test_the_last_column_is_the_next_command() -> None:
    assert render(line(event="request_complete", status="succeeded"), UTC_STYLE).endswith(
        "swarmd task show login --diff"
    )
    assert render(line(event="warrant_requested"), UTC_STYLE).endswith("swarmd task show login")


def test_a_request_id_that_is_none_gives_no_command() -> None:
    """What cannot be an id must not be offered for pasting into a shell."""
    text = render(line(event="task_abort", request_id="x; rm -rf ~"), UTC_STYLE)
    assert "swarmd task show" not in text


def test_colours_are_the_same_for_an_actor_and_absent_by_default() -> None:
    assert "\x1b[" not in render(PASS, UTC_STYLE)
    coloured = render(PASS, Style(colour=True, zone=UTC))
    assert f"\x1b[{colour_of('verifier.1')}mverifier.1" in coloured
    assert len({colour_of(f"coding.{n}") for n in range(20)}) > 3


def test_ascii_terminals_get_ascii_and_still_a_mark() -> None:
    text = render(line(data={"summary": "größer → besser " * 20}), Style(plain=True, zone=UTC))
    assert text.isascii()
    assert "+ ok" in text


def test_verbose_shows_every_field_uncut() -> None:
    data = {"sha256": "ab" * 32, "note": "n" * 500, "gates": [{"gate": "tests", "inner": [1]}]}
    text = render(line(data=data), Style(verbose=True, zone=UTC))
    assert "ab" * 32 in text
    assert "n" * 500 in text
    assert "'inner': [1]" in text
    assert len(render(line(data=data), UTC_STYLE)) < 300


@pytest.mark.parametrize(
    ("dirty", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\nb\tc\rd", "a b c d"),
        ("\u202eevil\u2066\u200b\ufeff", "evil"),
        ("back\x08\x08\x7f", "back"),
        ("\U000e0041tag\u2028line", "tag line"),
        ("größe 日本 ✓", "größe 日本 ✓"),
        ("\x1bcreset", "reset"),
        ("\x1bP1$qm\x1b\\dcs", "dcs"),
    ],
)
def test_clean_takes_out_what_moves_hides_or_reorders(dirty: str, shown: str) -> None:
    assert clean(dirty) == shown


@given(st.text())
def test_cleaned_text_is_always_printable_and_on_one_line(text: str) -> None:
    assert all(character.isprintable() for character in clean(text))
    assert len(clean(text, 20)) <= 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from([*PASS, "gates", "outcome", "digest", "failure", "summary"])


@given(st.dictionaries(KNOWN | st.text(), JSON, max_size=8), st.booleans(), st.booleans())
def test_any_object_renders_as_one_printable_line(odd: dict[str, Any], verbose: bool, plain: bool) -> None:
    text = render(odd, Style(verbose=verbose, plain=plain, zone=UTC))
    assert text.isprintable()


def test_what_comes_next_stands_at_the_end_and_is_never_cut_off() -> None:
    failed = line(event="verification_fail", data={"reason": "x " * 200, "then": "deep, attempt 2, sample 1"})
    assert render(failed, UTC_STYLE).endswith("→ deep, attempt 2, sample 1")
    assert render(failed, Style(zone=UTC, plain=True)).endswith("-> deep, attempt 2, sample 1")
    assert "→" not in render(line(data={"then": ""}), UTC_STYLE)
    assert "\x1b" not in render(line(data={"then": "up\x1b[2J\nand away"}), UTC_STYLE)
