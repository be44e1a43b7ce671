"""The root of the command line: its commands, and the one place where errors are printed."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from swarmd import __version__, durable
from swarmd.cli.context import Context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import LazyGroup
from swarmd.cli.output import Output
from swarmd.errors import SwarmdError

__all__ = ["main", "root"]

TASK = LazyGroup(
    "task",
    help="Give work, and follow it.",
    members={
        "add": ("swarmd.cli.task_add:add", "Give a request to the crew."),
        "list": ("swarmd.cli.task_list:list_", "Show all requests."),
        "show": ("swarmd.cli.task_show:show", "Show one request: its tasks, gates, cost and result."),
        "watch": ("swarmd.cli.task_watch:watch", "Follow one request until it ends."),
        "cancel": ("swarmd.cli.task_cancel:cancel", "Stop a request."),
        "retry": ("swarmd.cli.task_retry:retry", "Go on with a request that failed or was cancelled."),
    },
)
AGENT = LazyGroup(
    "agent",
    help="The crew.",
    members={"list": ("swarmd.cli.agent_list:list_", "Show the agent types and the agents that live.")},
)
MODEL = LazyGroup(
    "model",
    help="Models and their weights.",
    members={
        "list": ("swarmd.cli.model_list:list_", "Show the tiers, their models and the weights."),
        "ps": ("swarmd.cli.model_ps:ps", "Show the models that are loaded now."),
        "plan": ("swarmd.cli.model_plan:plan", "Show what fits this machine at which context."),
        "pull": ("swarmd.cli.model_pull:pull", "Fetch weights, checked by their hash."),
        "rm": ("swarmd.cli.model_rm:rm", "Remove weights from the disk."),
        "test": ("swarmd.cli.model_test:test", "Ask a model one question."),
        "calibrate": (
            "swarmd.cli.model_calibrate:calibrate",
            "Measure which edit format a model handles best.",
        ),
    },
)
BUS = LazyGroup(
    "bus",
    help="The folders that requests travel through.",
    members={
        "dead": ("swarmd.cli.bus_dead:dead", "Show the files that could not be taken, and why."),
        "requeue": ("swarmd.cli.bus_requeue:requeue", "Put such files back, to be judged again."),
    },
)
AUDIT = LazyGroup(
    "audit",
    help="The log as evidence.",
    members={"verify": ("swarmd.cli.audit_verify:verify", "Check that no log line was changed or removed.")},
)
PRIVACY = LazyGroup(
    "privacy",
    help="Where prompts went.",
    members={"report": ("swarmd.cli.privacy_report:report", "Show every model call and where it went.")},
)
CONFIG = LazyGroup(
    "config",
    help="Settings.",
    members={
        "show": ("swarmd.cli.config_show:show", "Show every setting, and where its value is from."),
        "reload": ("swarmd.cli.config_reload:reload", "Have the daemon read settings and agent types again."),
    },
)
SERVICE = LazyGroup(
    "service",
    help="The daemon as a service of this account.",
    members={
        "install": ("swarmd.cli.service:install", "Have systemd or launchd run the daemon."),
        "uninstall": ("swarmd.cli.service:uninstall", "Stop the service and remove its file."),
        "status": ("swarmd.cli.service_status:status", "Show the service's state."),
    },
)
BENCH = LazyGroup(
    "bench",
    help="Measure how many coding problems are solved.",
    members={
        "solve": ("swarmd.cli.bench_solve:solve", "Have a runner solve problems, judged by hidden cases."),
        "report": ("swarmd.cli.bench_report:report", "Show and compare what was found."),
    },
)
ALL = (TASK, AGENT, MODEL, BENCH, BUS, AUDIT, PRIVACY, CONFIG, SERVICE)
GROUPS = {group.name: group for group in ALL if group.name}


class Root(LazyGroup):
    """The root group, whose members are lazy commands and groups."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return GROUPS.get(cmd_name) or super().get_command(ctx, cmd_name)


root = Root(
    "swarmd",
    help="Drop a request into a folder, get back a verified git branch made by local models.",
    members={
        "init": ("swarmd.cli.init:init", "Make a home."),
        "up": ("swarmd.cli.up:up", "Start the daemon."),
        "down": ("swarmd.cli.down:down", "Stop the daemon."),
        "pause": ("swarmd.cli.pause:pause", "Have the daemon take no new requests."),
        "resume": ("swarmd.cli.pause:resume", "Have it take requests again."),
        "status": ("swarmd.cli.status:status", "Show what the daemon is doing."),
        **{
            name: ("", group.help or "")
            for name, group in GROUPS.items()
            if name in ("task", "agent", "model")
        },
        "log": ("swarmd.cli.log:log", "Show the log."),
        "tokens": ("swarmd.cli.tokens:tokens", "Show what models used, what it cost, and what it saved."),
        **{
            name: ("", group.help or "")
            for name, group in GROUPS.items()
            if name in ("bench", "bus", "audit", "privacy", "config", "service")
        },
        "doctor": ("swarmd.cli.doctor:doctor", "Check this installation, and say what mends it."),
    },
    no_args_is_help=True,
)
click.version_option(__version__, "-V", "--version", prog_name="swarmd", message="%(prog)s %(version)s")(root)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Nothing is raised; errors are printed here only."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    context = Context()
    try:
        result = root.main(arguments, prog_name="swarmd", standalone_mode=False, obj=context)
        sys.stdout.flush()
    except Exception as error:
        return _report(error, context, arguments)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except SystemExit:  # click's only use of it here: the reader has gone, as with "| head"
        return ExitCode.OK
    return int(result or 0)


def _report(error: Exception, context: Context, arguments: Sequence[str]) -> int:
    context.json = context.json or "--json" in arguments  # it may not have been read yet
    output = Output(json=context.json, no_color=context.no_color, quiet=context.quiet, env=context.env)
    if isinstance(error, BrokenPipeError):
        # The reader has gone before the last lines. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else error.message, err=True)
        return ExitCode.USAGE
    if isinstance(error, click.Abort):
        return ExitCode.INTERRUPTED
    if isinstance(error, click.ClickException):
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "swarmd"
        output.error("E-USAGE", error.format_message(), f'Run "{path} --help" to see what it takes.')
        return ExitCode.USAGE
    if isinstance(error, SwarmdError):
        output.error(error.code, error.message, error.hint)
        return error.exit_code
    if durable.is_full(error):
        output.error("E-DISK-FULL", f"there is no room: {error}", "Make room, then do it again.")
        return ExitCode.FAILED
    if isinstance(error, durable.FsyncFailedError):
        output.error(
            "E-FSYNC",
            f"the disk did not confirm a write: {error.strerror or error}",
            "Look at the disk and the kernel's log. Started again, swarmd goes on from what the disk holds.",
        )
        return ExitCode.FAILED
    if context.verbose:
        traceback.print_exception(error)
    output.error(
        "E-INTERNAL",
        f"{type(error).__name__}: {error}",
        'This is a defect in swarmd. The same command with "-v" shows where; "swarmd doctor" may help.',
    )
    return ExitCode.FAILED
