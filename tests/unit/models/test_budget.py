"""What may be spent: reserved before, settled after, and never lost."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from swarmd import durable
from swarmd.config import BudgetSettings
from swarmd.errors import ModelError
from swarmd.messages import CallContext, ChatCall, ChatMessage, Usage
from swarmd.models.budget import Budget, BudgetError, worst_case
from swarmd.models.purse import KEPT_DAYS, Purse

TODAY = datetime.date(2026, 1, 31)


def budget(folder: Path, day: int = 1000, home: int = 5000) -> Budget:
    settings = BudgetSettings(day_micro_usd=day, home_micro_usd=home)
    return Budget(settings, lambda: TODAY, Purse(folder / "spent.json"))


def about(request_id: str = "r", tokens: int | None = None, micro_usd: int = 800) -> CallContext:
    return CallContext(request_id=request_id, tokens=tokens, micro_usd=micro_usd)


def pay(made: Budget, reserved: int, paid: int | None, request_id: str = "r") -> None:
    with made.reserved(about(request_id), 10, reserved) as held:
        if paid is not None:
            held.usage = Usage(prompt_tokens=5, completion_tokens=1, micro_usd=paid)


def test_what_a_call_did_not_use_is_given_back(tmp_path: Path) -> None:
    made = budget(tmp_path)
    pay(made, 700, 100)
    assert made.left(about()) == 700
    pay(made, 700, None)
    assert made.left(about()) == 700, "a call that failed costs nothing"


def test_the_worst_case_of_calls_in_flight_counts(tmp_path: Path) -> None:
    made = budget(tmp_path)
    with made.reserved(about(), 10, 500), pytest.raises(BudgetError, match="for the request"):
        pay(made, 301, 0)
    pay(made, 301, 0)


@pytest.mark.parametrize(("day", "home", "what"), [(300, 5000, "for today"), (1000, 300, "for this home")])
def test_the_days_and_the_homes_limit_hold_over_requests(
    tmp_path: Path, day: int, home: int, what: str
) -> None:
    made = budget(tmp_path, day, home)
    pay(made, 200, 200, "one")
    with pytest.raises(BudgetError, match=what):
        pay(made, 101, 0, "two")
    pay(made, 100, 0, "three")


def test_a_restart_knows_what_was_spent_and_what_was_reserved(tmp_path: Path) -> None:
    made = budget(tmp_path)
    pay(made, 100, 60)
    with made.reserved(about(), 10, 300):  # and here the process is killed
        assert budget(tmp_path).left(about()) == 800 - 60 - 300


def test_free_calls_touch_no_file_and_have_no_limit_of_money(tmp_path: Path) -> None:
    made = budget(tmp_path / "missing")
    with made.reserved(about(micro_usd=0), 10, 0):
        pass
    assert not (tmp_path / "missing").exists()


def test_a_file_that_cannot_be_read_or_written_spends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spent.json").write_text("{")
    made = budget(tmp_path)
    with pytest.raises(ModelError, match=r"cannot be read") as caught:
        pay(made, 1, 1)
    assert caught.value.code == "E-BUDGET-FILE"
    assert made.left(about()) == 0
    with made.reserved(about(), 10, 0):
        pass  # local calls go on
    (tmp_path / "spent.json").unlink()
    with made.reserved(about(), 10, 5) as held:
        held.usage = Usage(micro_usd=1)
        monkeypatch.setattr(durable, "write", full)
    assert made.left(about()) == 795, "it stays as it was reserved, and the reply is not lost"
    with pytest.raises(ModelError, match="cannot be written"):
        pay(made, 1, 1)


def full(path: Path, data: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_two_processes_count_together(tmp_path: Path) -> None:
    one, other = budget(tmp_path), budget(tmp_path)
    pay(one, 100, 100)
    pay(other, 50, 50)
    pay(one, 1, 1)
    assert Purse(tmp_path / "spent.json").read().home == 151


def test_tokens_are_limited_for_each_request(tmp_path: Path) -> None:
    made = budget(tmp_path)
    made.told("r", 70)
    made.told("r", 0)
    limited = about(tokens=100)
    with made.reserved(limited, 30, 0), pytest.raises(BudgetError) as caught, made.reserved(limited, 1, 0):
        pass
    assert caught.value.code == "E-LIMIT-TOKENS"
    with made.reserved(limited, 30, 0) as held:
        held.usage = Usage(prompt_tokens=10, completion_tokens=5)
    with made.reserved(limited, 15, 0):
        pass
    made.forget("r")
    with made.reserved(limited, 100, 0):
        pass


def test_old_days_and_requests_are_forgotten_but_not_their_sum(tmp_path: Path) -> None:
    purse = Purse(tmp_path / "spent.json")
    purse.add("old", TODAY - datetime.timedelta(days=KEPT_DAYS + 1), 5)
    purse.add("new", TODAY, 7)
    again = Purse(tmp_path / "spent.json").read()
    assert (again.home, list(again.days), list(again.requests)) == (12, [TODAY], ["new"])


def test_the_worst_case_of_a_prompt_is_more_than_any_tokenizer_makes_of_code() -> None:
    text = "def total(prices):\n    return sum(prices)\n" * 50
    call = ChatCall(tier="fast", max_tokens=1, messages=[ChatMessage(role="user", content=text)])
    assert len(text) / 3 < worst_case(call) < len(text)
