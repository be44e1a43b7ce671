"""The arithmetic of memory: what a model takes, and what is left out where that is too much."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.config import EngineSettings, ModelSettings
from swarmd.models.fitting import Footprint, Profile, Room, fit, footprint, ladder, lower, room, wished
from swarmd.models.gguf import COMPUTE_BYTES, GPU_MARGIN_BYTES, Shape
from swarmd.models.memory import Gpu, Reading

MIB, GIB = 1024**2, 1024**3
SMALL = Shape("qwen2", 28, 2, 128, 128, 32_768, 1_117_320_768, repack_bytes=625_508_352)
"""Qwen2.5-Coder-1.5B, Q4_K_M."""
CODER_7B = Shape("qwen2", 28, 4, 128, 128, 32_768, int(4.36 * GIB))
ENGINE = EngineSettings()


@pytest.mark.parametrize(("cache", "mib"), [("f16", 384), ("q8_0", 204), ("q4_0", 108)])
def test_the_cache_is_what_llama_cpp_logs_for_each_type(cache: str, mib: int) -> None:
    shape = Shape("qwen2", 24, 2, 64, 64, 32_768, 491_400_064)
    assert shape.kv_bytes(32_768, cache) == mib * MIB  # type: ignore[arg-type]


def test_the_memory_of_an_engine_is_a_little_more_than_was_measured() -> None:
    need = footprint(SMALL, Profile(8192, 1, 1))
    assert need.ram / MIB == pytest.approx(1066 + 596.5 + 224 + 150 + 4, abs=1)
    assert 1981 * MIB < need.ram < 2100 * MIB, "its resident set was 1981 MiB"


def test_layers_on_the_gpu_are_not_held_in_ram() -> None:
    alone = footprint(CODER_7B, Profile(8192, 1, 1, gpu_layers=29))
    assert alone.vram == CODER_7B.file_bytes + 448 * MIB
    assert alone.ram == CODER_7B.compute_bytes(8192)
    half = footprint(CODER_7B, Profile(8192, 1, 1, gpu_layers=14))
    assert alone.vram * 14 // 29 == half.vram


@pytest.mark.parametrize(
    ("context", "slots", "cache", "whole"),
    [(8192, 1, "f16", True), (32_768, 1, "f16", True), (32_768, 2, "f16", False), (32_768, 2, "q8_0", True)],
)
def test_what_of_a_7b_an_8_gib_card_holds(context: int, slots: int, cache: str, whole: bool) -> None:
    wish = Profile(context, 1, slots, cache, 29)  # type: ignore[arg-type]
    assert Room(64 * GIB, int(7.5 * GIB)).holds(footprint(CODER_7B, wish)) == whole


def test_what_fits_is_not_reduced() -> None:
    wish = wished(ModelSettings(parallel=2), SMALL)
    assert wish == Profile(4096, 2, 2, "f16", 29)
    plenty = Room(64 * GIB, 24 * GIB)
    assert fit(SMALL, wish, plenty, ENGINE) == wish
    assert fit(SMALL, wish, Room(64 * GIB), ENGINE) == replace(wish, gpu_layers=0)


def test_slots_go_first_then_parallel_calls_then_context_down_to_the_least() -> None:
    wish = Profile(8192, 4, 6)
    steps = [(step.slots, step.parallel, step.context) for step in ladder(wish, ENGINE)]
    assert steps == [(6, 4, 8192), (4, 4, 8192), (2, 2, 8192), (1, 1, 8192), (1, 1, 4096), (1, 1, 2048)]
    assert [step.context for step in ladder(Profile(1024, 1, 1), ENGINE)] == [1024]


def test_after_an_out_of_memory_layers_go_first() -> None:
    less = lower(Profile(4096, 1, 1, gpu_layers=29), ENGINE)
    assert less == Profile(4096, 1, 1, gpu_layers=22)
    assert lower(Profile(4096, 1, 1, gpu_layers=1), ENGINE) == Profile(4096, 1, 1)
    assert lower(Profile(2048, 1, 1), ENGINE) is None


def test_room_is_the_limit_less_the_plans_or_what_is_free() -> None:
    reading = Reading(16 * GIB, 10 * GIB)
    loaded = Footprint(2 * GIB, mapped=GIB)
    free = 10 * GIB - 512 * MIB
    assert room(reading, ENGINE) == Room(free)
    assert room(reading, ENGINE, kept=[loaded]).ram == free - GIB, "mapped weights only look free"
    assert room(reading, ENGINE, gone=[loaded]).ram == free + GIB, "the rest of it will be"
    limited = EngineSettings(memory_mib=4096)
    assert room(reading, limited).ram == 4 * GIB
    assert room(reading, limited, kept=[loaded]).ram == 2 * GIB
    assert room(Reading(GIB, 100), ENGINE).ram == 0


def test_gpu_memory_counts_only_where_it_can_be_used() -> None:
    reading = Reading(16 * GIB, 10 * GIB, (Gpu("a", 8 * GIB, 3 * GIB), Gpu("b", 8 * GIB, 7 * GIB)))
    on_gpu = Footprint(0, 2 * GIB)
    assert room(reading, ENGINE).vram == 7 * GIB
    assert room(reading, ENGINE, gone=[on_gpu]).vram == 9 * GIB
    assert room(reading, ENGINE, gpu=False).vram is None
    assert room(reading, EngineSettings(gpu_memory_mib=0)).vram is None
    assert room(reading, EngineSettings(gpu_memory_mib=4096), kept=[on_gpu]).vram == 2 * GIB


profiles = st.builds(
    lambda context, parallel, more, layers: Profile(context, parallel, parallel + more, gpu_layers=layers),
    st.integers(256, 131_072),
    st.integers(1, 16),
    st.integers(0, 16),
    st.integers(0, 29),
)


@given(profiles, st.integers(0, 32 * GIB), st.one_of(st.none(), st.integers(0, 32 * GIB)))
def test_what_is_chosen_always_fits_and_is_never_more_than_wished(
    wish: Profile, ram: int, vram: int | None
) -> None:
    chosen = fit(CODER_7B, wish, Room(ram, vram), ENGINE)
    if chosen is None:
        return
    need = footprint(CODER_7B, chosen)
    assert need.ram <= ram
    assert need.vram <= max(0, (vram or 0) - GPU_MARGIN_BYTES)
    assert all(now <= wish.counts()[name] for name, now in chosen.counts().items())
    assert chosen.slots >= chosen.parallel >= 1
    assert need.ram >= COMPUTE_BYTES
