from __future__ import annotations

import re

import pytest

from swarmd.config import DEFAULT_MODELS
from swarmd.models.catalogue import CATALOGUE, HubFile, Weights, Wheels, hub_url


@pytest.mark.parametrize("weights", CATALOGUE.values(), ids=lambda weights: weights.name)
def test_the_parts_of_each_entry_make_up_its_size(weights: Weights) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", weights.sha256)
    for source in weights.sources:
        if isinstance(source, Wheels):
            last = weights.bytes - (source.count - 1) * source.part_bytes
            assert 0 < last <= source.part_bytes


def test_the_default_models_are_in_the_catalogue() -> None:
    assert {model.weights for model in DEFAULT_MODELS.values()} <= CATALOGUE.keys()


def test_a_mirror_of_the_hub_can_be_named() -> None:
    source = HubFile("owner/name", "file.gguf")
    assert hub_url(source, {}) == "https://huggingface.co/owner/name/resolve/main/file.gguf"
    assert hub_url(source, {"HF_ENDPOINT": "http://mirror/"}).startswith("http://mirror/owner/name/")
