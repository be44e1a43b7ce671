"""A model is asked in the format that it was calibrated for, by a daemon that was running all the while."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, make_repository
from tests.integration.calibration.replies import right, rules, wrong

FILES = {
    "shop.py": "def total(items):\n    return sum(items) - 1\n",
    "tests/test_shop.py": "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
}
RIGHT = "<<<<<<< SEARCH\n    return sum(items) - 1\n=======\n    return sum(items)\n>>>>>>> REPLACE"


def test_orders_follow_a_calibration(
    scripted: Callable[..., tuple[Daemon, ScriptedModel]], tmp_path: Path
) -> None:
    script = [
        *rules({"symbol": wrong, "file": wrong, "replace": right}, 5),
        {"match": "total", "reply": RIGHT},
    ]
    daemon, model = scripted(script)
    repository = make_repository(tmp_path / "shop", FILES)
    request = {"user_request": "Fix the failing test", "workspace": str(repository), "kind": "bugfix"}
    daemon.start()

    def asked(name: str) -> str:
        del model.calls[:]
        daemon.drop(name, request)
        assert daemon.result(name)["status"] == "succeeded"
        return str(model.calls[0]["messages"][-1]["content"])

    assert "corrected `total` in one ```python block" in asked("before")
    shown = daemon.swarmd("model", "calibrate", "--exercises", "5").stdout
    assert "order: replace, symbol, file; replace leads by more than chance" in shown
    assert "the edit of `total` in this form" in asked("after")
    (result,) = (daemon.home / "calibration").glob("*.json")
    result.write_text("{")
    assert "corrected `total` in one ```python block" in asked("broken")
    (warning,) = daemon.events("calibration_unreadable")
    assert (warning["level"], warning["data"]["model"]) == ("warning", "scripted")
