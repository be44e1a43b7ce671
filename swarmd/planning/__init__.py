"""From a request to task packets: what sort of work, which files, which agents, in which order."""

from swarmd.planning.planner import Ask, PlanSettings, make_plan
from swarmd.planning.typeinfo import BUILTIN_TYPES, TypeInfo
from swarmd.planning.unattached import plan_unattached

__all__ = ["BUILTIN_TYPES", "Ask", "PlanSettings", "TypeInfo", "make_plan", "plan_unattached"]
