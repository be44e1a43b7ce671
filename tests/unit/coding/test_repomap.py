"""Which files and definitions of a project a request is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.coding.repomap import Focus, called_signatures, focus_on, map_text, rank
from swarmd.coding.repomap.pagerank import pagerank
from swarmd.coding.tokens import estimate
from swarmd.workspace.tags import Tags, tags_of

SHOP = {
    "shop/cart.py": (
        "from shop.money import rounded_amount\n\n\nclass Cart:\n    def add(self, item): ...\n\n"
        "    def total(self):\n        return rounded_amount(self.items)\n"
    ),
    "shop/money.py": "def rounded_amount(x):\n    return round(x)\n\n\ndef _secret(x): ...\n",
    "shop/invoices.py": (
        "from shop.money import rounded_amount\nfrom shop.cart import Cart\n\n\n"
        "def print_invoice(cart: Cart, printer):\n    return rounded_amount(cart.total())\n"
    ),
    "shop/shelves.py": "def shelf_label(row, column):\n    return row\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\n\ndef test_total():\n    assert Cart().total()\n",
}


def tagged(files: dict[str, str]) -> dict[str, Tags]:
    return {path: tags for path, text in files.items() if (tags := tags_of(path, text))}


def best(text: str, **focus: object) -> list[str]:
    return [path for path, _ in rank(tagged(SHOP), focus_on(text, **focus)).files]  # type: ignore[arg-type]


# --- PageRank ----------------------------------------------------------------------------------------


def test_a_cycle_shares_its_rank_and_the_start_has_more() -> None:
    ranks = pagerank({"a": {"b": 1.0}, "b": {"c": 1.0}, "c": {"a": 1.0}}, {"a": 1.0})
    assert ranks["a"] > ranks["b"] > ranks["c"] > 0
    # By hand: with damping d and jumps to a only, b = d a, c = d b, a = (1 - d) + d c.
    d = 0.85
    assert ranks["a"] == pytest.approx((1 - d) / (1 - d**3), abs=1e-3)


def test_what_leads_nowhere_jumps() -> None:
    ranks = pagerank({"a": {"end": 1.0}, "b": {"end": 1.0}}, {"a": 1.0, "b": 1.0})
    assert ranks["end"] == pytest.approx(0.85 / 1.85, abs=1e-3)
    assert pagerank({}, {}) == {}
    assert pagerank({"a": {}}, {"a": 0.0}) == {"a": 1.0}


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100)),
        max_size=6,
    ),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 10), max_size=6),
)
def test_ranks_are_a_distribution(edges: dict[str, dict[str, float]], start: dict[str, float]) -> None:
    ranks = pagerank(edges, start)
    assert not ranks or sum(ranks.values()) == pytest.approx(1.0)
    assert all(value >= 0 for value in ranks.values())


# --- ranking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("`shelf_label` gives the wrong row", "shop/shelves.py"),
        ("Labels on the shelves are upside down", "shop/shelves.py"),
        ("Printing an invoice takes a minute", "shop/invoices.py"),
        ("mend shop/cart.py", "shop/cart.py"),
        ("The amounts are rounded down", "shop/money.py"),
    ],
)
def test_words_of_the_request_choose_the_file(text: str, path: str) -> None:
    assert best(text)[0] == path


def test_without_any_word_the_file_that_others_use_comes_first() -> None:
    ranking = rank(tagged(SHOP), focus_on("It crashes"))
    assert ranking.files[0][0] == "shop/money.py"
    assert ranking.named == frozenset()


def test_files_owned_count() -> None:
    assert best("It crashes", owned=["shop/shelves.py"])[0] == "shop/shelves.py"


def test_tests_are_no_part_of_the_map() -> None:
    ranking = rank(tagged(SHOP), focus_on("the test of the cart's total"))
    assert "tests/test_cart.py" not in {path for path, _ in ranking.files}
    assert "tests/test_cart.py" not in {one.path for one in ranking.definitions}


def test_a_private_name_comes_after_a_public_one() -> None:
    ranking = rank(tagged(SHOP), focus_on("amounts of money"))
    names = [one.definition.name for one in ranking.definitions if one.path == "shop/money.py"]
    assert names == ["rounded_amount", "_secret"]


# --- the text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0, 5, 20, 45, 80, 1000])
def test_the_text_keeps_to_its_budget(budget: int) -> None:
    text = map_text(rank(tagged(SHOP), focus_on("Print invoices")), budget)
    assert estimate(text) <= budget
    if budget >= 45:
        assert text.startswith("shop/invoices.py:\n  def print_invoice(cart: Cart, printer)")


def test_members_stand_below_their_class_and_shown_files_are_left_out() -> None:
    text = map_text(rank(tagged(SHOP), focus_on("the cart's `total`")), 400, skip=["shop/money.py"])
    assert "shop/cart.py:\n  class Cart\n    def add(self, item)\n    def total(self)" in text
    assert "shop/money.py" not in text


@given(st.text(max_size=200))
def test_any_words_can_be_ranked(text: str) -> None:
    ranking = rank(tagged(SHOP), focus_on(text))
    assert len(ranking.files) == 4
    map_text(ranking, 100)


def test_hostile_names_and_cycles_do_no_harm() -> None:
    files = {f"m{n}.py": f"def same(): f{(n + 1) % 40}()\n\n\ndef f{n}(): same()\n" for n in range(40)}
    files["a b\u202e.py"] = "def ``` (): ...\n\n\ndef ok(): ...\n"
    ranking = rank(tagged(files), Focus(names=frozenset({"same", "f3"})))
    assert ranking.definitions[0].definition.name == "f3"


def test_an_empty_project_has_an_empty_map() -> None:
    assert map_text(rank({}, focus_on("anything")), 100) == ""


# --- what the target calls -----------------------------------------------------------------------------


def test_heads_of_what_is_called() -> None:
    shown = called_signatures(
        "shop/cart.py", ["rounded_amount", "round"], tagged(SHOP), source=SHOP["shop/cart.py"]
    )
    assert shown == {"shop/money.py": "def rounded_amount(x)"}


def test_everyday_names_are_believed_only_near() -> None:
    files = {
        "a.js": "import { add } from './b';\nadd(1);\n",
        "b.js": "export function add(x) {}\n",
        "c.js": "add(2);\n",
    }
    assert called_signatures("a.js", ["add"], tagged(files), source=files["a.js"]) == {
        "b.js": "function add(x)"
    }
    assert called_signatures("c.js", ["add"], tagged(files), source=files["c.js"]) == {}


def test_a_go_package_needs_no_import_and_a_method_has_its_type() -> None:
    files = {
        "shop/cart.go": "package shop\nfunc f(p *Price) int { return p.Round() }\n",
        "shop/price.go": "package shop\ntype Price struct {}\nfunc (p *Price) Round() int { return 1 }\n",
        "other/price.go": "package other\nfunc Round() {}\n",
    }
    shown = called_signatures("shop/cart.go", ["Round"], tagged(files), source=files["shop/cart.go"])
    assert shown == {"shop/price.go": "type Price struct\n    func (p *Price) Round() int"}


def test_a_name_that_could_be_anything_is_left_out() -> None:
    files = {f"m{n}.py": "def convert(x): ...\n" for n in range(4)} | {"a.py": "convert(1)\n"}
    assert called_signatures("a.py", ["convert"], tagged(files), source=files["a.py"]) == {}
