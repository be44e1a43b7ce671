"""``swarmd model test``."""

from __future__ import annotations

from typing import Any

import click

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.model_names import TIERS, model_named
from swarmd.errors import ConfigError, ModelError

__all__ = ["test"]


@click.command(cls=Command)
@click.argument("name", metavar="[NAME|TIER]", required=False)
@pass_context
def test(context: Context, name: str | None) -> int:
    """Ask a model one question, and show how fast it is. Needs no daemon.

    NAME is a model of swarmd.toml, TIER is fast, deep or reviewer. Default: the model of every tier.
    """
    settings, output = context.settings, context.output
    names = dict.fromkeys(model_named(settings, which) for which in ([name] if name else TIERS))
    results = []
    for model in names:
        output.note(f"asking {model} …")
        results.append(_try(context, model))
        output.line(_line(context, results[-1]))
    output.document("model test", models=results)
    return ExitCode.OK if all(result["ok"] for result in results) else ExitCode.MODEL_DOWN


def _try(context: Context, model: str) -> dict[str, Any]:
    from swarmd.models.trial import try_model

    try:
        trial = try_model(context.settings, context.home, model)
    except (ModelError, ConfigError) as error:
        return {"model": model, "ok": False, "code": error.code, "message": error.message, "hint": error.hint}
    usage = trial.reply.usage
    return {
        "model": model,
        "ok": True,
        "provider": trial.reply.provider,
        "load_ms": trial.load_ms,
        "latency_ms": trial.reply.latency_ms,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "tokens_per_second": round(trial.tokens_per_second, 1),
        "reply": trial.reply.text,
    }


def _line(context: Context, result: dict[str, Any]) -> str:
    paint = context.output.paint
    if not result["ok"]:
        message = f"{paint('FAIL', 'red')}  {result['model']}  {result['code']}: {clean(result['message'])}"
        return f"{message}\n      hint: {clean(result['hint'])}"
    speed = f"{result['tokens_per_second']} tokens/s, {result['latency_ms'] / 1000:.1f} s"
    load = f", loaded in {result['load_ms'] / 1000:.1f} s" if result["load_ms"] else ""
    reply = repr(clean(result["reply"], 60))
    return f"{paint('ok', 'green')}    {result['model']}  {result['provider']}  {speed}{load}  {reply}"
