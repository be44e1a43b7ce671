"""What was measured, on the disk: whose it is, whether it still holds, and what is no good."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd import durable
from swarmd.calibration.exercises import load_exercises, version
from swarmd.calibration.results import CalibrationError, applies, file_of, identity, read, save
from swarmd.config import DEFAULT_MODELS, ModelSettings, Settings
from swarmd.errors import ConfigError
from swarmd.home import Home
from swarmd.messages import Calibration, FormScore, dump

SMALL = "qwen2.5-coder-0.5b"


def measured(settings: Settings | None = None, model: str = SMALL, **fields: object) -> Calibration:
    scores = [
        FormScore(form=form, correct=1, well_formed=2, prompt_tokens=3, completion_tokens=4, latency_ms=5)
        for form in ("symbol", "file", "replace")
    ]
    values = {
        "identity": identity(settings or Settings(), model),
        "exercises": version(),
        "count": 12,
        "seed": 1,
        "measured_at": "2026-01-01T00:00:00.000Z",
        "served_by": "embedded",
        "order": ["file", "symbol", "replace"],
        "scores": scores,
    }
    return Calibration.model_validate(values | fields)


def test_a_result_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read(file_of(home, SMALL)) is None
    path = save(home, measured())
    assert read(path) == measured()
    save(home, measured(count=3))
    kept = read(path)
    assert kept is not None
    assert kept.count == 3
    assert [entry.name for entry in home.calibration.iterdir()] == [path.name], (
        "it took the place of the first"
    )


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "ä" * 300, ".", "\x00", "A", "a"])
def test_any_name_of_a_model_is_one_file_in_the_folder(tmp_path: Path, name: str) -> None:
    path = file_of(Home(tmp_path), name)
    assert path.parent == tmp_path / "calibration"
    assert path.name.endswith(".json")
    assert len(path.name.encode()) < 100
    assert path != file_of(Home(tmp_path), name + "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        dump(measured())[:-40],
        dump(measured()).replace(b'"file",\n    "symbol"', b'"symbol",\n    "symbol"'),
        dump(measured()).replace(b'"replace"', b'"patch"'),
        dump(measured()).replace(b'"v": 1', b'"v": 2'),
    ],
)
def test_what_is_no_result_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=r"result\.json"):
        read(path)


def test_a_link_or_a_folder_is_not_read(tmp_path: Path) -> None:
    durable.write(tmp_path / "real.json", dump(measured()))
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("link.json", "folder.json"):
        with pytest.raises(CalibrationError, match=name):
            read(tmp_path / name)


def test_a_result_holds_for_the_same_model_and_the_same_exercises_only() -> None:
    settings = Settings()
    assert applies(measured(), settings)
    assert not applies(measured(exercises="0" * 16), settings)
    other = DEFAULT_MODELS | {SMALL: ModelSettings(weights="/somewhere/else.gguf")}
    assert not applies(measured(), Settings(models=other))
    gone = measured().identity.model_copy(update={"model": "gone"})
    assert not applies(measured(identity=gone), settings)


def test_settings_that_do_not_change_the_model_do_not_matter() -> None:
    same = DEFAULT_MODELS[SMALL].model_copy(update={"context": 8192, "parallel": 4, "threads": 2})
    assert applies(measured(), Settings(models=DEFAULT_MODELS | {SMALL: same}))


def test_weights_are_known_by_their_hash_and_own_files_by_size_and_time(tmp_path: Path) -> None:
    digest = identity(Settings(), SMALL).digest
    assert digest is not None
    assert digest.startswith("sha256:1d96")
    own = tmp_path / "own.gguf"
    settings = Settings(models={"own": ModelSettings(provider="embedded", weights=str(own))})
    assert identity(settings, "own").digest is None
    own.write_bytes(b"GGUF")
    first = identity(settings, "own").digest
    own.write_bytes(b"GGUF, more of it")
    assert None not in (first, identity(settings, "own").digest)
    assert first != identity(settings, "own").digest


def test_a_server_is_part_of_who_a_model_is() -> None:
    def known(url: str) -> Settings:
        return Settings(models={"far": ModelSettings(provider="openai", base_url=url, name="m")})

    first = identity(known("http://127.0.0.1:1/v1"), "far")
    assert first != identity(known("http://127.0.0.1:2/v1"), "far")
    assert (first.weights, first.digest, first.name) == (None, None, "m")


def test_exercises_are_small_and_of_a_version(tmp_path: Path) -> None:
    found = load_exercises()
    assert len(found) == len({exercise.name for exercise in found}) == 12
    assert all(20 <= exercise.source.count("\n") <= 120 for exercise in found)
    assert all(bool(exercise.symbols) != bool(exercise.adds) for exercise in found)
    (tmp_path / "a.toml").write_text(
        'path = "a.py"\naction = "x"\nsource = "x"\nsolution = "x"\ncheck = "x"\n'
    )
    assert version(tmp_path) != version()
    (tmp_path / "b.toml").write_text("path = 1\n")
    load_exercises.cache_clear()
    with pytest.raises(ConfigError, match=r"b\.toml is no exercise"):
        load_exercises(tmp_path)
