import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from swarmd.council.warrants import Warrant, ask, expire, pending

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for state in ("pending", "granted", "denied", "expired"):
        (tmp_path / state).mkdir()
    return tmp_path


def asked(folder: Path, now: datetime = NOW, **fields: Any) -> Warrant:
    defaults = {
        "action": "merge",
        "request_id": "login",
        "diff_sha256": "d" * 64,
        "base_commit": "b" * 40,
        "summary": "2 files, +3 -1",
        "life": timedelta(hours=1),
    }
    return ask(folder, now=now, **(defaults | fields))


def test_asking_twice_for_the_same_asks_once(folder: Path) -> None:
    first = asked(folder)
    again = asked(folder, NOW + timedelta(minutes=5), summary="in other words")
    assert again == first
    assert [path.name for path in (folder / "pending").iterdir()] == [f"{first.warrant_id}.json"]


@pytest.mark.parametrize(
    "other",
    [{"action": "push"}, {"request_id": "logout"}, {"diff_sha256": "e" * 64}, {"base_commit": "c" * 40}],
)
def test_anything_else_that_is_bound_is_another_warrant(folder: Path, other: dict[str, str]) -> None:
    assert asked(folder, **other).warrant_id != asked(folder).warrant_id
    assert len(pending(folder).warrants) == 2


def test_a_warrant_expires_by_itself_and_can_be_asked_for_anew(folder: Path) -> None:
    first = asked(folder)
    assert expire(folder, NOW + timedelta(minutes=59)) == []
    assert expire(folder, NOW + timedelta(hours=1)) == [first]
    assert pending(folder).warrants == []
    second = asked(folder, NOW + timedelta(hours=2))
    assert second.warrant_id == first.warrant_id
    assert second.nonce != first.nonce  # a signature on the first does not fit the second
    expire(folder, NOW + timedelta(hours=4))
    assert len(list((folder / "expired").iterdir())) == 2


def test_asking_again_after_the_expiry_retires_the_old_one_first(folder: Path) -> None:
    first = asked(folder)
    second = asked(folder, NOW + timedelta(hours=2))
    assert second.nonce != first.nonce
    assert pending(folder).warrants == [second]
    assert len(list((folder / "expired").iterdir())) == 1


def test_a_file_in_granted_counts_for_nothing(folder: Path) -> None:
    first = asked(folder)
    forged = folder / "granted" / f"{first.warrant_id}.json"
    (folder / "pending" / forged.name).rename(forged)
    assert asked(folder).nonce != first.nonce
    assert len(pending(folder).warrants) == 1


def test_warrants_are_listed_oldest_first(folder: Path) -> None:
    late = asked(folder, NOW + timedelta(seconds=1), request_id="a")
    early = asked(folder, NOW, request_id="b")
    assert pending(folder).warrants == [early, late]


def test_a_warrant_that_does_not_bind_what_its_name_says_is_a_problem(folder: Path, tmp_path: Path) -> None:
    path = folder / "pending" / f"{asked(folder).warrant_id}.json"
    tampered = orjson.loads(path.read_bytes()) | {"diff_sha256": "e" * 64}
    path.write_bytes(orjson.dumps(tampered))
    (folder / "pending" / "note.txt").write_text("please")
    (folder / "pending" / f"push-{'0' * 20}.json").write_text("{}")
    os.mkfifo(folder / "pending" / f"push-{'1' * 20}.json")
    found = pending(folder)
    assert found.warrants == []
    assert "does not match" in found.problems[path.name]
    assert len(found.problems) == 4
    assert expire(folder, NOW + timedelta(days=99)) == []


def test_a_tampered_one_is_replaced_when_the_same_is_asked_for(folder: Path) -> None:
    first = asked(folder)
    path = folder / "pending" / f"{first.warrant_id}.json"
    path.write_text("{}")
    assert asked(folder).warrant_id == first.warrant_id
    assert pending(folder).problems == {}


@pytest.mark.parametrize("wrong", [{"request_id": "../x"}, {"diff_sha256": "short"}, {"base_commit": "HEAD"}])
def test_a_warrant_binds_exact_things_or_is_not_made(folder: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        asked(folder, **wrong)
    assert list((folder / "pending").iterdir()) == []
