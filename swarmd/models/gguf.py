"""What a GGUF file says of itself, and how much memory it will take.

The header is read by hand: the usual library parses a vocabulary of 150,000 tokens for 20 s, and
nothing of it is needed here.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from swarmd.errors import WeightsError

__all__ = [
    "BATCH",
    "CACHE_BYTES",
    "COMPUTE_BYTES",
    "GPU_MARGIN_BYTES",
    "CacheType",
    "Shape",
    "gpu_layers_that_fit",
    "read_metadata",
    "read_shape",
]

MIB = 1024 * 1024
BATCH = 256
"""Prompt tokens that an engine reads at one time. An aborted call ends only between two batches."""
COMPUTE_BYTES = 150 * MIB
"""What an engine's process needs besides weights, cache and attention mask. Measured on a CPU: 60 MiB for the
process, and buffers of 21 MiB (0.5B) and 34 MiB (1.5B), which grow with the model's width."""
GPU_MARGIN_BYTES = 1024 * MIB
"""Left free on a GPU for its driver, compute buffers and the desktop."""

CacheType = Literal["f16", "q8_0", "q4_0"]
CACHE_BYTES: Mapping[CacheType, tuple[int, int]] = {"f16": (2, 1), "q8_0": (34, 32), "q4_0": (18, 32)}
"""Bytes of so many cached numbers: the quantised types keep 32 numbers and their 2-byte scale in a block."""

REPACKED_TYPES = frozenset({2, 10, 12, 20})
"""Q4_0, Q2_K, Q4_K and IQ4_NL: a CPU engine keeps a second copy of such matrices, in the order in which its
vector instructions read them (all four at most: which ones depends on the CPU)."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
MAX_LAYERS = 4096
"""Longer arrays of numbers are no list of layers, and are passed over."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a model that decide its memory."""

    architecture: str
    layers: int
    kv_heads: int
    key_length: int
    value_length: int
    train_context: int
    """The longest context it was trained for."""
    file_bytes: int
    repack_bytes: int = 0
    """The second copy of some matrices that an engine on a CPU makes."""
    kv_heads_of_layers: tuple[int, ...] = ()
    """Where the layers differ; 0 for one without attention. Empty: all have ``kv_heads``."""

    @property
    def kv_heads_total(self) -> int:
        """Over all layers."""
        return sum(self.kv_heads_of_layers) or self.layers * self.kv_heads

    def kv_bytes(self, tokens: int, cache: CacheType = "f16") -> int:
        """The cache for ``tokens`` over all slots: layers x KV heads x (key + value length) x tokens x bytes
        of a number. Of models whose layers look only at a window of the text it is more than they need."""
        numbers = self.kv_heads_total * (self.key_length + self.value_length) * tokens
        size, count = CACHE_BYTES[cache]
        return -(-numbers * size // count)

    def compute_bytes(self, tokens: int) -> int:
        """The process, its buffers, and the attention mask: two bytes for each pair of a token of the batch
        and one of ``tokens``, the most that one call can have."""
        return COMPUTE_BYTES + tokens * BATCH * 2

    def memory_bytes(self, tokens: int) -> int:
        """What an engine with room for ``tokens`` (f16, one slot) needs at most, on a CPU."""
        return self.file_bytes + self.repack_bytes + self.kv_bytes(tokens) + self.compute_bytes(tokens)


def read_shape(path: Path) -> Shape:
    """The shape of the model in ``path``. Raises WeightsError when the header cannot be read."""
    data, repack = _read(path, tensors=True)
    try:
        shape = _shape(data, path.stat().st_size, repack)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"{path} does not say what shape its model has: {error}") from error
    if not (0 < shape.layers <= MAX_LAYERS and shape.kv_heads_total > 0):
        raise WeightsError(
            f"{path} says that its model has {shape.layers} layers, {shape.kv_heads_total} heads"
        )
    return shape


def _shape(data: Mapping[str, Any], file_bytes: int, repack_bytes: int) -> Shape:
    arch = str(data["general.architecture"])
    heads = data[f"{arch}.attention.head_count"]
    kv_heads = data.get(f"{arch}.attention.head_count_kv", heads)
    by_layer = tuple(map(int, kv_heads)) if isinstance(kv_heads, tuple) else ()
    most_heads = max(heads) if isinstance(heads, tuple) else heads
    head_length = data[f"{arch}.embedding_length"] // most_heads
    return Shape(
        architecture=arch,
        layers=int(data[f"{arch}.block_count"]),
        kv_heads=max(by_layer) if by_layer else int(kv_heads),
        key_length=int(data.get(f"{arch}.attention.key_length", head_length)),
        value_length=int(data.get(f"{arch}.attention.value_length", head_length)),
        train_context=int(data[f"{arch}.context_length"]),
        file_bytes=file_bytes,
        repack_bytes=repack_bytes,
        kv_heads_of_layers=by_layer,
    )


def gpu_layers_that_fit(shape: Shape, tokens: int, free_bytes: int, cache: CacheType = "f16") -> int:
    """How many layers, the output layer included, fit into ``free_bytes`` of GPU memory."""
    everything = shape.layers + 1
    whole = shape.file_bytes + shape.kv_bytes(tokens, cache)
    return max(0, min(everything, (free_bytes - GPU_MARGIN_BYTES) * everything // whole))


def read_metadata(path: Path) -> dict[str, Any]:
    """The header's values by key; short arrays of numbers are tuples, others are passed over. Raises
    WeightsError."""
    return _read(path, tensors=False)[0]


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], int]:
    """The header's values, and with ``tensors`` the bytes that a CPU engine would hold twice."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = _Reader(data)
            metadata = reader.metadata()
            return metadata, reader.repacked_bytes(metadata) if tensors else 0
    except (OSError, ValueError, TypeError, KeyError, struct.error, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path} is not a readable GGUF file: {error}") from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0
        self._tensors = 0

    def metadata(self) -> dict[str, Any]:
        magic, version, self._tensors, count = self._take("<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"its first bytes are {magic!r}, version {version}")
        found = {}
        for _ in range(count):
            key = self._string()
            (kind,) = self._take("<I")
            value = self._value(kind)
            if value is not None:
                found[key] = value
        return found

    def repacked_bytes(self, metadata: Mapping[str, Any]) -> int:
        """What a CPU engine holds twice of the tensors, whose table follows the metadata. A tensor's bytes
        go to where the next one begins."""
        table = [self._tensor() for _ in range(self._tensors)]
        alignment = max(1, int(metadata.get("general.alignment", 32)))
        data_bytes = len(self._data) - -(-self._at // alignment) * alignment
        bounds = [*sorted(offset for _, _, offset in table), data_bytes]
        ends = dict(pairwise(bounds))
        return sum(
            max(0, ends[offset] - offset)
            for name, kind, offset in table
            if kind in REPACKED_TYPES and not name.startswith("token_embd")
        )

    def _tensor(self) -> tuple[str, int, int]:
        """Name, type and offset of the next tensor."""
        name = self._string()
        (dimensions,) = self._take("<I")
        if dimensions > 8:
            raise ValueError(f"a tensor has {dimensions} dimensions")
        *_, kind, offset = self._take(f"<{dimensions}QIQ")
        return name, kind, offset

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def _string(self) -> str:
        (length,) = self._take("<Q")
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise ValueError("a string runs over its end")
        return self._data[start : self._at].decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        return self._take("<" + _SCALARS[kind])[0]

    def _array(self) -> tuple[Any, ...] | None:
        """The numbers of a short array; None for another, which is passed over."""
        kind, count = self._take("<IQ")
        if kind in _SCALARS and count <= MAX_LAYERS:
            return self._take(f"<{count}{_SCALARS[kind]}")
        self._skip(kind, count)
        return None

    def _skip(self, kind: int, count: int) -> None:
        if kind == _STRING:
            length_at, data, at = struct.Struct("<Q").unpack_from, self._data, self._at
            for _ in range(count):
                at += 8 + length_at(data, at)[0]
            self._at = at
        elif kind == _ARRAY:
            for _ in range(count):
                self._skip(*self._take("<IQ"))
        else:
            self._at += count * struct.calcsize("<" + _SCALARS[kind])
