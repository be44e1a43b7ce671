"""Plans from a model: good ones are used, slips are mended, the rest is repaired once, then replaced."""

import json
from typing import Any

import pytest

from swarmd.errors import ModelOverflowError, ModelReplyError, ModelUnreachableError
from swarmd.planning import PlanSettings, TypeInfo
from swarmd.planning.prompts import estimate
from tests.unit.planning.builders import Script, crew_of, outline, packet, plan, survey_of

ASK = "Add a discount that the cart takes from the login"
GOOD = {"packets": [packet(1, ["shop/auth.py"]), packet(2, ["shop/cart.py"], after=[1])]}


def test_a_sound_plan_is_used_and_closed_by_review_and_git() -> None:
    script = Script("auth first, then cart", GOOD)
    made = plan(ASK, script)
    assert made.origin == "model"
    assert made.note == "auth first, then cart"
    assert outline(made) == [
        ("coding", ["shop/auth.py"], []),
        ("coding", ["shop/cart.py"], ["task-001"]),
        ("testing", ["tests/test_auth_2.py"], ["task-001", "task-002"]),
        ("review", [], ["task-001", "task-002", "task-003"]),
        ("git", [], ["task-001", "task-002", "task-003", "task-004"]),
    ]
    assert [call.tier for call in script.calls] == ["deep", "deep"]
    assert [call.schema_ is None for call in script.calls] == [True, False]
    assert {call.request_id for call in script.calls} == {"r1"}


def lone(*files: str, **more: Any) -> dict[str, Any]:
    return {"packets": [packet(1, files, **more)]}


HOSTILE: dict[str, Any] = {
    "prose": "Sure! First I would change the cart.",
    "empty": "",
    "half": '{"packets": [{"id": 1, "type"',
    "no packets": {"packets": []},
    "not a list": {"packets": "coding"},
    "nested without end": "[" * 5000 + "]" * 5000,
    "strings for packets": {"packets": ["coding"]},
    "fifty packets": {"packets": [packet(n, [f"shop/m{n}.py"]) for n in range(1, 51)]},
    "unknown type": lone("shop/cart.py", type="wizard"),
    "a type that the harness adds": lone("shop/cart.py", type="git"),
    "unknown skill": lone("shop/cart.py", skill="root-access"),
    "unknown gate": lone("shop/cart.py", gates=["none"]),
    "up and out": lone("../evil.py"),
    "up and out inside": lone("shop/../../evil.py"),
    "absolute": lone("/etc/cron.d/evil.py"),
    "the repository itself": lone(".git/hooks/post-commit"),
    "CI": lone(".github/workflows/x.yml"),
    "a test for coding": lone("tests/test_cart.py"),
    "a new test for coding": lone("tests/test_more.py"),
    "an existing test beside the code": lone("shop/cart.py", "tests/test_cart.py"),
    "a conftest beside the code": lone("shop/cart.py", "shop/conftest.py"),
    "a conftest for testing": lone("tests/sub/conftest.py", type="testing"),
    "outside for testing": lone("../tests/test_evil.py", type="testing"),
    "protected": lone("pyproject.toml"),
    "a folder": lone("shop"),
    "no files": lone(),
    "nine files": lone(*(f"shop/m{n}.py" for n in range(9))),
    "no goal": lone("shop/cart.py", goal=" \u202e "),
    "itself": lone("shop/cart.py", depends_on=[1]),
    "a circle": {"packets": [packet(1, ["shop/cart.py"], after=[2]), packet(2, ["shop/auth.py"], after=[1])]},
    "a dangling need": lone("shop/cart.py", depends_on=[7]),
    "one id twice": {"packets": [packet(1, ["shop/cart.py"]), packet(1, ["shop/auth.py"])]},
    "an id of the harness": {"packets": [packet(1, ["shop/cart.py"]) | {"id": "harness/review"}]},
    "too many test files": {
        "packets": [
            packet(n, [f"tests/test_{n}{c}.py" for c in "abc"], "testing", goal="x") for n in range(1, 4)
        ]
    },
    "wrong types": {"packets": [packet(1, []) | {"files": "shop/cart.py"}]},
}


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_plan_that_fails_the_check_is_repaired_once(reply: Any) -> None:
    script = Script("thoughts", reply, GOOD)
    made = plan(ASK, script)
    assert made.origin == "repaired"
    assert made.note.startswith("First plan: ")
    assert made.packets[0].files_owned == ["shop/auth.py"]
    assert "cannot be used" in script.calls[2].messages[-1].content
    assert script.calls[2].temperature > script.calls[1].temperature  # else the same comes again


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_plan_that_fails_twice_gives_way_to_the_template(reply: Any) -> None:
    made = plan(ASK, Script("thoughts", reply, reply))
    assert made.origin == "template"
    assert "After one repair: " in made.note
    assert [p.agent_type for p in made.packets] == ["coding", "testing", "review", "git"]
    assert all(not path.startswith(("/", ".")) for p in made.packets for path in p.files_owned)


def test_the_repair_is_told_what_was_wrong() -> None:
    bad = {"packets": [packet(1, ["../evil.py"]), packet(2, ["shop/cart.py"], "wizard")]}
    script = Script("t", bad, GOOD)
    plan(ASK, script)
    told = script.calls[2].messages[-1].content
    assert "packet 1: the file '../evil.py' is not inside the project" in told
    assert "packet 2: there is no type 'wizard' here; use coding, testing, docs" in told


@pytest.mark.parametrize(
    "reply",
    [
        "```json\n" + json.dumps(GOOD) + "\n```",
        "Here is the plan:\n" + json.dumps(GOOD) + "\nGood luck!",
        json.dumps(GOOD["packets"]),
        json.dumps({"packets": [p | {"id": str(p["id"]), "note": "x"} for p in GOOD["packets"]]}),
    ],
)
def test_a_plan_is_found_in_its_wrapping(reply: str) -> None:
    assert plan(ASK, Script("t", reply)).origin == "model"


def test_slips_that_cannot_be_misunderstood_need_no_repair() -> None:
    made = plan(ASK, Script("t", lone("./shop/cart.py", "auth.py", "cart.py", skill="unit-tests")))
    assert made.origin == "model"
    assert made.packets[0].files_owned == ["shop/cart.py", "shop/auth.py"]
    assert made.packets[0].skill is None  # a testing skill does not fit coding


def test_a_new_test_beside_the_code_is_left_to_a_testing_packet() -> None:
    made = plan(ASK, Script("t", lone("shop/todo.py", "shop/todo_test.py")))
    assert made.origin == "model"
    assert outline(made)[:2] == [
        ("coding", ["shop/todo.py"], []),
        ("testing", ["tests/test_todo.py"], ["task-001"]),
    ]


def test_one_packet_writes_one_test_file_and_is_told_what_it_tests() -> None:
    both = packet(2, ["shop/cart.py", "shop/auth.py"], "testing", goal="Write tests.")
    reply = {"packets": [packet(1, ["shop/cart.py"]), both, packet(3, ["README.md"], "docs", after=[2])]}
    made = plan(ASK, Script("t", reply))
    assert outline(made)[1:4] == [
        ("testing", ["tests/test_cart_2.py"], ["task-001"]),
        ("testing", ["tests/test_auth_2.py"], ["task-001"]),
        ("docs", ["README.md"], ["task-001", "task-002", "task-003"]),
    ]
    assert [p.action for p in made.packets[1:3]] == [
        "Write tests. The tests are for shop/cart.py.",
        "Write tests. The tests are for shop/auth.py.",
    ]


def test_a_feature_gets_tests_even_if_the_model_plans_none() -> None:
    made = plan(ASK, Script("t", lone("shop/new.py", "shop/cart.py")))
    assert outline(made)[:2] == [
        ("coding", ["shop/new.py", "shop/cart.py"], []),
        ("testing", ["tests/test_new.py"], ["task-001"]),
    ]
    assert "shop/new.py" in made.packets[1].action
    assert [
        p.agent_type for p in plan("The discount is broken", Script("t", lone("shop/cart.py"))).packets
    ] == [
        "coding",
        "review",
        "git",
    ]


def test_packets_that_own_the_same_file_run_one_after_the_other() -> None:
    reply = {
        "packets": [
            packet(1, ["shop/cart.py", "shop/auth.py"]),
            packet(2, ["shop/auth.py"]),
            packet(3, ["shop/mail/send.py"]),
            packet(4, ["shop/cart.py"]),
        ]
    }
    work = [p for p in plan(ASK, Script("t", reply)).packets if p.agent_type == "coding"]
    assert [p.dependencies for p in work] == [[], ["task-001"], [], ["task-001"]]


def test_serialising_never_makes_a_circle_out_of_a_backward_order() -> None:
    reply = {"packets": [packet(1, ["shop/cart.py"], after=[2]), packet(2, ["shop/cart.py"])]}
    work = plan(ASK, Script("t", reply)).packets[:2]
    assert [(p.action, p.dependencies) for p in work] == [("do 2", []), ("do 1", ["task-001"])]


def test_tests_come_after_the_code_even_if_the_model_wants_them_first() -> None:
    tests_first = packet(1, ["tests/test_new.py"], "testing")
    made = plan(ASK, Script("t", {"packets": [tests_first, packet(2, ["shop/cart.py"], after=[1])]}))
    assert outline(made)[:2] == [
        ("coding", ["shop/cart.py"], []),
        ("testing", ["tests/test_new.py"], ["task-001"]),
    ]


def test_a_testing_packet_that_names_the_source_gets_a_new_test_file() -> None:
    reply = {
        "packets": [
            packet(1, ["shop/cart.py"]),
            packet(2, ["shop/cart.py"], "testing"),
            packet(3, ["tests/test_cart.py"], "testing"),
        ]
    }
    made = plan(ASK, Script("t", reply))
    assert [p.files_owned for p in made.packets[1:3]] == [["tests/test_cart_2.py"], ["tests/test_cart_3.py"]]


def test_a_request_that_lists_its_files_keeps_the_model_to_them() -> None:
    script = Script("t", lone("shop/mail/send.py"), GOOD)
    made = plan(ASK, script, files=["shop/cart.py", "shop/auth.py"])
    assert made.origin == "repaired"
    assert "not among the files that the request lists" in script.calls[2].messages[-1].content
    assert "send.py" not in script.calls[0].messages[-1].content


def test_a_bug_fix_may_only_choose_among_files_that_exist() -> None:
    script = Script("t", lone("shop/cart.py"))
    plan("The discount is broken", script)
    schema = script.calls[1].schema_
    assert schema is not None
    item = schema["properties"]["packets"]["items"]["properties"]
    offered = set(item["files"]["items"]["enum"])
    assert offered == {"shop/cart.py", "shop/auth.py", "shop/mail/send.py", "shop/__init__.py"}
    assert item["type"]["enum"] == ["coding"]


def test_a_models_gates_add_to_a_types_gates_and_never_take_any_away() -> None:
    picky = crew_of(TypeInfo(name="surgeon", accepts=("refactor",), gates=("tests",)))
    reply = lone("shop/cart.py", type="surgeon", gates=["lint"])
    made = plan("Tidy up the login and the mail", Script("t", reply), types=picky, kind="refactor")
    assert made.packets[0].acceptance == ["lint", "tests"]
    made = plan(ASK, Script("t", lone("shop/cart.py", gates=["parse"])))
    assert made.packets[0].acceptance == []  # still all of them


@pytest.mark.parametrize("error", [ModelUnreachableError("no engine"), ModelOverflowError("too long")])
def test_a_model_that_cannot_answer_costs_the_plan_not_the_request(error: Any) -> None:
    for script in (Script(error), Script("t", error), Script("t", "prose", error)):
        made = plan(ASK, script)
        assert made.origin == "template"
        assert error.code in made.note


def test_a_reply_that_the_broker_refused_is_asked_for_once_more() -> None:
    assert plan(ASK, Script("t", ModelReplyError("not the schema"), GOOD)).origin == "repaired"
    assert plan(ASK, Script(ModelReplyError("empty"), GOOD)).origin == "model"


def test_errors_that_are_not_the_models_are_not_swallowed() -> None:
    with pytest.raises(IndexError):  # the empty script's own
        plan(ASK, Script())


def test_prompts_stay_within_their_budget_whatever_the_project_and_the_request() -> None:
    files = [f"package_{n}/discount_module_with_a_long_name_{n}.py" for n in range(3000)]
    contents = dict.fromkeys(files, "\n".join(f"def discount_{n}(cart, login): ..." for n in range(200)))
    script = Script("t", "prose " * 400, "prose")
    made = plan("cart discount " * 2000, script, survey=survey_of(files), contents=contents)
    assert "characters of the request were left out" in made.note
    sizes = [sum(estimate(m.content) for m in call.messages) for call in script.calls]
    assert max(sizes) <= PlanSettings().context_tokens
    shown = script.calls[0].messages[-1].content
    assert "characters left out" in shown
    assert "package_0/discount_module_with_a_long_name_0.py: discount_0(cart, login)" in shown


def test_what_a_model_writes_cannot_steer_a_terminal() -> None:
    reply = lone("shop/cart.py", goal="do\x1b[2J it\nnow\u202e")
    made = plan(ASK, Script("thought\x1b]0;x\x07\nline", reply))
    assert made.packets[0].action == "do [2J it now"
    assert made.note == "thought ]0;x line"


def test_planning_asks_with_the_requests_privacy() -> None:
    for privacy in ("strict", "balanced"):
        script = Script("t", GOOD)
        plan(ASK, script, privacy=privacy)
        assert {call.privacy for call in script.calls} == {privacy}
