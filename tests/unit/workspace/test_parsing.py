"""What a patch may be, and every way in which it may not."""

import pytest

from swarmd.errors import PatchError
from swarmd.workspace.patch import ParsedPatch, parse

HUNK = "@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n"


def read(text: str) -> ParsedPatch:
    return parse(text, max_lines=100)


def code(text: str) -> str:
    with pytest.raises(PatchError) as caught:
        read(text)
    return caught.value.code.removeprefix("E-PATCH-")


@pytest.mark.parametrize(
    "head",
    [
        "--- a/x.py\n+++ b/x.py\n",
        "--- x.py\n+++ x.py\n",
        "--- a/x.py\t2026-01-01 00:00:00\n+++ b/x.py\t2026-01-02 00:00:00\n",
        "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n",
        "diff --git a/x.py b/x.py\nindex 0123abc..def4567 100755\n--- a/x.py\n+++ b/x.py\n",
        "diff --git x.py x.py\n--- x.py\n+++ x.py\n",
        '\n\ndiff --git "a/x.py" "b/x.py"\n--- "a/x.py"\n+++ "b/x.py"\n',
        'diff --git a/x.py "b/x.py"\n--- a/x.py\n+++ "b/x.py"\t\n',
    ],
)
def test_every_usual_form_of_the_same_change_is_read_alike(head: str) -> None:
    [file] = read(head + HUNK).files
    assert (file.path, file.kind) == ("x.py", "modify")
    assert file.patched(b"one\ntwo\n") == b"one\nzwei\n"


def test_new_deleted_and_empty_files() -> None:
    parsed = read(
        "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+hi\n"
        "--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-bye\n"
        "diff --git a/empty file b/empty file\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/gone b/gone\ndeleted file mode 100755\nindex e69de29..0000000\n"
    )
    assert [(file.path, file.kind) for file in parsed.files] == [
        ("new", "create"),
        ("old", "delete"),
        ("empty file", "create"),
        ("gone", "delete"),
    ]
    assert [
        file.patched(old) for file, old in zip(parsed.files, [None, b"bye\n", None, b""], strict=True)
    ] == [
        b"hi\n",
        None,
        b"",
        None,
    ]
    assert parsed.changed_lines == 2


def test_names_with_blanks_quotes_and_octal_bytes() -> None:
    parsed = read(
        f"--- a/my file.py\t\n+++ b/my file.py\t\n{HUNK}"
        f'diff --git "a/q\\"1.py" "b/q\\"1.py"\n--- "a/q\\"1.py"\n+++ "b/q\\"1.py"\n{HUNK}'
        f'--- "a/sp\\303\\244t.py"\n+++ "b/sp\\303\\244t.py"\n{HUNK}'
    )
    assert parsed.paths == ["my file.py", 'q"1.py', "spät.py"]


def test_lines_that_look_like_headers_inside_a_hunk_are_content() -> None:
    [file] = read("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/y\n+++ b/z\n @@ -1 +1 @@\n").files
    assert file.patched(b"-- a/y\n@@ -1 +1 @@\n") == b"++ b/z\n@@ -1 +1 @@\n"


def test_an_empty_context_line_may_have_lost_its_blank() -> None:
    [file] = read("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n\n-two\n+zwei\n").files
    assert file.patched(b"one\n\ntwo\n") == b"one\n\nzwei\n"


GIT = "diff --git a/{0} b/{0}\n"
NEW = GIT + "new file mode {1}\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+hi\n"
HOSTILE = {
    "new symlink": (NEW.format("link", "120000"), "SYMLINK"),
    "changed symlink": (GIT.format("l") + "index 0123..4567 120000\n--- a/l\n+++ b/l\n" + HUNK, "SYMLINK"),
    "deleted symlink": (GIT.format("l") + "deleted file mode 120000\n", "SYMLINK"),
    "file to symlink": (GIT.format("l") + "old mode 100644\nnew mode 120000\n", "MODE"),
    "new submodule": (NEW.format("sub", "160000"), "SUBMODULE"),
    "moved submodule": (
        GIT.format("sub") + "index 0123..4567 160000\n--- a/sub\n+++ b/sub\n" + HUNK,
        "SUBMODULE",
    ),
    "new program": (NEW.format("run", "100755"), "MODE"),
    "setuid": (NEW.format("run", "104755"), "MODE"),
    "group-writable": (NEW.format("run", "100664"), "MODE"),
    "made executable": (GIT.format("x") + "old mode 100644\nnew mode 100755\n", "MODE"),
    "parent folder": ("--- a/../x\n+++ b/../x\n" + HUNK, "OUTSIDE"),
    "absolute": ("--- /etc/passwd\n+++ /etc/passwd\n" + HUNK, "OUTSIDE"),
    "absolute behind a prefix": ("--- a//etc/passwd\n+++ b//etc/passwd\n" + HUNK, "OUTSIDE"),
    "absolute in the git line": (NEW.format("/etc/cron.d/x", "100644"), "OUTSIDE"),
    "quoted parent folder": ('--- "a/\\056\\056/x"\n+++ "b/\\056\\056/x"\n' + HUNK, "OUTSIDE"),
    "git folder": (NEW.format(".git/hooks/pre-commit", "100644"), "GIT"),
    "git folder in capitals": (NEW.format("a/.GIT/config", "100644"), "GIT"),
    "short name": (NEW.format("git~1/config", "100644"), "GIT"),
    "attributes": (NEW.format("a/.gitattributes", "100644"), "GIT"),
    "submodule file": (NEW.format(".gitmodules", "100644"), "GIT"),
    "quoted newline": ('--- "a/x\\ny"\n+++ "b/x\\ny"\n' + HUNK, "MALFORMED"),
    "carriage return in a name": ("--- a/x\r\n+++ b/x\r\n" + HUNK, "MALFORMED"),
    "NUL": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\0\n", "BINARY"),
    "lone surrogate": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+\udc80\n", "MALFORMED"),
    "git binary patch": (
        GIT.format("x") + "index 0123..4567 100644\nGIT binary patch\nliteral 1\n",
        "BINARY",
    ),
    "binary files differ": ("Binary files a/x and b/x differ\n", "BINARY"),
    "rename": (
        "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
        "MALFORMED",
    ),
    "rename with one name": (GIT.format("x") + "rename from x\nrename to ../y\n", "MALFORMED"),
    "copy": (GIT.format("x") + "copy from y\ncopy to x\n", "MALFORMED"),
    "rename without git line": ("--- a/x\n+++ b/y\n" + HUNK, "MALFORMED"),
    "other name in the git line": (GIT.format("x") + "--- a/y\n+++ b/y\n" + HUNK, "MALFORMED"),
    "one prefix only": ("--- a/x\n+++ x\n" + HUNK, "MALFORMED"),
    "new in one place only": (
        GIT.format("x") + "new file mode 100644\n--- a/x\n+++ b/x\n" + HUNK,
        "MALFORMED",
    ),
    "neither before nor after": ("--- /dev/null\n+++ /dev/null\n@@ -0,0 +1 @@\n+x\n", "MALFORMED"),
    "created and deleted": (
        GIT.format("x") + "new file mode 100644\ndeleted file mode 100644\n",
        "MALFORMED",
    ),
    "the same file twice": (("--- a/x\n+++ b/x\n" + HUNK) * 2, "MALFORMED"),
    "the same file in another case": (
        "--- a/x\n+++ b/x\n" + HUNK + "--- a/X\n+++ b/X\n" + HUNK,
        "MALFORMED",
    ),
    "file and folder": (NEW.format("x", "100644") + NEW.format("x/y", "100644"), "MALFORMED"),
    "folder and file": (NEW.format("x/y", "100644") + NEW.format("x", "100644"), "MALFORMED"),
    "empty": ("", "MALFORMED"),
    "prose": ("Here is the patch:\n--- a/x\n+++ b/x\n" + HUNK, "MALFORMED"),
    "prose behind": ("--- a/x\n+++ b/x\n" + HUNK + "That is all.\n", "MALFORMED"),
    "no hunk": ("--- a/x\n+++ b/x\n", "MALFORMED"),
    "git line only": (GIT.format("x"), "MALFORMED"),
    "nothing changes": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n a\n", "MALFORMED"),
    "no plus line": ("--- a/x\n" + HUNK, "MALFORMED"),
    "cut off": ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n", "MALFORMED"),
    "more lines than said": ("--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n+b\n+c\n", "MALFORMED"),
    "wrong kind of lines": ("--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n-a\n+b\n+c\n", "MALFORMED"),
    "bad hunk head": ("--- a/x\n+++ b/x\n@@ -1 1 @@\n-a\n", "MALFORMED"),
    "endless number": (f"--- a/x\n+++ b/x\n@@ -{'9' * 5000} +1 @@\n-a\n", "MALFORMED"),
    "new file with old lines": ("--- /dev/null\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n", "MALFORMED"),
    "deleted file that keeps lines": ("--- a/x\n+++ /dev/null\n@@ -1,2 +1,1 @@\n-a\n b\n", "MALFORMED"),
    "newline missing in the middle": (
        "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n+n\n\\ No newline at end of file\n b\n",
        "MALFORMED",
    ),
    "newline mark without line": (
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n\\ No newline at end of file\n-a\n+b\n",
        "MALFORMED",
    ),
    "newline mark twice": (
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline\n\\ No newline\n+b\n",
        "MALFORMED",
    ),
    "too many lines": (
        "--- /dev/null\n+++ b/x\n@@ -0,0 +1,101 @@\n" + "+a\n" * 101,
        "TOO-LARGE",
    ),
    "too many bytes": ("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+" + "a" * 2**22 + "\n", "TOO-LARGE"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_broken_patches_are_refused_with_their_code(case: str) -> None:
    text, expected = HOSTILE[case]
    assert code(text) == expected


def test_context_does_not_count_as_changed() -> None:
    text = "--- a/x\n+++ b/x\n@@ -1,150 +1,150 @@\n" + " a\n" * 149 + "-b\n+c\n"
    assert read(text).changed_lines == 2


def test_protected_files_can_be_taken_out_and_the_rest_rendered_again() -> None:
    parsed = read(f"--- a/x\n+++ b/x\n{HUNK}--- a/tests/t.py\n+++ b/tests/t.py\n{HUNK}")
    rest = parsed.without({"tests/t.py"})
    assert rest.paths == ["x"]
    assert rest.render() == f"diff --git a/x b/x\n--- a/x\n+++ b/x\n{HUNK}"
    assert read(rest.render()) == rest
