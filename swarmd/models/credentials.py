"""Finding what looks like a credential in text: tokens by their issuers' formats, values by the names that
they are given, and strings that look random.

detect-secrets was considered for it: its plugins import an HTTP client to try what they find, and several
of its expressions take quadratic time on hostile text. Here every expression either begins where a run of
characters does and never gives any of it back, or looks at a bounded number of characters; so a text is read
in time linear in its length. What is found need not be secret, and is only replaced while a prompt is away;
what is missed is sent: this lowers a risk, it does not remove it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

__all__ = ["Span", "find_credentials"]

Span = tuple[int, int]
"""Begin and end in a text."""

_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}"  # AWS
    r"|gh[opsur]_[A-Za-z0-9]{30}|github_pat_[A-Za-z0-9_]{22}"
    r"|gl(?:agent|cbt|dt|ft|imt|oas|pat|ptt|rt|soat)-[\w-]{20}"  # GitLab
    r"|xox[abeoprs]-[\w-]{10}|xapp-\d-[\w-]{10}"  # Slack
    r"|[rs]k_(?:live|test)_[0-9A-Za-z]{10}|whsec_[0-9A-Za-z+/]{16}"  # Stripe
    r"|sk-[\w-]{20}"  # OpenAI, Anthropic, OpenRouter and others
    r"|AIza[\w-]{35}|ya29\.[\w-]{20}|GOCSPX-[\w-]{20}"  # Google
    r"|npm_[A-Za-z0-9]{30}|pypi-[\w-]{40}|hf_[A-Za-z0-9]{20}|gsk_[A-Za-z0-9]{20}|xai-[A-Za-z0-9]{20}"
    r"|SG\.[\w-]{16,32}\.[\w-]{16}|(?:AC|SK)[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}"
    r"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|hv[brs]\.[\w-]{20}|dckr_pat_[\w-]{20}|lin_api_[A-Za-z0-9]{20}"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{40}|\d{8,10}:AA[\w-]{30}"  # age, Telegram
    r"|(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8}"  # JSON Web Tokens (RFC 7519)
    r")",
    re.ASCII,
)
_REST_OF_TOKEN = re.compile(r"[\w.+/=~-]*+", re.ASCII)

_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_KEY_BODY = re.compile(r"(?:(?:\\n|\\r|[\s\"',;+])*+[A-Za-z0-9+/=]{16,}+)*+", re.ASCII)
LONGEST_KEY = 32_768
"""Characters of a private key, armour included."""

_NAME = (
    r"(?:pass(?:word|wd|phrase|wort)?|pwd|secret|contrase(?:ñ|n)a|mot_de_passe"
    r"|(?:api|access|auth|account|private|priv|encryption|signing|service|client|db|database|shared|master)"
    r"[_-]?key|token|credential|connection[_-]?string|dsn)"
)
_NAMED = re.compile(
    rf"{_NAME}[\w-]{{0,40}}+[\"'\])]{{0,3}}+"
    r"(?:[ \t]{0,4}:[ \t]{0,4}[A-Za-z_][\w.\[\]| ]{0,40}?(?==))?"  # a Python annotation
    r"[ \t]{0,8}(?:=>|:=|={1,3}|!={1,2}|:)[ \t]{0,8}(?:[rbuf]{1,2}(?=[\"']))?"
    r"(?:\"(?P<double>(?:[^\"\\\n]|\\.){4,1024}+)\"|'(?P<single>(?:[^'\\\n]|\\.){4,1024}+)'"
    r"|`(?P<back>[^`\n]{4,1024}+)`|(?P<bare>[^\s\"'`,;(){}\[\]<>]{6,1024}+)(?![(\[]))",
    re.IGNORECASE,
)
_ENVIRONMENT = re.compile(
    r"^[ \t]{0,8}(?:export[ ]{1,4})?[A-Z][A-Z0-9_]{0,40}?"
    r"(?:PASS(?:WORD|WD|PHRASE)?|PWD|SECRET|TOKEN|KEY|CREDENTIALS?|DSN)"
    r"[A-Z0-9_]{0,40}+=(?P<value>[^\s\"'`$(){}<>]{6,4096}+)$",
    re.MULTILINE | re.ASCII,
)
_HEADER = re.compile(
    r"(?:authorization|x-api-key|api-key|x-auth-token|cookie)[\"']?[ \t]{0,4}[:=,][ \t]{0,4}[rbf]?[\"']?"
    r"(?:(?:bearer|basic|token|apikey|digest)[ \t]{1,4})?(?P<value>[^\s\"'<>{}$]{8,4096}+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\bbearer[ \t]{1,4}(?P<value>[A-Za-z0-9._~+/=-]{16,4096}+)", re.IGNORECASE)
_IN_URL = re.compile(
    r"(?<=://)(?:[^\s/:@\"'<>?#]{0,256}+:(?P<word>[^\s/@\"'<>]{1,512}+)|(?P<user>[\w~.+=-]{16,512}+))@"
)
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)+", re.ASCII)
_RUN = re.compile(r"[A-Za-z0-9+/_-]{20,}+={0,2}+", re.ASCII)

_NO_SECRET = re.compile(
    r"\$?\{[^}]*\}?|\$\w+|%\(?\w*\)?[sdr]?|<[^>]*>?|\W*|[xX*.•…_-]+|none|null|nil|true|false|str|int|bytes|bool"
    r"|string|number|optional|required|any|self\.\w+|os\.\w+.*|environ.*|process\.env.*",
    re.IGNORECASE,
)


def find_credentials(text: str) -> list[Span]:
    """Where ``text`` holds what looks like a credential: in order, apart from each other."""
    return _merged([*_keys(text), *_issued(text), *_named(text), *_elsewhere(text), *_random(text)])


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > begin:
            merged.append((begin, end))
    return merged


def _keys(text: str) -> Iterator[Span]:
    """Private keys with their armour; where the end is not shown, what looks like their body."""
    ends = iter(_KEY_ENDS.finditer(text))
    end, at = next(ends, None), 0
    for begin in _KEY_BEGINS.finditer(text):
        if begin.start() < at:
            continue
        while end and end.start() < begin.end():
            end = next(ends, None)
        if end and end.end() - begin.start() <= LONGEST_KEY:
            at = end.end()
        else:
            body = _KEY_BODY.match(text, begin.end(), begin.end() + LONGEST_KEY)
            at = body.end() if body else begin.end()
        yield begin.start(), at


def _issued(text: str) -> Iterator[Span]:
    at = 0
    while match := _ISSUED.search(text, at):
        rest = _REST_OF_TOKEN.match(text, match.end())
        at = rest.end() if rest else match.end()
        yield match.start(), match.start() + len(text[match.start() : at].rstrip("."))


def _named(text: str) -> Iterator[Span]:
    """Values that a name, a header's or a setting's, calls secret."""
    for match in _NAMED.finditer(text):
        group = match.lastgroup or "bare"
        value = match[group]
        if _NO_SECRET.fullmatch(value) or (group == "bare" and not _is_bare_secret(value)):
            continue
        yield match.span(group)


def _is_bare_secret(value: str) -> bool:
    """Whether a value without quotes is one, and not a piece of code."""
    has_both = any(char.isdigit() for char in value) and any(char.isalpha() for char in value)
    return has_both and not _ATTRIBUTE.fullmatch(value)


def _elsewhere(text: str) -> Iterator[Span]:
    """Credentials in files of variables, in headers and in URLs (RFC 3986, section 3.2.1)."""
    for match in _ENVIRONMENT.finditer(text):
        if not _NO_SECRET.fullmatch(match["value"]):
            yield match.span("value")
    for pattern in (_HEADER, _BEARER):
        for match in pattern.finditer(text):
            value = match["value"]
            if any(char.isdigit() for char in value) or len(value) >= 24:
                yield match.span("value")
    for match in _IN_URL.finditer(text):
        group = "word" if match["word"] else "user"
        if not _NO_SECRET.fullmatch(match[group]):
            yield match.span(group)


def _random(text: str) -> Iterator[Span]:
    for match in _RUN.finditer(text):
        if _looks_random(match[0].rstrip("=")):
            yield match.span()


def _looks_random(run: str) -> bool:
    """Whether ``run`` is no word, path or identifier: its letters and digits change too often.

    Between two random characters of base 64 the kind (lower, upper, digit) changes two times in three;
    between those of an identifier, seldom more than one time in three.
    """
    plain = run.replace("-", "").replace("_", "")
    digits = sum(char.isdigit() for char in plain)
    if len(plain) >= 24 and plain.isalnum() and (plain == plain.lower() or plain == plain.upper()):
        return digits >= 5 and len(plain) - digits >= 5 and len(set(plain)) >= 8
    if digits < 1 or run.count("/") * 12 > len(run) or len(set(run)) < 10:
        return False
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "o" for c in run]
    changes = sum(one != next_ for one, next_ in pairwise(kinds))
    least = 0.3 if len(run) == 40 else 0.42  # 40: the length of an AWS secret access key
    return {"u", "l"} <= set(kinds) and changes >= least * (len(run) - 1)
