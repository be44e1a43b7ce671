"""The environment that processes get which have no business with the user's keys."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["for_models", "for_workers"]

PLAIN = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "NO_COLOR", "TZ"),
        *("LANG", "LANGUAGE", "TMPDIR", "TMP", "TEMP", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    }
)
FAMILIES = ("LC_", "XDG_", "PYTHON", "SWARMD_")
SECRETS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
"""Whatever family a name is of."""
OF_ENGINES = ("CUDA_", "NVIDIA_", "GGML_", "LLAMA_", "OMP_", "GOMP_", "KMP_", "HIP_", "HSA_", "ROCR_", "VK_")
"""What tells an engine which device and how many threads to use."""


def for_workers(env: Mapping[str, str]) -> dict[str, str]:
    """What of ``env`` agents and verifiers get: names that are known to be harmless. A list of what looks
    like a key would always lack one."""
    return _only(env, FAMILIES)


def for_models(env: Mapping[str, str]) -> dict[str, str]:
    """What of ``env`` a broker gets that asks no model elsewhere, and its engines: no keys and no proxies."""
    return _only(env, (*FAMILIES, *OF_ENGINES))


def _only(env: Mapping[str, str], families: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if (name in PLAIN or name.startswith(families)) and not name.endswith(SECRETS)
    }
