"""Every error that swarmd raises on purpose.

The tree::

    SwarmdError
    ├─ UsageError             exit 2   the command line or a setting is wrong
    │  └─ ConfigError
    ├─ DaemonDownError        exit 3   no daemon runs on this home
    ├─ HomeLockedError        exit 6   another daemon runs on this home
    ├─ ModelError             exit 5   a model could not answer
    │  ├─ ModelUnreachableError        its server is away, loads, is overloaded, or broke off
    │  │  └─ ModelTimeoutError         it took longer than its deadlines allow
    │  ├─ ModelOverflowError           the prompt does not fit; it is never cut
    │  ├─ ModelRefusedError            its server takes neither this question nor a second one like it
    │  ├─ ModelMissingError            its server does not have it, or answered with another
    │  ├─ ModelReplyError              the reply is empty, endless, or not what the schema asked for
    │  └─ WeightsError                 weights are absent, incomplete or have the wrong bytes
    ├─ RequestError           exit 2   a request file cannot be taken (goes to the dead letters)
    ├─ WorkspaceError         exit 1   the user's repository cannot be worked on
    ├─ PatchError             exit 1   a proposed edit is refused
    ├─ SandboxError           exit 1   no sandbox can be had, or it does not hold
    ├─ PlanError              exit 1   a plan fails its check
    ├─ AgentError             exit 1   an agent type's folder is wrong, or an agent broke its protocol
    └─ AuditError             exit 1   a log's chain does not hold

An error carries three parts: ``message`` (what happened), ``code`` (stable, for programs) and
``hint`` (what to do next). Only the CLI prints them. A class's docstring is its default hint.
"""

from __future__ import annotations

import inspect

__all__ = [
    "AgentError",
    "AuditError",
    "ConfigError",
    "DaemonDownError",
    "HomeLockedError",
    "ModelError",
    "ModelMissingError",
    "ModelOverflowError",
    "ModelRefusedError",
    "ModelReplyError",
    "ModelTimeoutError",
    "ModelUnreachableError",
    "PatchError",
    "PlanError",
    "RequestError",
    "SandboxError",
    "SwarmdError",
    "UsageError",
    "WeightsError",
    "WorkspaceError",
]


class SwarmdError(Exception):
    """Run "swarmd doctor" to see what is wrong with this installation."""

    code = "E-SWARMD"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint or inspect.cleandoc(type(self).__doc__ or "")
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.hint, self.field))


def _rebuild(kind: type[SwarmdError], message: str, code: str, hint: str, field: str | None) -> SwarmdError:
    """Rebuild a pickled error: keyword-only parameters do not survive the default pickling."""
    return kind(message, code=code, hint=hint, field=field)


class UsageError(SwarmdError):
    """Run the command with --help to see what it takes."""

    code = "E-USAGE"
    exit_code = 2


class ConfigError(UsageError):
    """Run "swarmd config show --origin" to see every setting and where its value comes from."""

    code = "E-CONFIG"


class DaemonDownError(SwarmdError):
    """Start the daemon with "swarmd up -d"."""

    code = "E-DAEMON-DOWN"
    exit_code = 3


class HomeLockedError(SwarmdError):
    """Another daemon runs on this home. Stop it with "swarmd down", or choose another --home."""

    code = "E-HOME-LOCKED"
    exit_code = 6


class ModelError(SwarmdError):
    """Run "swarmd model test" to see which model does not answer."""

    code = "E-MODEL"
    exit_code = 5


class ModelUnreachableError(ModelError):
    """Start the model's server, or choose another in swarmd.toml, then run "swarmd model test"."""

    code = "E-MODEL-DOWN"


class ModelTimeoutError(ModelUnreachableError):
    """Raise first_token_s, between_tokens_s or call_s of the model in swarmd.toml, or use a smaller one."""

    code = "E-MODEL-TIMEOUT"


class ModelOverflowError(ModelError):
    """Raise the model's context in swarmd.toml, or ask for something smaller."""

    code = "E-MODEL-OVERFLOW"


class ModelRefusedError(ModelError):
    """Read what the model's server said: its key, its URL or a setting of this model is wrong."""

    code = "E-MODEL-REFUSED"


class ModelMissingError(ModelError):
    """Give the model's name as its server lists it in swarmd.toml, or install it there."""

    code = "E-MODEL-NAME"


class ModelReplyError(ModelError):
    """Ask again, or use a larger model for this tier in swarmd.toml."""

    code = "E-MODEL-REPLY"


class WeightsError(ModelError):
    """Fetch the weights with "swarmd model pull"."""

    code = "E-WEIGHTS"


class RequestError(SwarmdError):
    """Correct the file and drop it into bus/inbox/ again; docs/messages.md lists every field."""

    code = "E-REQUEST"
    exit_code = 2


class WorkspaceError(SwarmdError):
    """Give "workspace" the absolute path of a git repository that has at least one commit."""

    code = "E-WORKSPACE"


class PatchError(SwarmdError):
    """The edit was refused before it was applied; nothing was changed."""

    code = "E-PATCH"


class SandboxError(SwarmdError):
    """Install bubblewrap ("apt-get install bubblewrap"), then run "swarmd doctor"."""

    code = "E-SANDBOX"


class PlanError(SwarmdError):
    """Say in the request which files to change, or use "kind" to choose a plan template."""

    code = "E-PLAN"


class AgentError(SwarmdError):
    """Run "swarmd agent list" to see every agent type and what is wrong with it."""

    code = "E-AGENT"


class AuditError(SwarmdError):
    """Run "swarmd audit verify" and keep a copy of logs/ before anything else."""

    code = "E-AUDIT"
