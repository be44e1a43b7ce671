"""The names that an edit must not lose, in languages that are not Python."""

import pytest

from swarmd.coding.names import names_of


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        (
            "a.go",
            "package a\ntype T struct{}\nfunc (t *T) Do() {}\nfunc New() *T { return nil }\n",
            {"T", "T.Do", "New"},
        ),
        ("A.java", "class A {\n  int f() { return 1; }\n  static final int MAX = 3;\n}\n", {"A", "A.f"}),
        ("a.ts", "export interface I {}\nexport function f() {}\n", {"I", "f"}),
        ("a.js", "export class A {\n  m() {}\n}\nconst f = () => 1;\n", {"A", "A.m", "f"}),
        ("a.js", "function f( {", {"f"}),
        ("a.json", '{"a": {"b": [{"c": 1}]}}', {"a", "a.b"}),
        ("a.toml", "[tool.x]\ny = 1\n", {"tool", "tool.x", "tool.x.y"}),
        ("a.json", "{", set()),
        ("a.go", "{{{{", set()),
        ("a.rb", "def f; end", set()),
    ],
)
def test_names(path: str, text: str, names: set[str]) -> None:
    assert names_of(path, text) == names
