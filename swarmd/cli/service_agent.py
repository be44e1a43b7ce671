"""The launchd agent, for macOS. Nobody has run it yet: it is written from launchd.plist(5)."""

from __future__ import annotations

import plistlib

from swarmd.cli.service_files import mark
from swarmd.cli.service_spec import ServiceSpec

__all__ = ["agent"]

AGAIN_S = 60
"""launchd cannot be told which exit codes are final, so a daemon that must not run is tried again; not
too often."""


def agent(spec: ServiceSpec, label: str) -> str:
    """The text of the property list called ``label``."""
    console = str(spec.home.console_log)
    content = {
        "Label": label,
        "ProgramArguments": list(spec.argv),
        "EnvironmentVariables": spec.environment,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": AGAIN_S,
        "ExitTimeOut": spec.stop_s,
        # Background would slow its disk and processors down; a model needs both.
        "ProcessType": "Standard",
        "StandardOutPath": console,
        "StandardErrorPath": console,
    }
    text = plistlib.dumps(content, sort_keys=False).decode()
    head, line, rest = text.partition("<plist")
    return f'{head}<!-- Written by "swarmd service install". {mark(spec.home)} -->\n{line}{rest}'
