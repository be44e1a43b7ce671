"""What is wrong with a JSON file, in words that its author can act on."""

from __future__ import annotations

import codecs
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from swarmd.bus.naming import printable
from swarmd.errors import RequestError
from swarmd.messages import Message

__all__ = ["decode", "is_cut_off", "is_whole", "parse"]

M = TypeVar("M", bound=Message)

_BOM = b"\xef\xbb\xbf"
_LITERALS = ("true", "false", "null")
_CUT_NUMBER = re.compile(r"-|\.|[eE][+-]?")
_TYPES = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list in [ ]",
    "dict_type": "an object in { }",
    "model_type": "an object in { }",
}
_JSON_NAMES: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def is_whole(data: bytes) -> bool:
    """Whether ``data`` is one whole JSON object: nobody is still writing it."""
    try:
        return isinstance(orjson.loads(data.removeprefix(_BOM)), dict)
    except orjson.JSONDecodeError:
        return False


def is_cut_off(data: bytes) -> bool:
    """Whether ``data`` could be the beginning of a JSON object: empty, or good up to its end."""
    try:
        # Not final: a cut may go through a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(data.removeprefix(_BOM)).strip()
    except UnicodeDecodeError:
        return False
    if not text:
        return True
    if not text.startswith("{"):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        return (
            not rest
            or error.msg.startswith("Unterminated string")
            or any(literal.startswith(rest) for literal in _LITERALS)
            or _CUT_NUMBER.fullmatch(rest) is not None
            or (error.msg.startswith("Invalid \\") and len(rest) < 6)
        )
    except (RecursionError, ValueError):
        return False
    return False


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def decode(data: bytes, code: str) -> bytes:
    """``data`` without a byte order mark, known to be one JSON object without a key given twice.

    Raises RequestError with ``code`` and -EMPTY, -NOT-UTF8, -NOT-JSON, -TYPE or -FIELD.
    """
    data = data.removeprefix(_BOM)
    if not data.strip():
        raise RequestError("the file is empty", code=f"{code}-EMPTY")
    text = _text(data)
    if text is None:
        raise RequestError(
            "the file is not text in UTF-8",
            code=f"{code}-NOT-UTF8",
            hint="Save the file as UTF-8 and drop it again.",
        )
    try:
        orjson.loads(data)
        value = json.loads(text, object_pairs_hook=_without_twins)
    except _TwinError as error:
        raise RequestError(
            f'the field "{printable(error.key, 80)}" is given twice',
            code=f"{code}-FIELD",
            field=printable(error.key, 80),
        ) from error
    except RecursionError as error:
        raise RequestError("the JSON is nested too deeply", code=f"{code}-NOT-JSON") from error
    except json.JSONDecodeError as error:  # orjson's is a subclass
        where = printable(f"{error.msg} in line {error.lineno}, column {error.colno}")
        raise RequestError(f"the file is not JSON: {where}", code=f"{code}-NOT-JSON") from error
    if not isinstance(value, dict):
        kind = _JSON_NAMES[type(value)]
        raise RequestError(f"the file must hold one JSON object in {{ }}, not {kind}", code=f"{code}-TYPE")
    return data


class _TwinError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique:
            raise _TwinError(key)
        unique[key] = value
    return unique


def parse(kind: type[M], data: bytes, code: str) -> M:
    """``data`` as a message of ``kind``, typed strictly.

    Raises RequestError with the first problem's field, its code (``code`` and -EMPTY, -NOT-UTF8,
    -NOT-JSON, -TYPE, -FIELD, -MISSING or -VALUE) and up to three problems in words.
    """
    raw = decode(data, code)
    try:
        return kind.model_validate_json(raw, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)
    told = [_tell(problem, kind) for problem in problems[:3]]
    text = "; ".join(message for _, message in told)
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    raise RequestError(text + more, code=f"{code}{told[0][0]}", field=_path(problems[0]["loc"]))


def _path(loc: Iterable[int | str]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return printable(path, 80)


def _tell(problem: ErrorDetails, kind: type[Message]) -> tuple[str, str]:
    """The code's ending and the sentence for one problem."""
    name, shape, value = _path(problem["loc"]), problem["type"], problem["input"]
    if shape == "missing":
        return "-MISSING", f'"{name}" is missing'
    if shape == "extra_forbidden":
        return "-FIELD", f'there is no field "{name}"' + _similar(problem["loc"], kind)
    if shape in _TYPES:
        return "-TYPE", f'"{name}" must be {_TYPES[shape]}, not {_JSON_NAMES.get(type(value), "that")}'
    return "-VALUE", f'"{name}" ' + _demand(shape, problem.get("ctx", {}), problem["msg"], value)


def _similar(loc: tuple[int | str, ...], kind: type[Message]) -> str:
    model: Any = kind
    for part in loc[:-1]:
        model = (
            getattr(model.model_fields.get(part), "annotation", None)
            if hasattr(model, "model_fields")
            else None
        )
    fields = list(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(loc[-1]).lower()[:80], fields, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return "; the fields are " + ", ".join(fields) if fields else ""


def _demand(shape: str, limits: Mapping[str, Any], message: str, value: Any) -> str:
    shown = printable(json.dumps(value, ensure_ascii=False, default=str), 60)
    if shape == "literal_error":
        return f"must be {limits.get('expected')}, not {shown}"
    if shape == "string_pattern_mismatch":
        return f"may hold only lower-case letters, digits and '-' (at most 64, no '-' first), not {shown}"
    if shape in ("string_too_short", "too_short"):
        return "may not be empty"
    if shape == "string_too_long":
        return f"is longer than {limits.get('max_length')} characters"
    if shape == "too_long":
        return f"has more than {limits.get('max_length')} entries"
    if shape.startswith(("greater_than", "less_than")):
        return f"{message.removeprefix('Input ').replace('should', 'must')}, not {shown}"
    return f"cannot be taken: {message}"
