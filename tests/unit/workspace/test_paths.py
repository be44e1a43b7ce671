"""Which paths an edit may name."""

import pytest

from swarmd.errors import PatchError
from swarmd.workspace import paths


@pytest.mark.parametrize(
    "path",
    [
        "a.py",
        "src/pkg/mod.py",
        "docs/über uns.md",
        'with "quotes".txt',
        ".github/workflows/ci.yml",
        ".gitignore",
        ".git-blame-ignore-revs",
        "git/notes.md",
        "foo.git",
        "..hidden",
        "a/...",
        "-option",
        "~user",
        "日本語/ファイル.py",
    ],
)
def test_ordinary_names_are_allowed(path: str) -> None:
    assert paths.check(path) == path


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "OUTSIDE"),
        ("/etc/passwd", "OUTSIDE"),
        ("../x", "OUTSIDE"),
        ("a/../../x", "OUTSIDE"),
        ("a/./b", "OUTSIDE"),
        ("a//b", "OUTSIDE"),
        ("a/", "OUTSIDE"),
        ("..", "OUTSIDE"),
        ("..\\x", "OUTSIDE"),
        ("a\\b", "OUTSIDE"),
        ("C:/x", "OUTSIDE"),
        ("c:x", "OUTSIDE"),
        (".git/config", "GIT"),
        (".GIT/hooks/pre-commit", "GIT"),
        ("sub/.Git/config", "GIT"),
        ("sub/.git", "GIT"),
        (".git./config", "GIT"),
        (".git /config", "GIT"),
        (".git. . /config", "GIT"),
        (".git::$INDEX_ALLOCATION/config", "GIT"),
        ("git~1/config", "GIT"),
        ("GIT~2/config", "GIT"),
        (".g\u200cit/config", "GIT"),
        (".gi\ufefft/config", "GIT"),
        (".ｇｉｔ/config", "GIT"),
        ("a\\.git\\config", "GIT"),
        ("../.git/config", "GIT"),
        (".gitmodules", "GIT"),
        ("sub/.gitattributes", "GIT"),
        (".GitAttributes.", "GIT"),
        ("GITATT~1", "GIT"),
        ("gitmod~1", "GIT"),
        ("a\nb", "MALFORMED"),
        ("a\x00b", "MALFORMED"),
        ("a\x1b[31mb", "MALFORMED"),
        ("a\x85b", "MALFORMED"),
        ("evil\u202egpj.py", "MALFORMED"),
        ("a\u2028b", "MALFORMED"),
        ("a\udc80b", "MALFORMED"),
        ("x" * 256, "MALFORMED"),
        ("x/" * 600 + "x", "MALFORMED"),
    ],
)
def test_dangerous_names_are_refused_with_their_code(path: str, code: str) -> None:
    with pytest.raises(PatchError) as caught:
        paths.check(path)
    assert caught.value.code == f"E-PATCH-{code}"
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("path", "existing", "twin"),
    [
        ("Readme.md", ["README.md"], "README.md"),
        ("src/App/x.py", ["lib/y.py", "src/app/z.py"], "src/app"),
        ("cafe\u0301.py", ["café.py"], "café.py"),
        ("STRASSE.py", ["straße.py"], "straße.py"),
        ("src/app/x.py", ["src/app/z.py", "src/apps/x.py", "src/app/x.py"], None),
        ("a/B", ["a/b/c"], "a/b"),
        ("a/B/c", ["a/b"], "a/b"),
    ],
)
def test_names_that_some_file_systems_cannot_tell_apart(
    path: str, existing: list[str], twin: str | None
) -> None:
    assert paths.collision(path, existing) == twin


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a b", "a b"),
        ('a"b', '"a\\"b"'),
        ("a\tb", '"a\\tb"'),
        ("a\\b", '"a\\\\b"'),
        ("\x01", '"\\001"'),
        ("ü", "ü"),
    ],
)
def test_quoting_is_gits_and_can_be_undone(name: str, quoted: str) -> None:
    assert paths.quote(name) == quoted
    if quoted.startswith('"'):
        assert paths.unquote(quoted + " rest") == (name, " rest")


def test_octal_bytes_are_read_as_utf8() -> None:
    assert paths.unquote('"sp\\303\\244t.py"') == ("spät.py", "")


@pytest.mark.parametrize("text", ['"open', '"bad \\x"', '"\\400"', '"\\377"', '"\\12"'])
def test_names_in_bad_quotes_are_refused(text: str) -> None:
    with pytest.raises(PatchError, match="name"):
        paths.unquote(text)
