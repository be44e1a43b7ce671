"""Global options, exit codes, and the one way in which errors are told."""

import io

import click
import pytest

from swarmd.cli import app, main
from swarmd.cli.exit_codes import MEANINGS, ExitCode
from swarmd.cli.output import has_colour, is_plain, table
from swarmd.errors import (
    ConfigError,
    DaemonDownError,
    HomeLockedError,
    ModelUnreachableError,
    SandboxError,
    SwarmdError,
)
from swarmd.home import Home

from .conftest import Run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_help_of_a_member_is_the_help_of_its_command() -> None:
    """The lazy groups repeat one line of each command; it must not be about something else."""
    context = click.Context(app.root, **app.root.context_settings)
    for group in (app.root, *app.GROUPS.values()):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None, name
            assert command.name == name


@pytest.mark.parametrize("words", [("-h",), ("--help",), ("task", "-h"), ("task", "add", "--help"), ("-V",)])
def test_help_and_version_succeed(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(("Usage: swarmd", "swarmd 0."))


def test_no_command_shows_the_help_and_is_misuse(run: Run) -> None:
    assert run().code == ExitCode.USAGE
    assert "Commands:" in run().err


@pytest.mark.parametrize(
    "words",
    [
        ("--home", "HOME", "--json", "status"),
        ("status", "--json", "--home", "HOME"),
        ("--json", "status", "--home", "HOME"),
    ],
)
def test_global_options_may_stand_before_or_after_the_verb(
    run: Run, home: Home, words: tuple[str, ...]
) -> None:
    ran = run(*(str(home.root) if word == "HOME" else word for word in words))
    assert ran.code == ExitCode.DAEMON_DOWN
    assert ran.document["home"] == str(home.root)


def test_global_options_may_stand_between_group_and_verb(run: Run, home: Home) -> None:
    assert run("task", "--json", "list").document == {"v": 1, "command": "task list", "requests": []}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tusk",), 'Did you mean "swarmd task"?'),
        (("task", "lits"), 'Did you mean "swarmd task list"?'),
        (("zzzzzz",), "No such command 'zzzzzz'"),
        (("task", "show"), "Missing argument"),
        (("status", "--nope"), "--nope"),
        (("task", "add", "x", "--priority", "urgent"), "urgent"),
    ],
)
def test_misuse_is_told_once_with_a_hint(run: Run, words: tuple[str, ...], says: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert ran.err.startswith("error[E-USAGE]: ")
    assert says in ran.err
    assert ran.err.count("error[") == ran.err.count("hint:") == 1


def test_misuse_is_json_for_programs_even_if_json_was_not_read_yet(run: Run) -> None:
    ran = run("tusk", "--json")
    assert ran.code == ExitCode.USAGE
    assert ran.error["code"] == "E-USAGE"
    assert ran.error["hint"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SwarmdError("no"), 1),
        (SandboxError("no"), 1),
        (ConfigError("no"), 2),
        (DaemonDownError("no"), 3),
        (ModelUnreachableError("no"), 5),
        (HomeLockedError("no"), 6),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (RuntimeError("no"), 1),
    ],
)
def test_every_error_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(app.root, "main", fail)
    assert main(["status"]) == code
    assert code in MEANINGS


def test_a_defect_is_told_without_a_traceback_and_with_one_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("swarmd.client.requests", fail)
    brief, long = run("task", "list"), run("-v", "task", "list")
    assert brief.err.startswith("error[E-INTERNAL]: ZeroDivisionError: by zero\nhint:")
    assert "Traceback" not in brief.err
    assert "Traceback" in long.err


def test_a_home_that_is_none_is_named_with_what_to_do(run: Run) -> None:
    ran = run("task", "list", "--home", "/nonexistent/home", "--json")
    assert ran.code == ExitCode.USAGE
    assert ran.error["code"] == "E-CONFIG"
    assert "/nonexistent/home" in ran.error["message"]
    assert "swarmd init" in ran.error["hint"]


def test_quiet_leaves_the_answer_only(run: Run, home: Home) -> None:
    loud, quiet = run("task", "add", "Fix it"), run("task", "add", "Fix it", "-q")
    assert "next:" in loud.err
    assert quiet.err == ""
    assert quiet.out.startswith("fix-it-")


@pytest.mark.parametrize(
    ("stream", "env", "no_color", "coloured"),
    [
        (Terminal(), {"TERM": "xterm"}, False, True),
        (Terminal(), {}, False, True),
        (Terminal(), {"TERM": "dumb"}, False, False),
        (Terminal(), {"NO_COLOR": "1"}, False, False),
        (Terminal(), {"NO_COLOR": ""}, False, True),
        (Terminal(), {}, True, False),
        (io.StringIO(), {}, False, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, False, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_when_to_colour(stream: io.StringIO, env: dict[str, str], no_color: bool, coloured: bool) -> None:
    assert has_colour(stream, env, no_color=no_color) is coloured


def test_json_is_never_coloured(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in run("agent", "list", "--json").out
    assert "\x1b" in run("model", "list").out


def test_ascii_streams_are_recognised() -> None:
    assert is_plain(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert not is_plain(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


def test_tables_align_whatever_is_coloured() -> None:
    assert table([["a", "\x1b[31mbb\x1b[0m", "c"], ["aaa", "b", "cc"]], ["X", "Y", "Z"]) == [
        "X    Y   Z",
        "a    \x1b[31mbb\x1b[0m  c",
        "aaa  b   cc",
    ]
