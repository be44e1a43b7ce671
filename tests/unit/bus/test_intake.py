"""A dropped file's bytes end as a request, as a repeat, or as a reason that a person can act on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.bus.intake import Repeat, accept, parse_request
from swarmd.bus.validation import is_cut_off, is_whole
from swarmd.errors import RequestError
from swarmd.messages import SHORT_ID, AcceptedRequest, dump


def request(**fields: Any) -> bytes:
    return json.dumps({"user_request": "Fix the bug", **fields}).encode()


def take(data: bytes, name: str = "login.json", known: dict[str, str] | None = None, **more: Any) -> Any:
    ids = known or {}
    return accept(
        data, name=name, priority="high", received_at="2026-01-01T00:00:00.000Z", known=ids.get, **more
    )


def refusal(data: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        take(data)
    assert caught.value.hint
    assert "pydantic" not in caught.value.message
    return caught.value


def test_the_smallest_request_gets_its_id_from_the_file_name() -> None:
    data = b'{"user_request": "Fix it"}'
    accepted = take(data, name="Fix Login.JSON")
    assert isinstance(accepted, AcceptedRequest)
    assert (accepted.request_id, accepted.priority) == ("fix-login", "high")
    assert (accepted.source_name, accepted.content_sha256) == (
        "Fix Login.JSON",
        hashlib.sha256(data).hexdigest(),
    )


@pytest.mark.parametrize(
    ("name", "request_id"),
    [
        ("Crème brûlée.json", "creme-brulee"),
        ("日本.json", "request"),
        ("a\nb\x1b[31m.json", "a-b-31m"),
        ("-.json", "request"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 250, "x" * 64),
        (b"caf\xe9.json".decode("utf-8", "surrogateescape"), "caf"),
    ],
)
def test_any_file_name_gives_a_valid_id_and_a_record_that_can_be_written(name: str, request_id: str) -> None:
    accepted = take(request(), name=name)
    assert accepted.request_id == request_id
    assert re.match(SHORT_ID, accepted.request_id)
    dump(accepted)


def test_an_id_from_a_name_is_made_unique_and_stays_the_same_on_a_second_try() -> None:
    known = {"login": "0" * 64}
    first = take(request(), known=known, source_id="1-2-3")
    assert re.fullmatch(r"login-[0-9a-f]{8}", first.request_id)
    assert take(request(), known=known, source_id="1-2-3").request_id == first.request_id
    assert take(request(), known=known, source_id="1-2-4").request_id != first.request_id
    known[first.request_id] = first.content_sha256
    assert take(request(), known=known, source_id="1-2-3").request_id not in known


def test_the_same_file_seen_again_after_a_crash_is_no_second_request() -> None:
    accepted = take(request(), source_id="1-2-3")
    earlier = {"1-2-3": accepted.request_id}
    ids = {accepted.request_id: accepted.content_sha256}
    assert take(request(), known=ids, source_id="1-2-3", accepted_from=earlier.get) == Repeat("login")
    assert isinstance(take(request(), known=ids, source_id="9", accepted_from=earlier.get), AcceptedRequest)


def test_the_same_id_with_the_same_content_is_a_repeat_and_with_other_content_a_refusal() -> None:
    data = request(request_id="fix-1")
    known = {"fix-1": hashlib.sha256(data).hexdigest()}
    assert take(data, known=known) == Repeat("fix-1")
    with pytest.raises(RequestError, match="belongs to another request") as caught:
        take(request(request_id="fix-1", kind="docs"), known=known)
    assert (caught.value.code, caught.value.field) == ("E-REQUEST-DUPLICATE", "request_id")


@pytest.mark.parametrize(
    ("data", "code", "field", "words"),
    [
        (b"", "EMPTY", None, "is empty"),
        (b" \n\t", "EMPTY", None, "is empty"),
        (b"\xef\xbb\xbf", "EMPTY", None, "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "NOT-UTF8", None, "UTF-8"),
        ("\ufeff{}".encode("utf-16-le"), "NOT-UTF8", None, "UTF-8"),
        (b"fix the login", "NOT-JSON", None, "line 1, column"),
        (b'{"user_request": "x"', "NOT-JSON", None, "line 1, column"),
        (b'{"user_request": NaN}', "NOT-JSON", None, "not JSON"),
        (b'{"user_request": "\\ud800"}', "NOT-JSON", None, "not JSON"),
        (b"[" * 200_000, "NOT-JSON", None, "not JSON"),
        (b'{"user_request":' + b'{"a":' * 1000 + b"1" + b"}" * 1001, "NOT-JSON", None, "deep"),
        (b'{"user_request": ' + b"9" * 5000 + b"}", "NOT-JSON", None, "infinity"),
        (b'["x"]', "TYPE", None, "one JSON object in { }, not a list"),
        (b"null", "TYPE", None, "not null"),
        (b"{}", "MISSING", "user_request", '"user_request" is missing'),
        (request(user_request=7), "TYPE", "user_request", "must be a text in quotes, not a number"),
        (request(user_request=None), "TYPE", "user_request", "not null"),
        (request(files="a.py"), "TYPE", "files", "must be a list in [ ], not a text"),
        (request(files=["a.py", 3]), "TYPE", "files[1]", "must be a text"),
        (request(limits={"seconds": "60"}), "TYPE", "limits.seconds", "must be a whole number, not a text"),
        (request(limits={"seconds": True}), "TYPE", "limits.seconds", "whole number"),
        (request(limits=5), "TYPE", "limits", "must be an object in { }"),
        (request(limits={"seconds": 0}), "VALUE", "limits.seconds", "greater than or equal to 1, not 0"),
        (request(user_requst="x"), "FIELD", "user_requst", 'did you mean "user_request"?'),
        (request(limits={"secs": 1}), "FIELD", "limits.secs", "seconds"),
        (request(zzz=1), "FIELD", "zzz", "the fields are v, user_request"),
        (b'{"user_request": "a", "user_request": "b"}', "FIELD", "user_request", "given twice"),
        (b'{"user_request": "a", "limits": {"tokens": 1, "tokens": 2}}', "FIELD", "tokens", "given twice"),
        (request(kind="bug"), "VALUE", "kind", "'bugfix'"),
        (request(request_id="Bad Id"), "VALUE", "request_id", "lower-case letters"),
        (request(request_id="../x"), "VALUE", "request_id", "lower-case letters"),
        (request(request_id="ok\n"), "VALUE", "request_id", "lower-case letters"),
        (request(user_request="x" * 32_769), "VALUE", "user_request", "longer than 32768"),
        (request(user_request=""), "VALUE", "user_request", "may not be empty"),
        (request(user_request=" \n "), "EMPTY", "user_request", "says nothing"),
        (request(files=["f"] * 65), "VALUE", "files", "more than 64"),
        (request(v=2), "VALUE", "v", "must be 1"),
        (request(workspace="src/shop"), "WORKSPACE", "workspace", "must be an absolute path"),
        (request(workspace="~/shop"), "WORKSPACE", "workspace", "must be an absolute path"),
        (request(workspace="/a\0b"), "WORKSPACE", "workspace", "must be an absolute path"),
        (request(files=["../x"]), "PATH", "files[0]", "leads out of the project"),
        (request(files=["a", "b/../../x"]), "PATH", "files[1]", "leads out of the project"),
        (request(files=["/etc/passwd"]), "PATH", "files[0]", "leads out of the project"),
        (request(files=["sub/.GIT/config"]), "PATH", "files[0]", "lies in .git"),
        (request(files=["."]), "PATH", "files[0]", "names no file"),
        (request(base="--upload-pack=x"), "VALUE", "base", "commit, tag or branch"),
        (request(verify=[["a\0"]]), "VALUE", "verify[0]", "NUL"),
        (request(verify=[[]]), "VALUE", "verify[0]", "may not be empty"),
        (request(verify=[[" "]]), "VALUE", "verify[0]", "names no program"),
        (request(verify=["make test"]), "TYPE", "verify[0]", "must be a list"),
    ],
)
def test_a_refusal_names_the_field_and_says_what_is_wrong(
    data: bytes, code: str, field: str | None, words: str
) -> None:
    error = refusal(data)
    assert (error.code, error.field) == (f"E-REQUEST-{code}", field)
    assert words in error.message


def test_several_problems_are_told_but_not_all_of_many() -> None:
    error = refusal(json.dumps({f"field{n}": n for n in range(2000)}).encode())
    assert "; and 1998 more" in error.message
    assert len(error.message) < 1000


def test_hostile_names_and_values_cannot_draw_on_a_terminal() -> None:
    error = refusal(request(**{"\x1b[2J\n\u202ebad" * 100: "\x1b"}))
    assert error.field is not None
    assert (error.message + error.field).isprintable()
    assert refusal(request(kind="\x1b[2J")).message.isprintable()


def test_a_byte_order_mark_and_harmless_paths_are_taken() -> None:
    taken = parse_request(b"\xef\xbb\xbf" + request(files=["./src/a.py", "b..c/d", ".github/x.yml"]))
    assert taken.files[0] == "./src/a.py"


WHOLE = '{"user_request": "ä\\u00e4 \\"\\n", "limits": {"seconds": 12}, "files": ["a", null, true, -1.5e3]} '


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_beginning_of_an_object_is_known_as_cut_off(bom: bytes) -> None:
    data = bom + WHOLE.encode()
    end = len(data.rstrip())
    for length in range(end):
        assert is_cut_off(data[:length]), data[:length]
        assert not is_whole(data[:length]), data[:length]
    for length in range(end, len(data) + 1):
        assert is_whole(data[:length])
        assert not is_cut_off(data[:length])


@pytest.mark.parametrize(
    "data", [b"fix it", b'{"a" 1}', b"{} {", b"\xff\xfe\x00\x00", b"[1]", b'{"a": tru }']
)
def test_what_can_never_become_an_object_is_not_waited_for(data: bytes) -> None:
    assert not is_whole(data)
    assert not is_cut_off(data)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_but_a_refusal(data: bytes) -> None:
    is_cut_off(data)
    is_whole(data)
    with pytest.raises(RequestError):
        take(b"{" + data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4),
    max_leaves=12,
)
_FIELDS = st.sampled_from(["user_request", "files", "limits", "verify", "kind", "v", "workspace", "x"])


@given(st.dictionaries(_FIELDS, _JSON, max_size=6))
def test_no_json_object_raises_anything_but_a_refusal(fields: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        dump(take(json.dumps(fields).encode()))
