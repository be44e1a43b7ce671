"""Checking a reply against the JSON schema that it was asked to follow.

A subset that is enough for small flat replies, because servers differ in what they enforce. A schema
that uses anything else is refused before a model is asked, so no rule is silently ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from swarmd.errors import ModelError

__all__ = ["SchemaError", "fault_in_reply", "refuse_unknown_keywords", "unfenced"]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_IGNORED = {"$schema", "title", "description", "default", "examples"}
_CHECKED = {"type", "enum", "const", "required", "properties", "additionalProperties", "items", "minItems",
            "maxItems", "minLength", "maxLength", "minimum", "maximum", "anyOf", "$ref", "$defs"}  # fmt: skip


class SchemaError(ModelError):
    """Use only these: type, enum, const, properties, required, additionalProperties (true or false),
    items, anyOf, minimum, maximum, min/maxLength, min/maxItems, and $ref into $defs."""

    code = "E-MODEL-SCHEMA"


def refuse_unknown_keywords(schema: Any, where: str = "#") -> None:
    """Raise SchemaError when ``schema`` says something that is not checked here."""
    if not isinstance(schema, dict):
        raise SchemaError(f"the schema at {where} is not an object")
    unknown = schema.keys() - _CHECKED - _IGNORED
    if unknown:
        raise SchemaError(f"the schema at {where} uses {', '.join(sorted(unknown))}")
    if "$ref" in schema and not str(schema["$ref"]).startswith("#/$defs/"):
        raise SchemaError(f"the schema at {where} refers to {schema['$ref']!r}, outside its $defs")
    for group in ("properties", "$defs"):
        for name, part in schema.get(group, {}).items():
            refuse_unknown_keywords(part, f"{where}/{group}/{name}")
    for number, part in enumerate(schema.get("anyOf", [])):
        refuse_unknown_keywords(part, f"{where}/anyOf/{number}")
    if "items" in schema:
        refuse_unknown_keywords(schema["items"], f"{where}/items")
    if not isinstance(schema.get("additionalProperties", True), bool):
        raise SchemaError(f"additionalProperties at {where} must be true or false")


def unfenced(text: str) -> str:
    """``text`` without the Markdown fence that models like to put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped:
        return stripped[:-3].partition("\n")[2].strip()
    return stripped


def fault_in_reply(text: str, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with ``text`` as JSON for ``schema``, in a few words, or None."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"it is not JSON: {error}"
    return _fault(value, schema, schema.get("$defs", {}), "the reply")


def _fault(value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any], where: str) -> str | None:
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if name not in defs:
            return f"the schema has no definition {name!r}"
        return _fault(value, defs[name], defs, where)
    if "anyOf" in schema:
        faults = [_fault(value, option, defs, where) for option in schema["anyOf"]]
        if None not in faults:
            return faults[0]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"{where} is not of type {' or '.join(kinds)}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{where} is not {schema['const']!r}"
    if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
        return f"{where} is none of {schema['enum']!r}"
    return _size_fault(value, schema, where) or _inner_fault(value, schema, defs, where)


def _same(value: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ()))


def _size_fault(value: Any, schema: Mapping[str, Any], where: str) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        size, low, high = value, "minimum", "maximum"
    elif isinstance(value, str):
        size, low, high = len(value), "minLength", "maxLength"
    elif isinstance(value, list):
        size, low, high = len(value), "minItems", "maxItems"
    else:
        return None
    if low in schema and size < schema[low]:
        return f"{where} is below its {low} of {schema[low]}"
    if high in schema and size > schema[high]:
        return f"{where} is over its {high} of {schema[high]}"
    return None


def _inner_fault(value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any], where: str) -> str | None:
    if isinstance(value, list) and "items" in schema:
        faults = (_fault(item, schema["items"], defs, f"{where}[{n}]") for n, item in enumerate(value))
        return next((fault for fault in faults if fault), None)
    if not isinstance(value, dict):
        return None
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            return f"{where} has no {name!r}"
    for name, item in value.items():
        if name in properties:
            if fault := _fault(item, properties[name], defs, f"{where}.{name}"):
                return fault
        elif schema.get("additionalProperties") is False:
            return f"{where} has {name!r}, which the schema does not know"
    return None
