"""A model that answers several calls at one time is asked for several samples at one time."""

from collections.abc import Callable
from pathlib import Path

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, git, make_repository
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER

WRONG = "```python\ndef count_words(text):\n    {0} = text.strip().split(' ')\n    return len({0}) + {1}\n```"


def test_the_first_that_passes_is_delivered_and_the_same_program_is_judged_once(
    scripted: Callable[..., tuple[Daemon, ScriptedModel]], tmp_path: Path
) -> None:
    edit = "count_words.*in one ```python block"
    replies = [WRONG.format("parts", 5), WRONG.format("words", 5), WRONG.format("w", 7), GOOD_COUNTER]
    rules = [
        {"match": "commit message", "reply": "Count words by white space"},
        {"match": '"?verdict"?', "reply": '{"verdict": "ok", "quote": "", "reason": ""}'},
        {"match": edit, "reply": WRONG.format("text2", 3), "times": 1},
        *({"match": edit, "reply": reply, "times": 1, "delay": 0.3} for reply in replies),
    ]
    daemon, model = scripted(
        rules,
        "parallel = 4\n"  # of the model, whose section is open
        "[policy.samples]\nfast = 5\ndeep = 1\nreviewer = 1\n"
        '[policy.on_failure]\nassertion = "sample"\n',
    )
    repository = make_repository(tmp_path / "counter", COUNTER)
    daemon.start()
    daemon.drop("count", COUNTER_REQUEST | {"workspace": str(repository)})
    result = daemon.result("count", 120)
    assert result["status"] == "succeeded", daemon.tail()
    assert "text.split())" in git(repository, "show", f"{result['branch']}:counter/words.py")
    widths = [line["data"]["width"] for line in daemon.events("task_assigned") if line["tier"] == "fast"]
    assert widths[:2] == [1, 4]
    starts = [line["ts"] for line in daemon.events("model_call_start") if line["data"]["purpose"] == "edit"]
    ends = [line["ts"] for line in daemon.events("model_call_complete") if line["data"]["purpose"] == "edit"]
    assert starts[4] < ends[1], "the four calls were not under way at one time"
    (verdict,) = (line["data"]["outcome"] for line in daemon.events("verification_pass")[:1])
    assert verdict["width"] == 4
    assert len(verdict["others"]) <= 2, "one program was judged twice"
    temperatures = [call["temperature"] for call in model.calls if call.get("seed") is not None][:5]
    assert temperatures[0] == 0.0
    assert all(temperature > 0 for temperature in temperatures[1:])
