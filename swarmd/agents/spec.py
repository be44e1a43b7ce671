"""Agent types: what a folder under agents/ says, checked.

A folder is a type: ``agent.toml`` (what it may do), ``prompt.md`` (how it is asked) and
``skills/<skill>.md``. A folder that is wrong is reported and left out; it never stops the daemon.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from swarmd import durable
from swarmd.errors import AgentError
from swarmd.messages import Tier
from swarmd.planning import TypeInfo

__all__ = ["AgentFile", "AgentType", "Inference", "Role", "TypeLimits", "Types", "load_type", "load_types"]

Role = Literal["coding", "testing", "review", "docs", "git", "deploy"]
ServedKind = Literal[
    "feature", "bugfix", "test", "docs", "review", "refactor", "research", "deploy", "project"
]
SkillName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
GateId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,63}$")]

MAX_PAGE = 64 * 1024
"""Longest agent.toml, prompt.md or skill page, in bytes."""
MAX_SKILLS = 64

_TYPE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_MODULE = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){1,8}")
_SKILL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Inference(_Section):
    """How its model is asked. What is absent is left to the tier's and the model's settings."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    """Of the first sample; later samples of an attempt may be drawn warmer."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    """Cap on a reply, in tokens."""
    context_tokens: int | None = Field(default=None, ge=128)
    """Cap on a prompt, in tokens."""
    stop: list[str] = Field(default_factory=list, max_length=8)
    """Texts that end a reply."""


class TypeLimits(_Section):
    """How much of it there may be."""

    max_instances: int = Field(default=4, ge=1, le=100)
    """Most agents of this type alive at one time; daemon.max_agents holds over all types."""
    attempts: int | None = Field(default=None, ge=1, le=20)
    """Most attempts at one packet. Default: policy.max_attempts."""
    seconds: int | None = Field(default=None, ge=1)
    """An agent that works at one order for longer is ended. Default: daemon.hung_after_s alone."""


def _known_role(role: str) -> str:
    if role not in get_args(Role) and not _MODULE.fullmatch(role):
        known = ", ".join(get_args(Role))
        raise ValueError(f"it is none of {known}, and no dotted name of a Python module")
    return role


class AgentFile(_Section):
    """The fields of agent.toml."""

    description: str = Field(min_length=1, max_length=400)
    """What it does, in one sentence: planning shows it to the model."""
    role: Annotated[str, AfterValidator(_known_role)] = "coding"
    """The built-in behaviour that it follows, with the folder's own prompt; or the dotted name of a
    Python module of yours, importable by swarmd's interpreter, with ``run(context) -> Proposal``. What
    that proposes is judged as coding is."""
    workspace: Literal["required", "none"] = "required"
    """none: it works without a project. Its requests need no repository, are one packet, and end with
    what the agent says instead of a branch."""
    accepts: list[ServedKind] = Field(default_factory=list)
    """Kinds of request that it serves."""
    skills: list[SkillName] | None = Field(default=None, max_length=MAX_SKILLS)
    """Pages under skills/ that it may be shown. Default: all of them."""
    gates: list[GateId] = Field(default_factory=list)
    """Ids of the gates that its work must pass; empty: all of the project's."""
    tier: Tier | None = None
    """The model tier that it starts on. Default: fast."""
    model: str | None = Field(default=None, min_length=1)
    """A model's name from swarmd.toml, instead of a tier."""
    inference: Inference = Inference()
    limits: TypeLimits = TypeLimits()

    @model_validator(mode="after")
    def _one_choice_of_model(self) -> AgentFile:
        if self.tier and self.model:
            raise ValueError("give tier or model, not both")
        return self


@dataclass(frozen=True)
class AgentType:
    """A valid agent type, with everything that its folder says."""

    name: str
    file: AgentFile
    prompt: str
    skills: Mapping[str, str]
    """The text of each skill's page, by the skill's name."""
    sha256: str
    """Over all of the above as they lie in the folder: tells in the log which version worked."""

    @property
    def role(self) -> Role:
        """The built-in behaviour that it follows; "coding" for a module of the user's own."""
        return self.file.role if self.file.role in get_args(Role) else "coding"  # type: ignore[return-value]

    @property
    def module(self) -> str:
        """The Python module whose ``run`` does the work."""
        return f"swarmd.agents.roles.{self.file.role}" if "." not in self.file.role else self.file.role

    @property
    def model(self) -> str | None:
        """The model that it asks for by name, instead of a tier's."""
        return self.file.model

    @property
    def inference(self) -> Inference:
        """How its model is asked."""
        return self.file.inference

    @property
    def limits(self) -> TypeLimits:
        """How much of it there may be."""
        return self.file.limits

    @property
    def info(self) -> TypeInfo:
        """What planning needs to know of it."""
        return TypeInfo(
            name=self.name,
            description=self.file.description,
            role=self.role,
            needs_workspace=self.file.workspace == "required",
            accepts=tuple(self.file.accepts),
            skills=tuple(self.skills),
            gates=tuple(self.file.gates),
            tier=self.file.tier,
            attempts=self.file.limits.attempts,
        )


@dataclass(frozen=True)
class Types:
    """All folders under agents/: the valid ones, and what is wrong with the others."""

    valid: Mapping[str, AgentType] = field(default_factory=dict)
    problems: Mapping[str, AgentError] = field(default_factory=dict)

    @cached_property
    def infos(self) -> dict[str, TypeInfo]:
        """The valid types, for planning."""
        return {name: agent_type.info for name, agent_type in self.valid.items()}


def load_types(folder: Path, models: Collection[str] | None = None) -> Types:
    """Every type under ``folder``; hidden folders and plain files there are no types.

    With ``models``, the names in swarmd.toml, a type that asks for another model is a problem too.
    """
    valid: dict[str, AgentType] = {}
    problems: dict[str, AgentError] = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name.startswith((".", "__")) or not (entry.is_symlink() or entry.is_dir()):
            continue
        try:
            valid[entry.name] = load_type(entry, models)
        except AgentError as error:
            problems[entry.name] = error
    return Types(valid, problems)


def load_type(folder: Path, models: Collection[str] | None = None) -> AgentType:
    """The type that ``folder`` describes. Raises AgentError that names the file and the field."""
    if folder.is_symlink():
        raise _error(folder, "is a symbolic link; copy the folder here instead")
    if not _TYPE_NAME.fullmatch(folder.name):
        raise _error(folder, "is no name for a type: use small letters, digits and hyphens, at most 32")
    path = folder / "agent.toml"
    content = {"agent.toml": _read(path), "prompt.md": _read(folder / "prompt.md")}
    file = _parse(path, content["agent.toml"])
    if models is not None and file.model is not None and file.model not in models:
        known = ", ".join(sorted(models))
        raise _error(path, f"names {file.model!r}; swarmd.toml has: {known}", field="model")
    if not content["prompt.md"].strip():
        raise _error(folder / "prompt.md", "is empty: it says how the agent is asked")
    skills = {name: _read(folder / "skills" / f"{name}.md") for name in _skill_names(folder, file)}
    content |= {f"skills/{name}.md": text for name, text in skills.items()}
    return AgentType(folder.name, file, content["prompt.md"], skills, _digest(content))


def _skill_names(folder: Path, file: AgentFile) -> list[str]:
    pages = folder / "skills"
    if pages.is_symlink():
        raise _error(pages, "is a symbolic link; copy the folder here instead")
    found = sorted(p.stem for p in pages.glob("*.md") if not p.name.startswith("."))
    if file.skills is not None:
        missing = [name for name in file.skills if name not in found]
        if missing:
            problem = f"names {missing[0]!r}, but there is no {pages}/{missing[0]}.md"
            raise _error(folder / "agent.toml", problem, field="skills")
        return sorted(set(file.skills))
    for name in found:
        if not _SKILL_NAME.fullmatch(name):
            raise _error(
                pages / f"{name}.md", "is no name for a skill: use small letters, digits and hyphens"
            )
    if len(found) > MAX_SKILLS:
        raise _error(pages, f"holds {len(found)} pages; at most {MAX_SKILLS} are read")
    return found


def _read(path: Path) -> str:
    try:
        return durable.read_regular(path, MAX_PAGE).decode("utf-8")
    except FileNotFoundError as error:
        raise _error(path, "is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _error(path, f"cannot be read: {error}") from error


def _parse(path: Path, text: str) -> AgentFile:
    try:
        return AgentFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _error(path, f"is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise _error(path, first["msg"], field=name or None) from error


def _error(path: Path, problem: str, *, field: str | None = None) -> AgentError:
    where = f"{path}: {field}:" if field else f"{path}"
    return AgentError(
        f"{where} {problem}",
        code="E-AGENT-TYPE",
        hint="Correct it as agents/README.md says; until then this type gets no work.",
        field=field,
    )


def _digest(content: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, text in sorted(content.items()):
        data = text.encode()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
