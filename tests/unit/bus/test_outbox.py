"""Results are written once, and ended requests are found again."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from swarmd.bus import outbox
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, AuditPoint, Result, dump

RESULT = Result(
    request_id="login",
    status="succeeded",
    summary="done",
    tokens={"local": 1, "cloud": 0},
    cost_micro_usd={"local": 0, "cloud": 0},
    seconds=1.5,
    audit=AuditPoint(log="master", seq=1, hash="0" * 64),
    finished_at="2026-01-01T00:00:00.000Z",
)
REQUEST = AcceptedRequest(
    user_request="x", request_id="login", received_at="t", source_name="login.json", content_sha256="0" * 64
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_result_is_written_once_and_read_back(home: Home) -> None:
    assert outbox.read(home, "login") is None
    path = outbox.write(home, RESULT)
    assert path == home.outbox / "login.json"
    assert outbox.write(home, RESULT) == path
    assert outbox.read(home, "login") == RESULT


def test_another_result_for_the_same_request_is_refused(home: Home) -> None:
    outbox.write(home, RESULT)
    with pytest.raises(SwarmdError) as caught:
        outbox.write(home, RESULT.model_copy(update={"status": "failed"}))
    assert caught.value.code == "E-RESULT-EXISTS"
    assert outbox.read(home, "login") == RESULT


def test_a_damaged_result_is_an_error_not_an_absence(home: Home) -> None:
    outbox.write(home, RESULT).write_text("{")
    with pytest.raises(SwarmdError) as caught:
        outbox.read(home, "login")
    assert caught.value.code == "E-RESULT-UNREADABLE"


def test_waiting_ends_with_the_result_or_with_the_time(home: Home) -> None:
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds
        if passed[0] >= 2:
            outbox.write(home, RESULT)

    with pytest.raises(TimeoutError, match="login has no result after 1 seconds"):
        outbox.wait(home, "login", 1, sleep=sleep, monotonic=lambda: passed[0])
    assert outbox.wait(home, "login", 5, sleep=sleep, monotonic=lambda: passed[0]) == RESULT


def test_an_ended_request_moves_to_its_day_and_is_found(home: Home) -> None:
    folder = home.request_folder("login")
    folder.mkdir(parents=True)
    (folder / "request.json").write_bytes(dump(REQUEST))
    assert outbox.find_request(home, "login") == REQUEST
    assert outbox.find_done(home, "login") is None
    moved = outbox.archive(home, "login", date(2026, 1, 2))
    assert moved == home.done / "2026-01-02/login"
    assert not folder.exists()
    assert outbox.archive(home, "login", date(2026, 1, 3)) == moved, "a repeat after a crash finds it"
    assert outbox.find_done(home, "login") == moved
    assert outbox.find_request(home, "login") == REQUEST
    assert outbox.find_request(home, "other") is None


def test_ended_requests_are_listed_newest_day_first(home: Home) -> None:
    assert list(outbox.done_folders(home)) == []
    for day, request_id in [("2026-01-01", "b"), ("2026-01-02", "c"), ("2026-01-01", "a")]:
        (home.done / day / request_id).mkdir(parents=True)
    (home.done / "stray").write_text("")
    assert [path.name for path in outbox.done_folders(home)] == ["c", "a", "b"]


def test_a_request_that_never_was_cannot_be_moved(home: Home) -> None:
    with pytest.raises(FileNotFoundError):
        outbox.archive(home, "login", date(2026, 1, 2))


def folder_of(home: Home, request_id: str) -> Path:
    folder = home.request_folder(request_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_result_is_published_as_it_was_committed_with_or_without_links(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    for request_id in ("linked", "written"):
        (folder_of(home, request_id) / "result.json").write_bytes(b"{}\n")
        home.outbox.mkdir(parents=True, exist_ok=True)
        with monkeypatch.context() as patch:
            if request_id == "written":
                patch.setattr("os.link", no_links)
            for _ in range(2):  # it may be repeated
                assert outbox.put(home, request_id, b"{}\n").read_bytes() == b"{}\n"
        with pytest.raises(SwarmdError, match="another result"):
            outbox.put(home, request_id, b'{"other": 1}\n')


def test_what_power_loss_brought_back_joins_the_folder_that_had_moved(home: Home) -> None:
    day = date(2026, 3, 1)
    (folder_of(home, "one") / "request.json").write_text("first")
    outbox.archive(home, "one", day)
    again = folder_of(home, "one")
    (again / "result.json").write_text("put back")
    (again / "verdicts").mkdir()
    (again / "verdicts/v.json").write_text("put back")
    moved = outbox.archive(home, "one", day)
    assert {path.relative_to(moved).as_posix() for path in moved.rglob("*.json")} == {
        "request.json",
        "result.json",
        "verdicts/v.json",
    }
    assert not again.exists()


def test_an_ended_request_is_taken_back_without_its_result(home: Home) -> None:
    (folder_of(home, "one") / "result.json").write_bytes(b"{}\n")
    (home.request_folder("one") / "state.json").write_text("{}")
    home.outbox.mkdir(parents=True, exist_ok=True)
    outbox.put(home, "one", b"{}\n")
    outbox.archive(home, "one", date(2026, 3, 1))
    for _ in range(2):  # it may be repeated
        outbox.take_back(home, "one")
        assert (home.request_folder("one") / "state.json").exists()
        assert not outbox.result_file(home, "one").exists()
        assert not (home.request_folder("one") / "result.json").exists()
    assert outbox.find_done(home, "one") is None


def test_what_power_loss_left_of_an_active_folder_joins_the_one_that_is_taken_back(home: Home) -> None:
    (folder_of(home, "one") / "state.json").write_text("old")
    (home.request_folder("one") / "request.json").write_text("old")
    outbox.archive(home, "one", date(2026, 3, 1))
    (folder_of(home, "one") / "request.json").write_text("put back")
    outbox.take_back(home, "one")
    found = {path.name: path.read_text() for path in home.request_folder("one").iterdir()}
    assert found == {"state.json": "old", "request.json": "put back"}
    assert outbox.find_done(home, "one") is None
