from __future__ import annotations

import struct
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmd.errors import WeightsError
from swarmd.models import engine
from swarmd.models.gguf import GPU_MARGIN_BYTES, Shape, gpu_layers_that_fit, read_metadata, read_shape

MIB = 1024 * 1024
CODER_1_5B = Shape("qwen2", 28, 2, 128, 128, 32_768, 1_117_320_768)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def gguf(*entries: bytes, version: int = 3) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, 0, len(entries)) + b"".join(entries)


def number(key: str, value: int) -> bytes:
    return entry(key, 4, struct.pack("<I", value))


ENTRIES = (
    entry("general.architecture", 8, text("qwen2")),
    entry("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + text("a") + text("bcd") + text("")),
    entry("tokenizer.ggml.scores", 9, struct.pack("<IQff", 6, 2, 1.0, 2.0)),
    number("qwen2.block_count", 24),
    number("qwen2.embedding_length", 896),
    number("qwen2.attention.head_count", 14),
    number("qwen2.attention.head_count_kv", 2),
    number("qwen2.context_length", 32_768),
)
SMALL = gguf(*ENTRIES)


def test_the_shape_is_read_past_arrays(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(SMALL)

    assert read_shape(path) == Shape("qwen2", 24, 2, 64, 64, 32_768, len(SMALL))


@pytest.mark.parametrize("cut", [*range(0, len(SMALL) - 1, 7), len(SMALL) - 1])
def test_a_header_that_is_cut_anywhere_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(SMALL[:cut])

    with pytest.raises(WeightsError):
        read_shape(path)


def test_other_files_and_versions_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    for content in (b"PK\3\4" + SMALL[4:], gguf(version=1), gguf(entry("odd", 99, b""))):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a readable GGUF"):
            read_metadata(path)


def test_cache_and_memory_match_what_llama_cpp_reports() -> None:
    assert CODER_1_5B.kv_bytes(8192) == 224 * MIB
    assert 1400 * MIB < CODER_1_5B.memory_bytes(8192) < 1500 * MIB


def test_gpu_layers_are_what_free_memory_holds_beside_the_margin() -> None:
    assert gpu_layers_that_fit(CODER_1_5B, 4096, GPU_MARGIN_BYTES // 2) == 0
    assert gpu_layers_that_fit(CODER_1_5B, 4096, 80 * 1024 * MIB) == 29
    half = gpu_layers_that_fit(CODER_1_5B, 4096, GPU_MARGIN_BYTES + CODER_1_5B.file_bytes // 2)
    assert 10 < half < 15


def test_the_engine_uses_the_gpu_with_most_free_memory_and_none_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(SMALL)
    devices = [{"type": "cpu", "memory_free": 64 << 30}]
    library = SimpleNamespace(
        ggml_backend_dev_type=SimpleNamespace(GGML_BACKEND_DEVICE_TYPE_GPU="gpu"),
        get_device_info=lambda: devices,
    )
    auto = Namespace(gpu_layers="auto", weights=path, cache_type="f16")
    fixed = Namespace(gpu_layers="7", weights=path, cache_type="f16")

    assert engine._gpu_layers(library, auto, 4096) == 0
    devices += [{"type": "gpu", "memory_free": 1 << 20}, {"type": "gpu", "memory_free": 8 << 30}]
    assert engine._gpu_layers(library, auto, 4096) == 25
    assert engine._gpu_layers(library, fixed, 4096) == 7


def numbers(key: str, *values: int) -> bytes:
    data = struct.pack(f"<IQ{len(values)}I", 4, len(values), *values)
    return entry(key, 9, data)


def tensor(name: str, kind: int, offset: int) -> bytes:
    return text(name) + struct.pack("<IQQIQ", 2, 32, 32, kind, offset)


def with_tensors(*tensors: bytes, data: int, **header: bytes) -> bytes:
    """SMALL, with a table of tensors and their bytes."""
    body = SMALL[24:] + b"".join(header.values())
    count = 8 + len(header)
    whole = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), count) + body + b"".join(tensors)
    return whole + bytes(-len(whole) % 32) + bytes(data)


def test_what_a_cpu_engine_holds_twice_is_counted_by_type(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    tensors = (
        *(tensor("token_embd.weight", 12, 0), tensor("a.weight", 12, 1024)),
        *(tensor("b.weight", 14, 3072), tensor("c.weight", 2, 4096)),
    )
    path.write_bytes(with_tensors(*tensors, data=4096 + 512))

    assert read_shape(path).repack_bytes == 2048 + 512
    path.write_bytes(with_tensors(*tensors, data=4096 + 512)[:-700])
    assert read_shape(path).repack_bytes <= 2048 + 512


def test_layers_that_differ_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    heads = numbers("qwen2.attention.head_count_kv", *([2, 0] * 12))
    path.write_bytes(gguf(*[one for one in ENTRIES if b"head_count_kv" not in one], heads))

    shape = read_shape(path)

    assert (shape.kv_heads, shape.kv_heads_total) == (2, 24)
    assert shape.kv_bytes(1000) == 24 * 128 * 1000 * 2


def nested(depth: int) -> bytes:
    return struct.pack("<IQ", 9, 1) * depth + struct.pack("<IQ", 4, 0)


@pytest.mark.parametrize(
    "content",
    [
        gguf(entry("deep", 9, nested(100_000))),
        with_tensors(text("t") + struct.pack("<I", 1 << 31), data=0),
        gguf(number("qwen2.block_count", 24)),
        gguf(entry("general.architecture", 8, text("qwen2")), *(number(f"qwen2.{key}", 0) for key in "ab")),
    ],
)
def test_hostile_headers_are_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)

    with pytest.raises(WeightsError):
        read_shape(path)


@pytest.mark.parametrize(("key", "value"), [("block_count", 0), ("block_count", 2**31), ("head_count", 0)])
def test_shapes_that_no_model_has_are_errors(tmp_path: Path, key: str, value: int) -> None:
    path = tmp_path / "m.gguf"
    others = [one for one in ENTRIES if not one.startswith(text(f"qwen2.{key}"))]
    others = [one for one in others if not one.startswith(text(f"qwen2.attention.{key}"))]
    name = f"qwen2.attention.{key}" if key == "head_count" else f"qwen2.{key}"
    path.write_bytes(gguf(*others, number(name, value)))

    with pytest.raises(WeightsError):
        read_shape(path)
