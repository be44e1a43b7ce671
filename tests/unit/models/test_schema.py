from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from swarmd.models.schema import SchemaError, fault_in_reply, refuse_unknown_keywords, unfenced

PLAN: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["skill", "files"],
    "properties": {
        "skill": {"type": "string", "enum": ["api", "docs"]},
        "files": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 2},
        "effort": {"type": "integer", "minimum": 1, "maximum": 5},
        "note": {"type": ["string", "null"]},
        "fixed": {"const": 1},
    },
}


@pytest.mark.parametrize(
    "reply",
    [
        '{"skill": "api", "files": ["a.py"]}',
        '{"skill": "docs", "files": ["a", "b"], "effort": 5, "note": null, "fixed": 1}',
    ],
)
def test_replies_that_follow_the_schema_have_no_fault(reply: str) -> None:
    assert fault_in_reply(reply, PLAN) is None


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ('{"skill": "api", "files": ["a"]', "not JSON"),
        ("", "not JSON"),
        ("[]", "not of type object"),
        ('{"files": ["a"]}', "has no 'skill'"),
        ('{"skill": "hack", "files": ["a"]}', "none of"),
        ('{"skill": "api", "files": []}', "minItems"),
        ('{"skill": "api", "files": ["a", "b", "c"]}', "maxItems"),
        ('{"skill": "api", "files": [1]}', "files[0] is not of type string"),
        ('{"skill": "api", "files": [""]}', "minLength"),
        ('{"skill": "api", "files": ["a"], "effort": 9}', "maximum"),
        ('{"skill": "api", "files": ["a"], "effort": 1.5}', "not of type integer"),
        ('{"skill": "api", "files": ["a"], "effort": true}', "not of type integer"),
        ('{"skill": "api", "files": ["a"], "note": 1}', "string or null"),
        ('{"skill": "api", "files": ["a"], "fixed": true}', "is not 1"),
        ('{"skill": "api", "files": ["a"], "x": 1}', "does not know"),
    ],
)
def test_each_kind_of_fault_is_named(reply: str, fault: str) -> None:
    assert fault in (fault_in_reply(reply, PLAN) or "")


def test_schemas_that_pydantic_makes_are_understood() -> None:
    class Step(BaseModel):
        action: str
        after: int | None = None

    class Steps(BaseModel):
        steps: list[Step]

    schema = Steps.model_json_schema()
    refuse_unknown_keywords(schema)
    assert fault_in_reply('{"steps": [{"action": "x", "after": 1}]}', schema) is None
    assert fault_in_reply('{"steps": [{"action": "x", "after": "y"}]}', schema)
    assert fault_in_reply('{"steps": [{}]}', schema) == "the reply.steps[0] has no 'action'"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a"},
        {"properties": {"a": {"items": {"not": {}}}}},
        {"$ref": "https://example.com/schema"},
        {"additionalProperties": {"type": "string"}},
        {"anyOf": [True]},
    ],
)
def test_a_rule_that_would_not_be_checked_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        refuse_unknown_keywords(schema)


def test_the_fence_around_json_is_taken_off() -> None:
    assert unfenced('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert unfenced(' {"a": "```"} ') == '{"a": "```"}'
