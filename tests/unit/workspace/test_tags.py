"""What is found in files of each language, and that no text can do harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.workspace.tags import MAX_BYTES, ProjectTags, Tags, language_of, mentions, tags_of
from swarmd.workspace.tags.grammar import LANGUAGES, grammar
from swarmd.workspace.tags.reading import MAX_DEFINITIONS, MAX_LINE, MAX_NAMES, MAX_SIGNATURE
from swarmd.workspace.tags.store import MAX_WORKSPACES, TagCache, load_tags, save_tags, trimmed

SOURCES = {
    "cart.py": '''import os
from shop.money import cents as c, Money
LIMIT = 10
@decorated
class Cart(Base):
    """What is bought."""
    def total(self, items: list[Money],  # a remark
              tax=0) -> int:
        # another
        def inner(): ...
        return c(items)
async def fetch(url): ...
if LIMIT:
    def late(): return 1
''',
    "cart.js": """import { round } from './money';
const LIMIT = 3;
export const total = (items, tax = 0) => { const local = () => 1; return round(items); };
export default class Cart extends Base {
  add(item) { return this.items.push(item); }
}
function* each(a) {}
exports.helper = function (x) { return x; };
""",
    "cart.ts": """export interface Item { price(): number }
type Id = string | number;
export abstract class Cart<T extends Item> extends Base {
  @Input() total(tax: number): Money { return new Money(tax); }
}
export const load = async (a: number): Promise<void> => { };
""",
    "cart.tsx": "export const App = () => { return <Cart items={[]} />; };\n",
    "cart.go": """package shop
const Limit = 3
type Cart struct {
	Items []Item
}
func (c *Cart) Total(tax float64) (int, error) {
	return Round(c.Items), nil
}
func New(items ...Item) *Cart { return &Cart{items} }
""",
    "Cart.java": """package shop;
@Entity(name = "x")
public class Cart extends Base {
    public Cart(int tax) { this.tax = tax; }
    @Override
    public int total(List<Item> items) throws IOException { return Money.round(items); }
}
interface Shape { double area(); }
""",
}
EXPECTED = {
    "cart.py": {
        "LIMIT": "LIMIT = 10",
        "Cart": "class Cart(Base)",
        "Cart.total": "def total(self, items: list[Money], tax=0) -> int",
        "fetch": "async def fetch(url)",
        "late": "def late()",
    },
    "cart.js": {
        "LIMIT": "const LIMIT = 3",
        "total": "const total = (items, tax = 0)",
        "Cart": "class Cart extends Base",
        "Cart.add": "add(item)",
        "each": "function* each(a)",
        "helper": "exports.helper = function (x)",
    },
    "cart.ts": {
        "Item": "interface Item",
        "Item.price": "price(): number",
        "Id": "type Id = string | number",
        "Cart": "abstract class Cart<T extends Item> extends Base",
        "Cart.total": "total(tax: number): Money",
        "load": "const load = async (a: number): Promise<void>",
    },
    "cart.tsx": {"App": "const App = ()"},
    "cart.go": {
        "Limit": "const Limit = 3",
        "Cart": "type Cart struct",
        "Cart.Total": "func (c *Cart) Total(tax float64) (int, error)",
        "New": "func New(items ...Item) *Cart",
    },
    "Cart.java": {
        "Cart": "class Cart extends Base",
        "Cart.Cart": "Cart(int tax)",
        "Cart.total": "int total(List<Item> items) throws IOException",
        "Shape": "interface Shape",
        "Shape.area": "double area()",
    },
}
MENTIONED = {
    "cart.py": {"cents", "c", "Money", "Base", "decorated"},
    "cart.js": {"round", "push", "Base"},
    "cart.ts": {"Money", "Base", "Item", "Promise"},
    "cart.tsx": {"Cart"},
    "cart.go": {"Round", "Item", "Cart"},
    "Cart.java": {"Base", "Item", "List", "round", "IOException"},
}


def found(path: str, text: str) -> Tags:
    tags = tags_of(path, text)
    assert tags is not None
    return tags


@pytest.mark.parametrize("path", SOURCES)
def test_definitions_and_mentions(path: str) -> None:
    tags = found(path, SOURCES[path])
    assert {one.qualified: one.signature for one in tags.definitions} == EXPECTED[path]
    assert MENTIONED[path] <= tags.references.keys()


def test_every_language_has_its_grammar() -> None:
    assert [name for name in LANGUAGES if grammar(name) is None] == []


def test_lines_are_those_of_the_text() -> None:
    tags = found("cart.py", SOURCES["cart.py"])
    total = next(one for one in tags.definitions if one.name == "total")
    assert (total.line, total.end, total.kind, total.owner) == (7, 11, "method", "Cart")
    assert [one.line for one in mentions("cart.py", SOURCES["cart.py"]) if one.name == "c"] == [11]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("notes.txt", "def f(): ..."),
        ("a.py", "x = 1\n" * (MAX_BYTES // 6 + 1)),
        ("a.js", "a" * (MAX_LINE + 1)),
        ("a.js", "[\n" * 60_000),
        ("a.py", "(" * 4_000),
    ],
)
def test_what_cannot_be_tagged_is_passed_over(path: str, text: str) -> None:
    assert tags_of(path, text) is None
    assert mentions(path, text) == []


def test_of_a_text_with_errors_the_rest_counts() -> None:
    tags = found("a.py", "def good(a): ...\n\nclass (\n\ndef fine(): ...\n")
    assert "good" in {one.name for one in tags.definitions}


def test_counts_and_lengths_are_bounded() -> None:
    many = "".join(f"def f{number}(): g{number}()\n" for number in range(2_000))
    tags = found("a.py", many)
    assert (len(tags.definitions), len(tags.references)) == (MAX_DEFINITIONS, MAX_NAMES)
    wide = found("a.py", f"def f({', '.join(f'argument{n}' for n in range(200))}): ...\n")
    assert len(wide.definitions[0].signature) <= MAX_SIGNATURE


def test_names_and_heads_cannot_carry_control_characters() -> None:
    tags = found("a.py", "def f(a='\x1b[2J\u202e'): ...\n")
    assert tags.definitions[0].signature.isprintable()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(SOURCES)),
    st.integers(0, 400),
    st.integers(0, 40),
    st.text(max_size=30),
)
def test_no_text_makes_it_fail(path: str, at: int, drop: int, inserted: str) -> None:
    source = SOURCES[path]
    tags = tags_of(path, source[:at] + inserted + source[at + drop :])
    lines = len(source) + len(inserted)
    assert tags is None or all(0 < one.line <= one.end <= lines for one in tags.definitions)


def test_languages_go_by_suffix() -> None:
    names = {"a.PY": "python", "b.d.ts": "typescript", "c.mjs": "javascript", "Makefile": None, ".py": None}
    assert {name: language_of(name) for name in names} == names


def test_tags_survive_the_disk(tmp_path: Path) -> None:
    tags = ProjectTags(files={path: found(path, text) for path, text in SOURCES.items()}, skipped=2)
    save_tags(tmp_path, tags)
    assert load_tags(tmp_path) == tags
    (tmp_path / "tags.json").write_text('{"files": 3}')
    assert load_tags(tmp_path) == ProjectTags()


def test_the_cache_knows_blobs_of_the_last_survey_only(tmp_path: Path) -> None:
    cache = TagCache(tmp_path / "tags", "/src/shop")
    assert cache.load() == {}
    one = found("cart.py", SOURCES["cart.py"])
    cache.save({"python:1": one})
    assert cache.load() == {"python:1": one}
    assert TagCache(tmp_path / "tags", "/src/other").load() == {}
    next((tmp_path / "tags").iterdir()).write_text("{")
    assert cache.load() == {}


def test_the_cache_keeps_a_bounded_number_of_workspaces(tmp_path: Path) -> None:
    for number in range(MAX_WORKSPACES + 3):
        TagCache(tmp_path, f"/src/{number}").save({})
    assert len(list(tmp_path.iterdir())) == MAX_WORKSPACES


def test_mentions_of_what_nobody_defines_are_dropped() -> None:
    files = {"a.py": found("a.py", "def f(): len(g())\n"), "b.py": found("b.py", "def g(): ...\n")}
    kept = trimmed(files, ["a.py", "b.py", "gone.py"])
    assert kept["a.py"].references == {"g": 1}
