"""``swarmd model calibrate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.model_names import TIERS, model_named
from swarmd.cli.output import table
from swarmd.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swarmd.calibration.exercises import Exercise
    from swarmd.messages import Calibration, FormTrial

__all__ = ["calibrate"]

HEADING = ["FORMAT", "CORRECT", "WELL-FORMED", "TOKENS", "SECONDS"]
REASON = 60
"""Characters of a reason that are shown."""


@click.command(cls=Command)
@click.argument("names", metavar="[NAME|TIER]...", nargs=-1)
@click.option("--exercises", metavar="N", type=click.IntRange(1), help="Only the first N. Default: all.")
@click.option("--show", is_flag=True, help="Show what was measured before. Nothing is asked.")
@pass_context
def calibrate(context: Context, names: tuple[str, ...], exercises: int | None, show: bool) -> int:
    """Measure in which edit format a model gets most edits right, and ask it so from then on.

    NAME is a model of swarmd.toml, TIER is fast, deep or reviewer. Default: the model of every tier.
    Needs no daemon; one that runs uses the result at once. It takes some minutes for each model. Ctrl-C
    ends it: a model that is not done with all exercises keeps the result that it had, and the same command
    goes on from there.
    """
    home, settings = context.existing_home(), context.settings
    models = list(dict.fromkeys(model_named(settings, which) for which in names or TIERS))
    if show:
        return _show(context, models)
    from swarmd.calibration.exercises import load_exercises
    from swarmd.calibration.judge import Judge
    from swarmd.calibration.kept import forget
    from swarmd.calibration.results import file_of, save
    from swarmd.sandbox import choose

    chosen, judge = load_exercises()[:exercises], Judge(choose(settings.sandbox.level))
    done: list[dict[str, Any]] = []
    for model in models:
        context.output.note(f"{model}: {len(chosen)} exercises in 3 formats …")
        try:
            measured = _measure(context, model, chosen, judge)
        except (ModelError, ConfigError) as error:
            done.append(_failed(context, model, error))
            continue
        path = file_of(home, model)
        if _is_more(path, measured):
            context.output.note(f"{model}: the result of more exercises, which is there already, is kept")
        else:
            path = save(home, measured)
        forget(home, measured)
        done.append({"model": model, "ok": True, "file": str(path), **_as_json(measured, current=True)})
        _print(context, measured, current=True)
    context.output.document("model calibrate", models=done)
    return ExitCode.OK if all(one["ok"] for one in done) else ExitCode.MODEL_DOWN


def _is_more(path: Path, measured: Calibration) -> bool:
    """Whether the result at ``path`` is of the same, and of more exercises."""
    from swarmd.calibration.results import CalibrationError, read

    try:
        known = read(path)
    except CalibrationError:
        return False
    if known is None or known.count <= measured.count:
        return False
    return (known.identity, known.exercises) == (measured.identity, measured.exercises)


def _measure(context: Context, model: str, exercises: Sequence[Exercise], judge: Any) -> Calibration:
    from swarmd.calibration.measure import calibrate as measure

    on_trial = _progress(context, len(exercises) * 3)
    try:
        return measure(context.settings, context.home, model, exercises, judge, on_trial)
    except KeyboardInterrupt:
        context.output.note(f"interrupted; the same command goes on with {model} from here")
        raise


def _progress(context: Context, todo: int) -> Callable[[FormTrial], None]:
    """One line on stderr for each trial."""
    done = 0

    def tell(trial: FormTrial) -> None:
        nonlocal done
        done += 1
        paint = context.output.paint
        state = paint("correct", "green") if trial.correct else paint("wrong", "yellow")
        if not trial.well_formed:
            state = paint("no edit", "red")
        words = [f"[{done:>{len(str(todo))}}/{todo}]", f"{trial.exercise:<20}", f"{trial.form:<7}", state]
        words += [f"{trial.completion_tokens} tokens", f"{trial.latency_ms / 1000:.1f} s"]
        words += [clean(trial.reason, REASON)] if trial.reason else []
        context.output.note("  ".join(words))

    return tell


def _failed(context: Context, model: str, error: ModelError | ConfigError) -> dict[str, Any]:
    label = context.output.paint("FAIL", "red")
    context.output.line(f"{label}  {model}  {error.code}: {clean(error.message)}")
    context.output.line(f"      hint: {clean(error.hint)}")
    return {"model": model, "ok": False, "code": error.code, "message": error.message, "hint": error.hint}


def _show(context: Context, models: Sequence[str]) -> int:
    from swarmd.calibration.results import CalibrationError, applies, file_of, read

    found: list[dict[str, Any]] = []
    for model in models:
        path = file_of(context.home, model)
        try:
            known = read(path)
        except CalibrationError as error:
            context.output.warning(clean(error.message))
            found.append({"model": model, "ok": False, "code": error.code, "message": error.message})
            continue
        if known is None:
            context.output.line(f"{model}: not calibrated; the order is symbol, file, replace")
            found.append({"model": model, "ok": True, "file": None})
            continue
        current = applies(known, context.settings)
        found.append({"model": model, "ok": True, "file": str(path), **_as_json(known, current=current)})
        _print(context, known, current=current)
    context.output.document("model calibrate", models=found)
    return ExitCode.OK if all(one["ok"] for one in found) else ExitCode.FAILED


def _as_json(known: Calibration, *, current: bool) -> dict[str, Any]:
    return {"current": current, "calibration": known.model_dump(mode="json")}


def _print(context: Context, known: Calibration, *, current: bool) -> None:
    line = context.output.line
    served = f"{known.served_by}, {known.count} exercises, {known.measured_at}"
    line(f"{context.output.paint(clean(known.identity.model), 'bold')}  ({clean(served)})")
    rows = [
        [
            one.form,
            f"{one.correct}/{known.count}",
            f"{one.well_formed}/{known.count}",
            f"{one.completion_tokens:,}",
            f"{one.latency_ms / 1000:.0f}",
        ]
        for one in known.scores
    ]
    for text in table(rows, HEADING):
        line(f"  {text}")
    line(f"  order: {', '.join(known.order)}; {_why(known)}")
    if not current:
        line("  It is not used: the model or the exercises have changed since.")
    line()


def _why(known: Calibration) -> str:
    from swarmd.coding.forms import DEFAULT_ORDER

    first = known.order[0]
    if first != DEFAULT_ORDER[0]:
        return f"{first} leads by more than chance"
    return f"no other format leads {first} by more than chance"
