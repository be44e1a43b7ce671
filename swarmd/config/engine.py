"""Settings of the embedded engines: how much memory they may take, and what happens when it is short."""

from __future__ import annotations

from pydantic import Field

from swarmd.config.section import Section

__all__ = ["EngineSettings"]


class EngineSettings(Section):
    """Memory for the embedded engines. "swarmd model plan" shows what follows from it."""

    memory_mib: int | None = Field(default=None, ge=64)
    """Most memory that all engines together may take, in MiB, as they are planned. Default: what the machine
    has free, or what its control group is allowed."""
    gpu_memory_mib: int | None = Field(default=None, ge=0)
    """The same of a GPU's memory. 0: no GPU is used. Default: what is free there."""
    margin_mib: int = Field(default=512, ge=0)
    """Memory that is left free for other programs, in MiB; daemon.min_free_memory_mib needs some, too."""
    min_context: int = Field(default=2048, ge=256)
    """Where memory is short, a model is loaded with fewer slots, then with a shorter context, but never with
    one of fewer tokens than this; then its calls fail."""
    swap_after_s: float = Field(default=60.0, ge=0)
    """Two models that do not fit together take turns. The one that waits lets calls of the loaded one go
    first for so long, so that they need not be loaded for each call; it takes its turn at once when there are
    none."""
