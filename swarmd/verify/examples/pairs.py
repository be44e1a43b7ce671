"""Pairs of a call and its result in running text or code: ``f(2) == 4``, "f(2) should return 4"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from swarmd.messages.example import Step
from swarmd.verify.examples.scan import take_call, take_constant
from swarmd.verify.examples.syntax import constant, normalised, statement

__all__ = ["Pair", "is_suspicious", "pairs"]

MAX_PAIRS = 400
"""Most pairs that are taken from one text."""
MAX_CALLS = 3000
"""Most calls that are looked at in one text."""
WINDOW = 200
"""Most characters that may stand between a call and what it gives."""

_START = re.compile(r"(?<![\w.])(?!\d)[\w.]+\(")
_BE = (
    r"(?:be|return|give|yield|equal|produce|output|print|evaluate\s+to|result\s+in|become|come\s+out\s+as)"
    r"(?:\s+equal)?(?:\s+to)?"
)
_OFTEN = r"(?:(?:also|still|then|always|simply|just|only|correctly|thus|therefore|instead)\s+)*"
_MODAL = (
    rf"(?:(?:should|must|shall|will|would|ought\s+to|has\s+to|have\s+to|needs?\s+to)\s+(?:now\s+)?{_OFTEN}{_BE}"
    rf"|(?:is\s+)?(?:expected|supposed)\s+to\s+{_BE}|to\s+{_BE})"
)
_VERB = (
    rf"(?P<now>(?:currently|now|actually|wrongly|incorrectly|erroneously|today)\s+)?{_OFTEN}"
    r"(?:returns?|gives?|yields?|equals?|evaluates?\s+to|produces?|outputs?|prints?|results?\s+in|becomes?"
    r"|is(?:\s+equal\s+to)?)"
)
_SIGN = r"(?:={1,3}>|={2,3}|-{1,2}>|→|⇒|➞|⟶|↦|⟹|=(?!=))"
_ON_NEXT_LINE = (
    r"\n\s*(?:[-*]\s+)?(?:\*\*)?(?:expected\s+)?(?:output|result|returns?|expected)(?:\*\*)?\s*[:=]"
    r"(?:\*\*)?\s*(?:->|=>)?"
)
_CONNECTION = re.compile(
    rf"(?:(?P<line>[`*]*[ \t]*{_ON_NEXT_LINE})|[`*]*\s*(?:"
    rf"(?P<modal>,?\s*(?:(?:which|that|it)\s+)?{_MODAL})\b|(?P<verb>{_VERB})\b|(?P<sign>{_SIGN})"
    rf"|(?P<comment>#\s*(?:{_SIGN}|(?:returns?|prints?|gives?|outputs?|output:|result:|is)\b)?)))"
    r"[ \t]*[`*]*(?:(?:exactly|the|an?)\s+)*"
    r"(?:(?:value|list|string|number|integer|float|tuple|result)\s+)?[`*]*",
    re.IGNORECASE,
)
_RAISES = re.compile(
    r"[`*]*\s*(?:(?P<modal>(?:should|must|shall|has\s+to|needs?\s+to|will|would)\s+(?:raise|throw|fail\s+with)|to\s+raise)"
    r"|raises?|throws?)\s+(?:an?\s+)?[`*]*(?P<name>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Iteration))\b",
)
_INSTEAD = re.compile(
    r"[`*]*[\s,;(]*(?P<way>instead\s+of|rather\s+than"
    r"|(?:(?:but|and|when|where|while|although|though|however)[\s,]+)?(?:(?:it|that|this|which|the\s+result)\s+)?"
    r"(?:(?:should|must|ought\s+to)\s+(?:have\s+)?(?:been|be|return(?:ed)?|given?|equal|yield|produce)"
    r"|(?:is\s+)?(?:expected|supposed)\s+to\s+(?:be|return|give|equal)"
    r"|(?:(?:I|we)\s+)?expect(?:ed|s|ing)?(?:\s+(?:to\s+(?:be|get)|was|is|output|result))?))"
    r"\s*:?\s*(?:(?:returning|giving|the|an?)\s+)*[`*]*",
    re.IGNORECASE,
)
_NOT = re.compile(r"[`*]*\s*,?\s*(?:and\s+|but\s+)?not\s+", re.IGNORECASE)
_WRONG = re.compile(
    r"\b(?:wrong|incorrect|bug|buggy|broken|bad|mistake|false result|not right)\b", re.IGNORECASE
)
_NOW = re.compile(
    r"\b(?:currently|at the moment|right now|presently|today|now|wrongly|incorrectly|actual(?:ly)?|observed"
    r"|got|before|bug|instead|although|but)\b",
    re.IGNORECASE,
)
_WANTED = re.compile(
    r"\b(?:ensure|make sure|makes? sure|so that|such that|expect(?:ed)?|want(?:ed)?|should|must|assert|need"
    r"|implement\w*|add|creat\w*|writ\w*|provid\w*|for which|where)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(?:if|elif|when|whenever|unless|until|once|while|whether|def|class)\s+[`'\"(*]*$", re.IGNORECASE
)
_OPERATOR = re.compile(r"(?:\S[ \t]*(?:[-+/%~@&|^<>!]|\*(?!\*))|\b(?:not|or|in))[ \t]*[`(]*$")
_PROSE_ENDS = re.compile(
    r"[`*]*\s*(?:$|\n|[.](?!\w)|[,;:!?()}#…—–]|(?:and|but|because|since|while|instead|rather|when|for|if|not|as"
    r"|with|which|so|given|on|in|at|,)\b|-\s)",
)
_CODE_ENDS = re.compile(r"[`*]*\s*(?:$|\n|[;:!?)}\]#…—–`|]|[.](?!\w)|,(?!\s*[\d'\"\[({-])|-\s|(?!or\b)\w)")
_ASSERT_ENDS = re.compile(r"\s*(?:$|\n|[,;)#`]|(?!or\b)\w)")
_LINE_ENDS = re.compile(r"[`*]*[ \t]*[.;]?[ \t]*(?:$|\n)")


@dataclass(frozen=True)
class Pair:
    """A call and what it should give."""

    line: int
    """From 1."""
    step: Step
    doubtful: bool
    """The words around it may as well describe what the call wrongly does now."""


def pairs(text: str) -> list[Pair]:
    """Every pair in ``text``, in order. Hostile or huge text costs bounded time."""
    found: list[Pair] = []
    position = 0
    for _ in range(MAX_CALLS):
        match = _START.search(text, position)
        if match is None or len(found) >= MAX_PAIRS:
            break
        position = match.end()
        pair, behind = _pair(text, match.start())
        if pair is not None:
            found.append(pair)
            position = max(position, behind)
    return found


def _pair(text: str, start: int) -> tuple[Pair | None, int]:
    end = take_call(text, start)
    before = text[max(text.rfind("\n", 0, start) + 1, start - 200) : start]
    if end is None or _CONDITION.search(before) or _OPERATOR.search(before):
        return None, start
    source = text[start:end]
    if statement(source) is None:
        return None, start
    source = normalised(source)
    line = text.count("\n", 0, start) + 1
    for read in (_read_value, _read_raises):
        found = read(text, source, end, before)
        if found is not None:
            step, doubtful, behind = found
            return (Pair(line, step, doubtful), behind) if step is not None else (None, behind)
    return None, start


_Found = tuple[Step | None, bool, int]
"""What a call gives (None: it is certain that nothing can be said), whether that is doubtful, and where
the text goes on."""


def _read_value(text: str, source: str, end: int, before: str) -> _Found | None:
    match = _CONNECTION.match(text, end, end + WINDOW)
    if match is None:
        return None
    behind = take_constant(text, match.end())
    if behind is None or (match["sign"] in ("->", "-->") and text[match.end() : behind] == "None"):
        return None
    if not _ends(match, before).match(text, behind):
        return None
    way: _Way = "verb" if match["verb"] else "modal" if match["modal"] else "sign"
    expected, certain = _settled(text, match.end(), behind, way)
    if expected is None:
        return None, False, behind
    doubtful = not certain and _is_doubtful(text, before, behind, way, bool(match["now"]))
    shown: Literal["output", "value"] = "output" if source.startswith("print(") else "value"
    return Step(source=source, expects=shown, expected=expected), doubtful, behind


_Way = Literal["verb", "modal", "sign"]


def _ends(match: re.Match[str], before: str) -> re.Pattern[str]:
    """What may stand behind the constant: after a word of prose, not everything."""
    if match["comment"]:
        return _LINE_ENDS
    if match["verb"] or match["modal"]:
        return _PROSE_ENDS
    return _ASSERT_ENDS if before.rstrip("( ").endswith("assert") else _CODE_ENDS


def _settled(text: str, start: int, behind: int, way: _Way) -> tuple[str | None, bool]:
    """The value that is right, and whether that is certain: "5 instead of 4" means 4, after "should
    return" it means 5. None: it is told to be wrong."""
    first = text[start:behind]
    other = _INSTEAD.match(text, behind, behind + WINDOW)
    if other is not None:
        if way == "modal":
            return first, True
        second = take_constant(text, other.end())
        return (text[other.end() : second], True) if second is not None else (None, True)
    if way != "modal" and (_NOT.match(text, behind) or _WRONG.search(_rest(text, behind))):
        return None, True
    return first, way == "modal"


def _rest(text: str, start: int) -> str:
    """The rest of the sentence at ``start``."""
    return re.split(r"\n|[.;!?](?:\s|$)", text[start : start + 160], maxsplit=1)[0]


def _is_doubtful(text: str, before: str, behind: int, way: _Way, now: bool) -> bool:
    sentence = re.split(r"[.;!?](?:\s|$)", before)[-1]
    if now or _NOW.search(sentence) or _NOW.search(_rest(text, behind)):
        return True
    return way == "verb" and not _WANTED.search(sentence)


def _read_raises(text: str, source: str, end: int, before: str) -> _Found | None:
    match = _RAISES.match(text, end, end + WINDOW)
    if match is None:
        return None
    behind, name = match.end(), match["name"].rpartition(".")[2]
    other = _INSTEAD.match(text, behind, behind + WINDOW)
    if other is not None and not match["modal"]:
        second = take_constant(text, other.end())
        if second is None or constant(text[other.end() : second]) is None:
            return None, True, behind
        return Step(source=source, expects="value", expected=text[other.end() : second]), False, second
    doubtful = not match["modal"] and _is_doubtful(text, before, behind, "verb", False)
    if not match["modal"] and (_NOT.match(text, behind) or _WRONG.search(_rest(text, behind))):
        return None, True, behind
    return Step(source=source, expects="raises", expected=name), doubtful, behind


def is_suspicious(text: str) -> bool:
    """Whether ``text`` speaks of what happens now, or is wrong, rather than of what is wanted."""
    expects = re.search(r"\b(?:expected|should|instead)\b", text, re.IGNORECASE)
    return bool(_NOW.search(text) or _WRONG.search(text) or expects)
