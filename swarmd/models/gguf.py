"""What a GGUF file says of itself, and how much memory it will take.

The header is read by hand: the usual library parses a vocabulary of 150,000 tokens for 20 s, and
nothing of it is needed here.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmd.errors import WeightsError

__all__ = ["Shape", "gpu_layers_that_fit", "read_metadata", "read_shape"]

MIB = 1024 * 1024
COMPUTE_BYTES = 150 * MIB
"""Buffers that an engine needs besides weights and cache: measured 75 to 120 MiB on a CPU."""
GPU_MARGIN_BYTES = 1024 * MIB
"""Left free on a GPU for its driver, compute buffers and the desktop."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


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

    def kv_bytes(self, tokens: int) -> int:
        """The cache for ``tokens`` over all slots, two bytes for each number (f16)."""
        return self.layers * self.kv_heads * (self.key_length + self.value_length) * tokens * 2

    def memory_bytes(self, tokens: int) -> int:
        """What an engine with room for ``tokens`` needs at least, on a CPU."""
        return self.file_bytes + self.kv_bytes(tokens) + COMPUTE_BYTES


def read_shape(path: Path) -> Shape:
    """The shape of the model in ``path``. Raises WeightsError when the header cannot be read."""
    data = read_metadata(path)
    try:
        arch = data["general.architecture"]
        heads = data[f"{arch}.attention.head_count"]
        head_length = data[f"{arch}.embedding_length"] // heads
        return Shape(
            architecture=arch,
            layers=data[f"{arch}.block_count"],
            kv_heads=data.get(f"{arch}.attention.head_count_kv", heads),
            key_length=data.get(f"{arch}.attention.key_length", head_length),
            value_length=data.get(f"{arch}.attention.value_length", head_length),
            train_context=data[f"{arch}.context_length"],
            file_bytes=path.stat().st_size,
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise WeightsError(f"{path} does not say what shape its model has: {error}") from error


def gpu_layers_that_fit(shape: Shape, tokens: int, free_bytes: int) -> int:
    """How many layers, the output layer included, fit into ``free_bytes`` of GPU memory."""
    everything = shape.layers + 1
    per_layer = (shape.file_bytes + shape.kv_bytes(tokens)) / everything
    return max(0, min(everything, int((free_bytes - GPU_MARGIN_BYTES) // per_layer)))


def read_metadata(path: Path) -> dict[str, Any]:
    """The header's single values by key; arrays are passed over. Raises WeightsError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).metadata()
    except (OSError, ValueError, struct.error, KeyError) as error:
        raise WeightsError(f"{path} is not a readable GGUF file: {error}") from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def metadata(self) -> dict[str, Any]:
        magic, version, _tensors, count = self._take("<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"its first bytes are {magic!r}, version {version}")
        found = {}
        for _ in range(count):
            key = self._string()
            (kind,) = self._take("<I")
            value = self._value(kind)
            if kind != _ARRAY:
                found[key] = value
        return found

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
            return self._skip_array()
        return self._take("<" + _SCALARS[kind])[0]

    def _skip_array(self) -> None:
        kind, count = self._take("<IQ")
        if kind == _STRING:
            length_at, data, at = struct.Struct("<Q").unpack_from, self._data, self._at
            for _ in range(count):
                at += 8 + length_at(data, at)[0]
            self._at = at
        elif kind == _ARRAY:
            for _ in range(count):
                self._skip_array()
        else:
            self._at += count * struct.calcsize("<" + _SCALARS[kind])
