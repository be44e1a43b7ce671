"""Where model-written code runs, and how agents are confined.

``choose`` gives the strongest sandbox that this machine can have, ``require`` proves that it holds,
``Sandbox.run`` runs a program in it. ``confine`` is for agents, which run our code on untrusted
input: it takes everything away from the calling process, for good.
"""

from __future__ import annotations

from swarmd.sandbox.canary import Canary, canaries, require
from swarmd.sandbox.choice import choose
from swarmd.sandbox.confine import confine
from swarmd.sandbox.paths import interpreter_mounts
from swarmd.sandbox.spec import Completed, LimitName, Limits, Mounts, Sandbox

__all__ = [
    "Canary",
    "Completed",
    "LimitName",
    "Limits",
    "Mounts",
    "Sandbox",
    "canaries",
    "choose",
    "confine",
    "interpreter_mounts",
    "require",
]
