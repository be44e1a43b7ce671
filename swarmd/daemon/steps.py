"""What the policy says about a task now, and the same in words for the log."""

from __future__ import annotations

from swarmd.agents.spec import AgentType
from swarmd.coding.history import failed_programs
from swarmd.coding.policy import TIERS, Stop, Try, next_step
from swarmd.config import PolicySettings, Settings, TierNumbers
from swarmd.daemon.context import Context
from swarmd.daemon.state import RequestState, TaskState
from swarmd.messages import Outcome, Tier
from swarmd.models.infill import marks_of
from swarmd.planning.paths import SOURCES
from swarmd.verify.demand import is_judged

__all__ = ["described", "is_unjudged", "judged_before", "models_of", "step_of", "then"]

_HOW = {
    "fill": "",
    "settle": ", to take it though no other agrees",
    "sample": "",
    "repair": ", to repair the patch",
    "reask": ", told what was wrong",
    "shrink": ", asked for less",
}


def step_of(context: Context, request: RequestState, task: TaskState, *new: Outcome) -> Try | Stop:
    """What follows for ``task``, after the outcomes in the log and the ``new`` ones."""
    if task.crashes >= context.settings.daemon.max_crashes:
        return Stop(f"it ended {task.crashes} workers and is given up as poison")
    agent_type = context.types.valid.get(task.packet.agent_type)
    if agent_type is None:
        return Stop(f"there is no valid agent type {task.packet.agent_type!r} any more")
    start = request.request.tier or _start(context, request, task, agent_type)
    policy = _policy(context.settings.policy, agent_type)
    history = [*task.history[task.earlier :], *new]
    alone = agent_type.role == "coding" and len(task.packet.files_owned) == 1
    slots = _slots(context.settings, agent_type) if alone else {}  # others draw one by one
    fillers, models = _fillers(context, request, task, agent_type), models_of(context.settings, agent_type)
    return next_step(history, start, policy, slots, fillers=fillers, models=models)


def models_of(settings: Settings, agent_type: AgentType) -> dict[Tier, str]:
    """The name of the model that ``agent_type`` asks on each tier."""
    return {tier: agent_type.model or str(getattr(settings.tiers, tier)) for tier in TIERS}


def _start(context: Context, request: RequestState, task: TaskState, agent_type: AgentType) -> Tier:
    """The packet's tier, or a larger one for new code that nothing can judge."""
    tier, least = task.packet.tier, context.settings.policy.unjudged_tier
    unjudged = agent_type.role == "coding" and is_unjudged(request)
    return max(tier, least, key=TIERS.index) if unjudged else tier


def is_unjudged(request: RequestState) -> bool:
    """Whether new code is asked for, and nothing but models can tell whether it does what was asked."""
    plan, survey = request.plan, request.survey
    if plan is None or survey is None or is_judged(request.request, plan.kind, survey):
        return False
    owned = [packet.files_owned for packet in plan.packets]
    named = [path for files in owned for path in files]
    return not named or any(path.rpartition(".")[2].lower() in SOURCES for path in named)


def _slots(settings: Settings, agent_type: AgentType) -> dict[Tier, int]:
    """How many calls at one time the model of each tier answers, and the tier may make."""
    slots: dict[Tier, int] = {}
    for tier in TIERS:
        model = settings.models.get(models_of(settings, agent_type)[tier])
        slots[tier] = min(model.parallel if model else 1, settings.policy.concurrency.of(tier))
    return slots


def _fillers(context: Context, request: RequestState, task: TaskState, agent_type: AgentType) -> list[Tier]:
    """The tiers whose models fill in statements. They are not told what is asked for: so only where failing
    tests say that, and decide, which is for the last coding task of a bugfix. Its agent sees which statements
    those tests speak of."""
    survey, plan = request.survey, request.plan
    if survey is None or plan is None or plan.kind != "bugfix" or task.earlier:
        return []
    built_in = agent_type.module == "swarmd.agents.roles.coding"  # a module of the user's own knows no fills
    failing = any(one.failures for one in survey.base_results)
    if not built_in or not failing or _others_to_come(context, request, task):
        return []
    settings = context.settings
    names, known = models_of(settings, agent_type), settings.models
    return [tier for tier, name in names.items() if name in known and marks_of(name, known[name]) is not None]


def _others_to_come(context: Context, request: RequestState, task: TaskState) -> bool:
    """Whether another task may still change the code."""
    valid = context.types.valid
    others = [one for one in request.tasks.values() if one is not task and not one.ended]
    roles = (valid[one.packet.agent_type].role for one in others if one.packet.agent_type in valid)
    return any(role == "coding" for role in roles)


def _policy(policy: PolicySettings, agent_type: AgentType) -> PolicySettings:
    update: dict[str, object] = {}
    if agent_type.limits.attempts is not None:
        update["max_attempts"] = min(policy.max_attempts, agent_type.limits.attempts)
    if agent_type.role == "testing":  # its repair takes out the tests that failed, which needs no model
        repairs = {tier: max(1, policy.repairs.of(tier)) for tier in TIERS}
        samples = {tier: max(2, policy.samples.of(tier)) for tier in TIERS}
        update |= {"repairs": TierNumbers(**repairs), "samples": TierNumbers(**samples)}
        update["on_failure"] = policy.on_failure.model_copy(update={"assertion": "repair"})
    return policy.model_copy(update=update)


def judged_before(task: TaskState) -> list[str]:
    """``canonical`` of the patches for ``task`` that need not be judged again."""
    return failed_programs(task.history[task.earlier :])


def then(context: Context, request: RequestState, task: TaskState, outcome: Outcome) -> str:
    """What follows on ``outcome``, in a few words for people."""
    if outcome.ok:
        return "onto the request's branch" if outcome.diff_files else "done"
    return described(step_of(context, request, task, outcome))


def described(step: Try | Stop) -> str:
    """``step`` in a few words: ``deep, attempt 3, sample 1, to repair the patch``."""
    if isinstance(step, Stop):
        return "give up"
    samples = f"sample {step.sample}" if step.width == 1 else f"{step.width} samples at one time"
    if step.way == "fill":
        samples = f"single statements ({step.nth})"
    return f"{step.tier}, attempt {step.attempt}, {samples}{_HOW[step.way]}"
