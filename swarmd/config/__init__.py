"""Settings: their meaning, their defaults, and where each value comes from.

Order, strongest first: environment (``SWARMD_DAEMON__MAX_AGENTS=4``), ``swarmd.toml`` of the home,
the defaults here. Everything is optional. Keys of free tables (``models.<name>``) keep their case.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import Field, ValidationError, model_validator

from swarmd.config.costs import CostSettings
from swarmd.config.engine import EngineSettings
from swarmd.config.policy import PolicySettings, Reaction, TierNumbers
from swarmd.config.routing import BudgetSettings, Mode, RoutingSettings, RuleSettings
from swarmd.config.section import Section
from swarmd.errors import ConfigError

__all__ = [
    "BudgetSettings",
    "CostSettings",
    "DaemonSettings",
    "Durability",
    "EngineSettings",
    "LimitSettings",
    "LogSettings",
    "Mode",
    "ModelSettings",
    "OllamaSettings",
    "PolicySettings",
    "Reaction",
    "RoutingSettings",
    "RuleSettings",
    "SandboxSettings",
    "Settings",
    "TierNumbers",
    "TierSettings",
    "WatchMode",
    "load",
    "origins",
]

Durability = Literal["power", "process", "off"]
WatchMode = Literal["auto", "sweep"]

ENV_PREFIX = "SWARMD_"


class DaemonSettings(Section):
    """How the daemon runs."""

    max_agents: int = Field(default=10, ge=1, le=100)
    """Most agents alive at one time, over all types."""
    max_verifiers: int = Field(default=2, ge=1, le=32)
    """Most verifiers alive at one time."""
    max_active_requests: int = Field(default=4, ge=1, le=100_000)
    """Requests that are worked on at one time; more wait in the inbox."""
    durability: Durability = "power"
    """What an acknowledged request survives. power: power loss; each group of changes is synced.
    process: kill -9 at any moment; the disk is synced at checkpoints, at least once a minute of work.
    off: as process, but nothing is ever synced."""
    ageing_s: float = Field(default=900.0, gt=0)
    """A request that has waited so long counts as one priority higher, and so on, so that low ones are
    never starved."""
    keep_days: int = Field(default=30, ge=0)
    """Ended requests older than this are removed from bus/done/ and bus/outbox/, if nothing else keeps
    them. 0: they are kept whatever their age."""
    keep_requests: int = Field(default=100_000, ge=0)
    """Most ended requests that are kept, the newest. 0: no limit."""
    keep_mib: int = Field(default=4096, ge=0)
    """Most space that ended requests take in bus/done/, in MiB. 0: no limit."""
    min_free_disk_mib: int = Field(default=256, ge=0)
    """While less is free on the home's disk, no new request is taken."""
    idle_timeout_s: float = Field(default=300.0, ge=0.1)
    """An agent that has had nothing to do for so long is ended."""
    heartbeat_s: float = Field(default=2.0, ge=0.05)
    """How often a working agent says that it is alive."""
    hung_after_s: float = Field(default=900.0, ge=0.5)
    """An agent whose work loop has not moved for so long is ended and its packet given to another."""
    ready_timeout_s: float = Field(default=30.0, ge=0.5)
    """A new process that has not said READY by then is ended."""
    watch: WatchMode = "auto"
    """How dropped files are noticed. auto: by events of the file system, and by listing the folders every
    ``sweep_interval_s``; where the file system does not tell of every change ("swarmd doctor" says so),
    by listing alone. sweep: by listing alone. Listing alone is done twice a second."""
    sweep_interval_s: float = Field(default=5.0, ge=0.1)
    """How often the folders are read in full, whatever events came."""
    settle_s: float = Field(default=0.5, ge=0.0)
    """A file that does not parse is read again until it has been unchanged for so long."""
    half_written_s: float = Field(default=10.0, ge=0.0)
    """A file that looks cut off (incomplete JSON, or empty) gets this long to be completed."""
    drain_s: float = Field(default=10.0, ge=0.0)
    """How long ``swarmd down`` lets running steps finish before it checkpoints them."""
    restart_failures: int = Field(default=8, ge=1)
    """When so many workers of a type have failed within ``restart_window_s``, the type pauses."""
    restart_window_s: float = Field(default=60.0, gt=0)
    """How long the failure of a worker counts."""
    restart_pause_s: float = Field(default=20.0, gt=0)
    """How long a type pauses that fails too often, give or take a quarter; it goes on by itself."""
    min_free_memory_mib: int = Field(default=512, ge=0)
    """While the machine has less memory free, no worker is started and no new request is taken."""
    max_load_per_core: float = Field(default=4.0, ge=0)
    """While the machine's load is higher, a type that has a worker gets no other. 0: no limit."""
    max_crashes: int = Field(default=3, ge=1)
    """A packet that has ended so many agents or verifiers is given up as poison."""
    max_request_bytes: int = Field(default=1_048_576, ge=1024)
    """A larger dropped file is refused."""


class ModelSettings(Section):
    """One model, and who serves it."""

    provider: Literal["auto", "embedded", "ollama", "openai", "anthropic"] = "auto"
    """auto: a reachable Ollama that has it, else embedded. openai: any OpenAI-compatible URL. anthropic:
    Anthropic's service, or a server that speaks its protocol; it needs the extra "cloud"."""
    weights: str | None = None
    """embedded: a name from the catalogue ("swarmd model list"), or an absolute path of a GGUF."""
    name: str | None = None
    """ollama, openai, anthropic: the model's name on that server."""
    base_url: str | None = None
    """openai: the server's URL, up to and with /v1, or "unix:" and the absolute path of its socket.
    anthropic: likewise; default: https://api.anthropic.com."""
    api_key_env: str | None = None
    """openai, anthropic: the environment variable that holds the key. Keys never stand in this file."""
    context: int = Field(default=4096, ge=256)
    """Tokens that prompt and reply may have together. It stays the same over all calls, because a
    change makes servers load the model anew."""
    parallel: int = Field(default=1, ge=1, le=64)
    """embedded, ollama: calls made at one time; each has ``context`` tokens. For every provider: how many
    samples of one attempt are drawn at one time, within policy.concurrency."""
    slots: int | None = Field(default=None, ge=1, le=64)
    """embedded: prompts that it keeps ready to go on with, so that agents that take turns need not have the
    same beginning read again; at least ``parallel``. Each takes memory for ``context`` tokens. Default: 2, or
    ``parallel`` if that is more; fewer where memory is short."""
    cache_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    """embedded: how the cache of what was read is kept. q8_0 takes about half the memory of f16, q4_0 about a
    quarter, at some loss of accuracy."""
    embeddings: bool = False
    """embedded: whether its engine makes embeddings, too."""
    gpu_layers: int | Literal["auto"] = "auto"
    """embedded: layers held on the GPU; auto: as many as free memory allows, 0 without a GPU."""
    threads: int | None = Field(default=None, ge=1)
    """embedded: threads; default: the physical cores."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sampling: default of the server."""
    fill: Literal["auto", "none", "qwen", "starcoder", "deepseek", "codellama", "codegemma"] = "auto"
    """How the model is asked to fill a gap in code: the marks that its makers trained it with. auto: by the
    model's name. none: it never is."""
    continues: bool | None = None
    """Whether the server goes on with a reply that was begun for it, as llama.cpp's does: the last message is
    then the assistant's. What is known beforehand need not be written, and the reply cannot be of another
    function. Default: not of providers "openai" and "anthropic": some of their servers refuse it. One that
    begins anew instead is understood, too."""
    first_token_s: float = Field(default=600.0, gt=0)
    """A call that has not produced anything by then is ended. Long prompts on a CPU take minutes."""
    between_tokens_s: float = Field(default=60.0, gt=0)
    """A call that stalls so long between two tokens is ended."""
    call_s: float = Field(default=1200.0, gt=0)
    """A call that takes longer in all is ended."""
    prompt_price: int = Field(default=0, ge=0)
    """openai: micro-USD for a million prompt tokens. Models on this machine cost nothing."""
    reply_price: int = Field(default=0, ge=0)
    """openai: micro-USD for a million tokens of replies."""

    @property
    def goes_on(self) -> bool:
        """Whether its server goes on with a reply that was begun for it."""
        able = self.provider not in ("openai", "anthropic")
        return able if self.continues is None else self.continues


DEFAULT_MODELS: dict[str, ModelSettings] = {
    "qwen2.5-coder-0.5b": ModelSettings(
        weights="qwen2.5-coder-0.5b-instruct-q4_k_m", name="qwen2.5-coder:0.5b"
    ),
    "qwen2.5-coder-1.5b": ModelSettings(
        weights="qwen2.5-coder-1.5b-instruct-q4_k_m", name="qwen2.5-coder:1.5b"
    ),
}


class TierSettings(Section):
    """Which model serves which tier."""

    fast: str = "qwen2.5-coder-0.5b"
    deep: str = "qwen2.5-coder-1.5b"
    reviewer: str = "qwen2.5-coder-1.5b"


class SandboxSettings(Section):
    """Where model-written code runs."""

    level: Literal["auto", "bwrap", "landlock"] = "auto"
    """auto: bubblewrap, else Landlock with seccomp, else refuse."""
    agents: Literal["require", "best-effort"] = "require"
    """require: agents that cannot be confined are not started."""
    memory_mib: int = Field(default=4096, ge=64)
    processes: int = Field(default=256, ge=8)
    gate_s: int = Field(default=300, ge=1)
    """Wall time of one gate, in seconds."""
    disk_mib: int = Field(default=1024, ge=16)
    """Largest file that a gate may write."""
    trace_tests: int = Field(default=30, ge=0, le=1000)
    """Most failing, and most passing, tests of the base commit that are run once more to see which
    functions they run, so that a bugfix begins where the defect is likeliest. 0: none."""
    trace_s: float = Field(default=20.0, gt=0)
    """Wall time for that, in seconds; what is not done by then is left out."""


class OllamaSettings(Section):
    """Where Ollama is looked for."""

    host: str = "http://127.0.0.1:11434"
    keep_alive: str = "10m"


class LimitSettings(Section):
    """What one request may use, unless it asks for less."""

    seconds: int = Field(default=3600, ge=1)
    tokens: int = Field(default=400_000, ge=1)
    micro_usd: int = Field(default=0, ge=0)


class LogSettings(Section):
    """How the log is kept."""

    segment_mib: int = Field(default=64, ge=1)
    """Size, in MiB, from which on a log's file is moved to archive/ beside it and the next one begun."""


class Settings(Section):
    """Everything that can be set."""

    daemon: DaemonSettings = DaemonSettings()
    tiers: TierSettings = TierSettings()
    models: dict[str, ModelSettings] = Field(default_factory=lambda: dict(DEFAULT_MODELS))
    """Models by name. Those named here are added to the defaults."""
    policy: PolicySettings = PolicySettings()
    routing: RoutingSettings = RoutingSettings()
    budget: BudgetSettings = BudgetSettings()
    sandbox: SandboxSettings = SandboxSettings()
    ollama: OllamaSettings = OllamaSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    costs: CostSettings = CostSettings()
    logs: LogSettings = LogSettings()
    privacy: Literal["strict", "balanced", "off"] = "strict"
    """strict: no packet leaves this machine."""
    weights_folder: str | None = None
    """Where weights are kept. Default: $XDG_CACHE_HOME/swarmd/weights."""
    python: str | None = None
    """Interpreter for gates of projects without their own .venv. Default: swarmd's own."""

    @model_validator(mode="before")
    @classmethod
    def _add_default_models(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("models"), dict):
            return {**data, "models": {**DEFAULT_MODELS, **data["models"]}}
        return data

    @model_validator(mode="after")
    def _tiers_name_models(self) -> Settings:
        for tier in ("fast", "deep", "reviewer"):
            name = getattr(self.tiers, tier)
            if name not in self.models:
                known = ", ".join(sorted(self.models))
                raise ValueError(f"tiers.{tier} names the model {name!r}; models has: {known}")
        return self

    @model_validator(mode="after")
    def _routing_names_models(self) -> Settings:
        routing = self.routing
        named = {
            f"routing.fallbacks.{tier}": routing.fallbacks.of(tier) for tier in ("fast", "deep", "reviewer")
        }
        named |= {"routing.cloud": routing.cloud}
        named |= {f"routing.rules: {rule.name}": rule.models for rule in routing.rules}
        for where, names in named.items():
            unknown = [name for name in names if name not in self.models]
            if unknown:
                known = ", ".join(sorted(self.models))
                raise ValueError(f"{where} names the model {unknown[0]!r}; models has: {known}")
        return self


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """The settings of the home whose swarmd.toml is ``path``; an absent file means defaults.

    Raises ConfigError that names the file, the field and what is wrong with it.
    """
    return _validate(_merge(_read(path), _from_env(env)), path)


def origins(path: Path, env: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    """Every setting as (dotted name, value, origin); origin is default, the file, or a variable."""
    in_file, in_env = _flatten(_read(path)), _flatten(_from_env(env))
    values = _flatten(load(path, env).model_dump(mode="json"))
    return [(name, value, _origin(name, in_file, in_env, path)) for name, value in values.items()]


def _origin(name: str, in_file: Mapping[str, Any], in_env: Mapping[str, Any], path: Path) -> str:
    if name in in_env:
        return ENV_PREFIX + name.upper().replace(".", "__")
    return str(path) if name in in_file else "default"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, text in env.items():
        parts = name.removeprefix(ENV_PREFIX).lower().split("__")
        if not name.startswith(ENV_PREFIX) or parts[0] not in Settings.model_fields:
            continue
        branch = tree
        for part in parts[:-1]:
            branch = branch.setdefault(part, {})
        branch[parts[-1]] = _parse(text)
    return tree


def _parse(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _validate(data: dict[str, Any], path: Path) -> Settings:
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {field or 'settings'}: {first['msg']}", field=field) from error
