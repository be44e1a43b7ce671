"""Having a model do the exercises in every format. Greedy: the same model gives the same replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from swarmd.calibration import choice, results
from swarmd.calibration.exercises import Exercise, version
from swarmd.calibration.kept import KeptTrials
from swarmd.clock import SystemClock, rfc3339
from swarmd.coding import prompts
from swarmd.coding.context import strip_comments
from swarmd.coding.edits import read_edit
from swarmd.coding.failure import EditError, NothingError
from swarmd.coding.forms import DEFAULT_ORDER
from swarmd.coding.target import Target
from swarmd.config import Settings
from swarmd.errors import ModelReplyError
from swarmd.home import Home, seed_folder
from swarmd.messages import Calibration, CallContext, ChatCall, ChatReply, EditForm, FormTrial
from swarmd.models.calls import Calls
from swarmd.models.purse import Purse
from swarmd.models.routing import Router
from swarmd.models.store import Store, default_folder
from swarmd.models.trial import named_by_hand

__all__ = ["Checks", "calibrate", "question", "system_prompt", "trials"]

SEED = 1
CONTEXT_TOKENS, REPLY_TOKENS = 1600, 1000
"""Room enough for every exercise in every format, whatever the policy's own caps are."""

Ask = Callable[[ChatCall], Awaitable[ChatReply]]
OnTrial = Callable[[FormTrial], None]


class Checks(Protocol):
    """Judges an edited file; see ``Judge``."""

    def fault(self, exercise: Exercise, source: str) -> str:
        """Why it is not right; empty when it is."""
        ...


def system_prompt(home: Home) -> str:
    """How the home's coding agents are asked; swarmd's own words when the home has no such type."""
    for folder in (home.agents, seed_folder() / "agents"):
        try:
            return strip_comments((folder / "coding" / "prompt.md").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def calibrate(
    settings: Settings,
    home: Home,
    model: str,
    exercises: Sequence[Exercise],
    checks: Checks,
    on_trial: OnTrial,
) -> Calibration:
    """Measure the model that swarmd.toml calls ``model``, without a daemon. Trials of a run that was
    interrupted are not done again.

    Raises ModelError, ConfigError or SandboxError: then nothing is known of the model. Ctrl-C ends it.
    """
    return asyncio.run(_calibrate(settings, home, model, exercises, checks, on_trial))


async def _calibrate(
    settings: Settings,
    home: Home,
    model: str,
    exercises: Sequence[Exercise],
    checks: Checks,
    on_trial: OnTrial,
) -> Calibration:
    settings = named_by_hand(settings)
    router = Router(settings, Store(default_folder(settings)), home.make_runtime())
    calls = Calls(settings, router, lambda event, fields: None, Purse(home.spent_file), home.sent)
    about = CallContext(privacy=settings.privacy, micro_usd=settings.budget.day_micro_usd)
    served: list[str] = [settings.models[model].provider]
    kept = KeptTrials(home, results.identity(settings, model))

    async def ask(call: ChatCall) -> ChatReply:
        addressed = call.model_copy(update={"model": model, "privacy": settings.privacy, "about": about})
        reply = await calls.chat(addressed, "model-calibrate", lambda piece: None)
        served.append(reply.provider)
        return reply

    try:
        found = await trials(ask, exercises, system_prompt(home), checks, on_trial, kept)
    finally:
        await router.close()
    return Calibration(
        identity=results.identity(settings, model),
        exercises=version(),
        count=len(exercises),
        seed=SEED,
        measured_at=rfc3339(SystemClock().now()),
        served_by=served[-1],
        order=choice.order_of(found),
        scores=[choice.score(form, found) for form in DEFAULT_ORDER],
        trials=found,
    )


async def trials(
    ask: Ask,
    exercises: Sequence[Exercise],
    system: str,
    checks: Checks,
    on_trial: OnTrial,
    kept: KeptTrials,
) -> list[FormTrial]:
    """Every exercise in every format, but for those that were ``kept``. Which format comes first goes round,
    because an engine has read the beginning of the second prompt already."""
    found: list[FormTrial] = []
    for number, exercise in enumerate(exercises):
        turn = number % len(DEFAULT_ORDER)
        for form in (*DEFAULT_ORDER[turn:], *DEFAULT_ORDER[:turn]):
            found.append(await _trial(ask, exercise, form, system, checks, kept))
            on_trial(found[-1])
    return found


def question(exercise: Exercise, form: EditForm, system: str) -> prompts.Brief:
    """How ``exercise`` is asked for in ``form``: as an agent's first sample would."""
    choices = (exercise.symbols,) if exercise.symbols else ()
    target = Target(exercise.path, exercise.source, choices, exercise.adds)
    task = prompts.Task(exercise.action, exercise.action, target, forms=(form,))
    return prompts.build(system, task, 1, budget=CONTEXT_TOKENS, reply=REPLY_TOKENS, way="direct")


async def _trial(
    ask: Ask, exercise: Exercise, form: EditForm, system: str, checks: Checks, kept: KeptTrials
) -> FormTrial:
    brief = question(exercise, form, system)
    call = ChatCall(
        tier="fast",
        messages=brief.prompt.messages,
        max_tokens=REPLY_TOKENS,
        temperature=0.0,
        seed=SEED,
        purpose="calibrate",
    )
    trial = FormTrial(exercise=exercise.name, form=form, well_formed=False, correct=False)
    before = kept.find(call, trial)
    if before is None:
        before = await _done(ask, call, brief, trial, exercise, checks)
        kept.keep(call, before)
    return before


async def _done(
    ask: Ask, call: ChatCall, brief: prompts.Brief, trial: FormTrial, exercise: Exercise, checks: Checks
) -> FormTrial:
    """``trial``, as it went."""
    try:
        reply = await ask(call)
    except ModelReplyError as error:  # an empty reply is this model's own fault
        return trial.model_copy(update={"reason": error.message[:200]})
    spent = {
        "prompt_tokens": reply.usage.prompt_tokens,
        "completion_tokens": reply.usage.completion_tokens,
        "latency_ms": reply.latency_ms,
    }
    try:
        source = read_edit(reply.text, brief.edit, cut=reply.finish == "length")
    except NothingError as error:  # in the right form, and yet of no use
        return trial.model_copy(update={**spent, "well_formed": True, "reason": str(error)[:200]})
    except (EditError, RecursionError) as error:
        return trial.model_copy(update={**spent, "reason": str(error)[:200]})
    fault = checks.fault(exercise, source)
    return trial.model_copy(update={**spent, "well_formed": True, "correct": not fault, "reason": fault})
