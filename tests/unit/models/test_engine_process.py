"""What an engine's end says of its cause."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarmd.models import engine_process
from swarmd.models.engine_process import EngineOptions, EngineProcess

OPTIONS = EngineOptions("m", Path("/m.gguf"), 2048, 2, 1, "auto", "q8_0", embeddings=True)


def ended(tmp_path: Path, returncode: int | None, said: str = "") -> EngineProcess:
    engine = EngineProcess(OPTIONS, tmp_path)
    engine.log.write_text(said)
    process: Any = SimpleNamespace(returncode=returncode, pid=1)
    engine._process = process
    return engine


@pytest.mark.parametrize(
    "said",
    [
        "E ggml_backend_buft_alloc_buffer: failed to allocate CPU buffer of size 402653184\nmore",
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 384.00 MB)",
        "CUDA error: out of memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
    ],
)
def test_words_that_tell_of_memory(tmp_path: Path, said: str) -> None:
    assert ended(tmp_path, 1, said).ran_out_of_memory()
    assert not ended(tmp_path, None, said).ran_out_of_memory(), "it lives"


def test_a_kill_by_the_kernel_is_told_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, kills = ended(tmp_path, -9), [0]
    monkeypatch.setattr(engine_process, "oom_kills", lambda: kills[-1])
    assert not engine.ran_out_of_memory()
    kills.append(1)
    assert engine.ran_out_of_memory()
    assert not ended(tmp_path, 1, "no such file").ran_out_of_memory()
    engine._stopped = True
    assert not engine.ran_out_of_memory(), "its end was asked for"


def test_the_command_bears_every_option(tmp_path: Path) -> None:
    argv = OPTIONS.argv(tmp_path / "s")
    assert argv[argv.index("--cache-type") + 1] == "q8_0"
    assert argv[argv.index("--parallel") + 1] == "2"
    assert argv[-1] == "--embeddings"
    assert argv[1] == "-P"
