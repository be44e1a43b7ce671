"""Choosing the file by the project's map, and what a prompt tells of the rest of the project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.coding import prompts
from swarmd.coding.evidence import Evidence
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.surroundings import Surroundings, surroundings
from swarmd.coding.target import MAX_READ, Target, choose
from swarmd.messages import Survey, TestFailure
from swarmd.workspace.tags import Tags, tags_of

FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": (
        "from shop.money import rounded as near, unused\nfrom shop.rates import Rates\n\n\n"
        "def total(items, rates: Rates):\n    return near(sum(items) * rates.value_added())\n\n\n"
        "def show(cents):\n    return str(cents)\n"
    ),
    "shop/money.py": "def rounded(x):\n    return round(x)\n\n\ndef unused(x):\n    return x\n",
    "shop/rates.py": "class Rates:\n    def value_added(self):\n        return 1.19\n",
    "shop/shelves.py": "def shelf_label(row):\n    return row\n",
    "web/view.ts": (
        "import { price } from './price';\n\nexport function banner() { return 'x'; }\n\n"
        "export function render(cart: string): string { return price(cart); }\n"
    ),
    "web/price.ts": "export function price(cart: string): string { return cart; }\n",
    "pyproject.toml": "[tool.ruff]\nline-length = 99\n",
}


@pytest.fixture
def read(tmp_path: Path) -> Snapshot:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Snapshot(tmp_path)


def survey(*more: str) -> Survey:
    return Survey(request_id="r", workspace="", base_commit="", base_name="", files=sorted([*FILES, *more]))


def tagged(files: dict[str, str] = FILES) -> dict[str, Tags]:
    return {path: tags for path, text in files.items() if (tags := tags_of(path, text))}


# --- choosing the file -------------------------------------------------------------------------------


def test_the_map_decides_where_no_name_is_used(read: Snapshot) -> None:
    text = "Labels on the shelves look wrong"
    assert choose((), text, survey(), read, ()) == []
    (target,) = choose((), text, survey(), read, (), tagged())
    assert target.path == "shop/shelves.py"


def test_nothing_is_guessed_when_no_word_points_anywhere(read: Snapshot) -> None:
    assert choose((), "It crashes", survey(), read, (), tagged()) == []


def test_names_in_the_words_win_over_the_map(read: Snapshot) -> None:
    (target,) = choose((), "Make `show` print labels of shelves", survey(), read, (), tagged())
    assert (target.path, target.choices[0]) == ("shop/cart.py", ("show",))


def test_in_a_large_project_the_map_says_where_to_look(read: Snapshot) -> None:
    many = [f"gen/part{number}.py" for number in range(MAX_READ)]
    text = "Labels on the shelves look wrong"
    assert choose((), text, survey(*many), read, ()) == []
    (target,) = choose((), text, survey(*many), read, (), tagged())
    assert target.path == "shop/shelves.py"


def test_of_owned_files_the_map_orders_what_is_equally_likely(read: Snapshot) -> None:
    owned = ("shop/money.py", "shop/shelves.py")
    targets = choose(owned, "Correct the labels", survey(), read, (), tagged())
    assert targets[0].path == "shop/shelves.py"


def test_other_languages_have_names_too(read: Snapshot) -> None:
    (target,) = choose((), "`render` shows the wrong cart", survey(), read, (), tagged())
    assert (target.path, target.names, target.choices) == ("web/view.ts", ("render",), ())


# --- what is told ------------------------------------------------------------------------------------

Tell = Callable[..., Surroundings]


@pytest.fixture
def tell(read: Snapshot) -> Tell:
    def told(path: str, text: str = "Fix it", *choices: tuple[str, ...], **fields: object) -> Surroundings:
        names = fields.pop("names", ())
        target = Target(path, FILES.get(path), choices, names=names)  # type: ignore[arg-type]
        values = {"budget": 1200, **fields}
        return surroundings(target, text, survey(), read, tagged(), **values)  # type: ignore[arg-type]

    return told


def test_only_what_the_target_uses_is_shown(tell: Tell) -> None:
    shown = tell("shop/cart.py", "Fix it", ("total",)).others
    assert shown == {
        "shop/money.py": "def rounded(x): ...",
        "shop/rates.py": "class Rates:\n    def value_added(self): ...",
    }
    assert tell("shop/cart.py", "Fix it", ("show",)).others == {}


def test_nobody_knows_what_is_used_by_what_is_not_there_yet(tell: Tell) -> None:
    assert "def unused(x): ..." in tell("shop/cart.py").others["shop/money.py"]


def test_what_a_typescript_function_calls(tell: Tell) -> None:
    assert tell("web/view.ts", names=("render",)).others == {
        "web/price.ts": "function price(cart: string): string"
    }
    assert tell("web/view.ts", names=("banner",)).others == {}


def test_a_failing_test_and_its_target_need_no_map(tell: Tell) -> None:
    failing = Evidence(TestFailure(test_id="t", message="no"))
    without = tell("shop/cart.py", "Fix it", ("total",), evidence=[failing])
    assert without.project_map == ()
    (large, small) = tell("shop/cart.py", "Fix the labels of shelves", ("total",)).project_map
    assert large.startswith("shop/shelves.py:\n  def shelf_label(row)")
    assert "shop/cart.py" not in large
    assert len(small) <= len(large)


def test_the_prompt_gives_the_map_up_first(tell: Tell) -> None:
    told = tell("shop/cart.py", "Fix the labels of shelves", ("total",))
    assert told.conventions == "line length 99"
    task = prompts.Task(
        action="Fix the labels of shelves",
        user_request="Fix the labels of shelves",
        target=Target("shop/cart.py", FILES["shop/cart.py"], (("total",),)),
        others=told.others,
        project_map=told.project_map,
        conventions=told.conventions,
    )
    whole = prompts.build("Edit.", task, 1, budget=1200, reply=700).prompt
    assert whole.reduced == ()
    assert "Conventions of this project (data):" in whole.messages[1].content
    tight = prompts.build("Edit.", task, 1, budget=whole.tokens - 1, reply=700).prompt
    assert tight.reduced == ("map",)
    assert "def rounded(x)" in tight.messages[1].content


def test_of_a_large_file_the_named_function_is_shown() -> None:
    body = "export function wanted(a: number): number { return a; }\n"
    source = "const filler = 'x';\n" * 400 + body + "const more = 'y';\n" * 400
    target = Target("a.ts", source, names=("wanted",))
    task = prompts.Task(action="Fix it", user_request="Fix it", target=target)
    text = prompts.build("Edit.", task, 1, budget=1200, reply=700).prompt.messages[1].content
    assert f"Part of a.ts:\n```typescript\n{body}```" in text
