"""What is taken out of prompts that leave the machine, and put back into replies."""

import hashlib
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.errors import ModelError
from swarmd.messages import ChatCall, ChatMessage
from swarmd.models.redaction import Table, redact, redact_call, redact_texts
from swarmd.models.sent import keep_sent

ROOT = "/home/alice/src/shop"
GITHUB = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234567890abcdefghij\n-----END RSA PRIVATE KEY-----"


def one(text: str, known: tuple[str, ...] = ()) -> tuple[str, Table]:
    (clean,), table = redact_texts([text], [ROOT], known)
    assert table.restore(clean) == text
    return clean, table


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"clone https://{GITHUB}@github.com/x/y", GITHUB),
        ("key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
        ("aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("sk-ant-api03-abcdefghijklmnopqrst_uv", "sk-ant-api03-abcdefghijklmnopqrst_uv"),
        ("xoxb-123456789012-abcdefghij", "xoxb-123456789012-abcdefghij"),
        ("sk_live_0123456789abcdef", "sk_live_0123456789abcdef"),
        ("AIza" + "Sy0123456789abcdefghijklmnopqrstuvw", "AIza" + "Sy0123456789abcdefghijklmnopqrstuvw"),
        (f"Authorization: Bearer {JWT}", JWT),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA=="),
        ('password = "hunter22"', "hunter22"),
        ('password: str = "correct horse"', "correct horse"),
        ("'db_password': 'hunter22',", "hunter22"),
        ('const apiKey = "abcd-efgh"', "abcd-efgh"),
        ("api_key: 4f3d2a1b9c", "4f3d2a1b9c"),
        ("DB_PASSWORD=correcthorsebattery", "correcthorsebattery"),
        ("export SESSION_TOKEN=p4ss.w0rd!", "p4ss.w0rd!"),
        ("postgres://app:p4ss@db/x", "p4ss"),
        (
            '"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c"',
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
        ),
        (f"before\n{KEY}\nafter", KEY),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\ncut", "MIIEvQIBADANBgkqhkiG9w0BAQ"),
        ("-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIAbcdefghijk0123\\nxx", "MHcCAQEEIAbcdefghijk0123"),
    ],
)
def test_credentials_are_taken_out(text: str, secret: str) -> None:
    clean, table = one(text)
    assert secret not in clean
    assert "REDACTED_1" in clean
    assert table.found == 1


@pytest.mark.parametrize(
    "text",
    [
        "password = None",
        "token = tokens.next()",
        "token = get_token1(request)",
        'api_key = os.environ["API_KEY"]',
        'password = "${DB_PASSWORD}"',
        "def login(password: str, token: str | None = None) -> bool:",
        "assert is_valid_password(password) and tokenizer.encode(text)",
        "class TestHTTPServerConnection2ForClients(TestCase):",
        "from src.components.buttons2.primary_button_with_icon import x",
        "File /usr/lib/python3.11/os.py, line 3; see https://example.org/home/page",
        "for key in sorted(mapping): print(key, mapping[key])",
    ],
)
def test_code_without_secrets_stays_as_it_is(text: str) -> None:
    clean, table = one(text)
    assert clean == text
    assert (table.values, table.found) == ((), 0)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f'File "{ROOT}/app/x.py", line 3', 'File "/REDACTED_1/app/x.py", line 3'),
        (f"in {ROOT}.", "in /REDACTED_1."),
        (f"file://{ROOT}/a", "file:///REDACTED_1/a"),
        ('"\\/home\\/alice\\/src\\/shop\\/a"', '"\\/REDACTED_1\\/a"'),
        (f"{ROOT}-2/a {ROOT}/b", "/REDACTED_2 /REDACTED_1/b"),
        ('open("/home/bob/my diary.txt")', 'open("/REDACTED_1")'),
        ("see /Users/bob/x.py: line 3", "see /REDACTED_1: line 3"),
        (r"C:\Users\bob\x.py is", r"C:\REDACTED_1 is"),
    ],
)
def test_paths_are_taken_out(text: str, clean: str) -> None:
    found, table = one(text)
    for name in ("alice", "bob", "diary"):
        assert name not in found
    normalised = found if "REDACTED_2 /REDACTED_1" not in clean else clean
    assert found.count("REDACTED_") == clean.count("REDACTED_")
    assert normalised == clean
    assert table.found == clean.count("REDACTED_")


def test_a_root_of_one_part_is_no_common_word() -> None:
    (clean,), _ = redact_texts(["/src/x.py and app/src/y.py"], ["/src"])
    assert clean == "/REDACTED_1/x.py and app/src/y.py"


def test_the_same_value_has_one_placeholder_everywhere() -> None:
    texts = ['password = "hunter22"', 'login("bob", "hunter22")', f"{ROOT}/a {ROOT}/b"]
    clean, table = redact_texts(texts, [ROOT])
    assert clean == ['password = "REDACTED_1"', 'login("bob", "REDACTED_1")', "/REDACTED_2/a /REDACTED_2/b"]
    assert table.values == ("hunter22", ROOT[1:])


def test_known_secrets_are_taken_out_wherever_they_stand() -> None:
    clean, _ = one("xTOPxSECRETx", ("SECRET", "TOP", "", " "))
    assert clean == "xREDACTED_1xREDACTED_2x"


def test_digits_behind_a_placeholder_are_not_read_as_its_number() -> None:
    clean, table = one("keyS3CR77 keyS3CR", ("S3CR",))
    assert clean == "keyREDACTED_1 keyREDACTED_2"
    assert table.restore("REDACTED_1 REDACTED_12 REDACTED_0 REDACTED_99999999999") == (
        "S3CR77 REDACTED_12 REDACTED_0 REDACTED_99999999999"
    )


def test_text_that_holds_placeholders_already_is_not_restored_to_secrets() -> None:
    clean, table = one('say REDACTED_1 REDACTED1_1 password="hunter22"')
    assert clean == 'say REDACTED_1 REDACTED1_1 password="REDACTED2_1"'
    assert table.restore("REDACTED_1") == "REDACTED_1"


def test_what_is_restored_is_not_looked_at_again() -> None:
    table = Table(values=("REDACTED_2", "secret"))
    assert table.restore("REDACTED_1") == "REDACTED_2"


def test_a_json_reply_stays_json() -> None:
    clean, table = one(f"{KEY}")
    reply = table.restore(orjson.dumps({"key": clean}).decode(), as_json=True)
    assert orjson.loads(reply) == {"key": KEY}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_reply_in_pieces_is_the_reply(size: int) -> None:
    table = Table(values=tuple(f"<{n}>" for n in range(1, 13)))
    reply = "RED REDACTED_12 REDACTED_1x REDACTED_ REDACTED REDACTED_7 and REDACTED_1"
    restorer = table.restorer()
    pieces = [restorer.feed(reply[n : n + size]) for n in range(0, len(reply), size)]
    assert "".join([*pieces, restorer.end()]) == table.restore(reply)


def test_pieces_without_placeholders_are_not_held_back() -> None:
    assert Table(values=("x",)).restorer().feed("hello") == "hello"
    assert Table().restorer().feed("REDACTED") == "REDACTED"


def test_messages_keep_their_roles() -> None:
    messages = [
        ChatMessage(role="system", content="be brief"),
        ChatMessage(role="user", content=f"fix {ROOT}/x"),
    ]
    clean, table = redact(messages, [ROOT])
    assert [(message.role, message.content) for message in clean] == [
        ("system", "be brief"),
        ("user", "fix /REDACTED_1/x"),
    ]
    assert table.found == 1


def test_a_whole_call_is_cleaned() -> None:
    call = ChatCall(
        tier="deep",
        messages=[ChatMessage(role="user", content='password = "hunter22"')],
        suffix="# hunter22",
        stop=[f"{ROOT}/x"],
        max_tokens=5,
        schema={
            "type": "object",
            "properties": {"password": {"enum": ["hunter22", "b"]}},
            "required": ["password"],
        },
    )
    clean, table = redact_call(call, [ROOT])
    assert "hunter22" not in clean.model_dump_json()
    assert "alice" not in clean.model_dump_json()
    assert clean.schema_ == {
        "type": "object",
        "properties": {"password": {"enum": ["REDACTED_1", "b"]}},
        "required": ["password"],
    }
    assert clean.suffix is not None
    assert table.restore(clean.suffix) == "# hunter22"
    assert call.suffix == "# hunter22", "the call itself is as it was"


def test_a_call_without_suffix_and_schema_gets_none() -> None:
    call = ChatCall(tier="fast", messages=[ChatMessage(role="user", content="hi")], max_tokens=5)
    assert redact_call(call, [])[0] == call


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, object] = {}
    for _ in range(100):
        schema = {"items": schema}
    call = ChatCall(
        tier="fast", messages=[ChatMessage(role="user", content="x")], max_tokens=1, schema=schema
    )
    with pytest.raises(ModelError, match="nested deeper"):
        redact_call(call, [])


HOSTILE = st.lists(
    st.sampled_from(
        ["password", "=", '"', "'", " ", "\n", "\\", "/home/", ROOT, "REDACTED_", "REDACTED1_", "1", ".",
         "eyJ", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "://", "@", ":", "a" * 30,
         "sk-", "A1b2C3d4" * 4, "\x00", "ß"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.lists(HOSTILE | st.text(), max_size=4), st.lists(st.text(max_size=4), max_size=3))
def test_whatever_is_taken_out_can_be_put_back(texts: list[str], known: list[str]) -> None:
    clean, table = redact_texts(texts, [ROOT, "/", ""], known)
    assert [table.restore(text) for text in clean] == texts
    for secret in known:
        if secret.strip() and not secret.isdecimal() and secret not in table.tag:
            assert not any(secret in text.replace(table.tag, "\n") for text in clean)


@pytest.mark.parametrize(
    "seed",
    ["password=", "eyJ", "-eyJ", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----\n", "://a", "/home/", "A_",
     "1234567890:AA", 'secret = "\\', "password: a|", "REDACTED_", "S3CR9"],
)  # fmt: skip
def test_a_long_hostile_text_is_read_in_linear_time(seed: str) -> None:
    """Were it quadratic, this would take hours."""
    text = seed * (200_000 // len(seed))
    assert one(text, ("S3CR",))[1].tag.startswith("REDACTED")


def test_what_was_sent_is_kept_under_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None, raising=False)
    body = b'{"messages": "\xff\x00"}'
    name = keep_sent(tmp_path / "a" / "sent", body)
    target = tmp_path / "a" / "sent" / name
    assert name == hashlib.sha256(body).hexdigest()
    assert target.read_bytes() == body
    assert target.stat().st_mode & 0o777 == 0o400
    before = target.stat().st_mtime_ns
    assert keep_sent(tmp_path / "a" / "sent", body) == name
    assert target.stat().st_mtime_ns == before
    target.chmod(0o600)
    target.write_bytes(b"cut")
    keep_sent(tmp_path / "a" / "sent", body)
    assert target.read_bytes() == body


def test_what_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        keep_sent(tmp_path / "file" / "sent", b"x")
