from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest

from swarmd.knowledge import Lesson, add, lessons

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


def lesson(task: str = "task-001", why: str = "tests 4/4") -> Lesson:
    return Lesson(
        request_id="login",
        task_id=task,
        agent_type="coding",
        kind="bugfix",
        passed=True,
        why=why,
        tier="fast",
    )


def lines(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line]


def test_lessons_are_lines_of_the_months_file_in_utc(tmp_path: Path) -> None:
    path = add(tmp_path, lesson(), NOW)
    assert add(tmp_path, lesson("task-002"), NOW + timedelta(minutes=1)) == path
    assert path.name == "2026-03.jsonl"
    first, second = lines(path)
    assert (first["ts"], first["task_id"], first["why"]) == (
        "2026-03-31T12:00:00.000Z",
        "task-001",
        "tests 4/4",
    )
    assert (second["task_id"], second["passed"]) == ("task-002", True)
    eastern = NOW.astimezone(timezone(timedelta(hours=14)))  # already April there
    assert add(tmp_path, lesson(), eastern) == path


def test_a_line_that_a_crash_cut_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = add(tmp_path, lesson(), NOW)
    path.write_bytes(path.read_bytes() + b'{"torn": ')
    add(tmp_path, lesson("task-002"), NOW)
    assert orjson.loads(path.read_bytes().splitlines()[-1])["task_id"] == "task-002"


def test_a_full_file_loses_its_older_half_and_keeps_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons, "MAX_BYTES", 4000)
    for number in range(1, 101):
        path = add(tmp_path, lesson(f"task-{number:03d}"), NOW)
        assert path.stat().st_size <= 4000
    kept = [line["task_id"] for line in lines(path)]
    assert kept == [f"task-{number:03d}" for number in range(101 - len(kept), 101)]
    assert len(kept) > 5


def test_a_reason_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="why"):
        lesson(why="x" * 1001)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("")
    (tmp_path / "2026-03.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="2026-03"):
        add(tmp_path, lesson(), NOW)
