"""Whom a call goes to: rules, modes, fallbacks, and privacy before all of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.config import Settings
from swarmd.errors import ConfigError
from swarmd.messages import CallContext, ChatCall
from swarmd.models.candidates import decide, is_local

MODELS: dict[str, dict[str, Any]] = {
    "small": {"provider": "embedded"},
    "large": {"provider": "ollama"},
    "spare": {"provider": "openai", "base_url": "http://127.0.0.1:8000/v1"},
    "lan": {"provider": "openai", "base_url": "http://10.0.0.7/v1"},
    "far": {"provider": "openai", "base_url": "https://models.example/v1"},
}


def settings(privacy: str = "off", **routing: Any) -> Settings:
    tiers = {"fast": "small", "deep": "large", "reviewer": "large"}
    return Settings.model_validate({"models": MODELS, "tiers": tiers, "privacy": privacy, "routing": routing})


def call(**fields: Any) -> ChatCall:
    defaults = {
        "tier": "fast",
        "max_tokens": 10,
        "privacy": "off",
        "messages": [{"role": "user", "content": "hi"}],
    }
    return ChatCall.model_validate(defaults | fields)


def about(**fields: Any) -> CallContext:
    return CallContext.model_validate({"privacy": "off"} | fields)


def chosen(
    made: Settings, asked: ChatCall | None = None, part: CallContext | None = None, left: int = 0
) -> list[str]:
    return list(decide(made, asked or call(), part or about(), left).models)


def test_without_any_settings_a_tiers_model_answers_then_those_above_it() -> None:
    assert chosen(settings()) == ["small", "large"]
    assert chosen(settings(), call(tier="reviewer")) == ["large"]


def test_fallbacks_of_the_tier_come_before_the_next_tier() -> None:
    assert chosen(settings(fallbacks={"fast": ["spare"]})) == ["small", "spare", "large"]


@pytest.mark.parametrize(
    ("mode", "purpose", "expected"),
    [
        ("local_only", "plan", ["small", "large"]),
        ("prefer_local", "plan", ["small", "large", "far"]),
        ("auto", "plan", ["far", "small", "large"]),
        ("auto", "edit", ["small", "large", "far"]),
        ("cloud_only", "edit", ["far"]),
    ],
)
def test_the_mode_says_whether_and_when_another_machine_is_asked(
    mode: str, purpose: str, expected: list[str]
) -> None:
    assert chosen(settings(mode=mode, cloud=["far"]), call(purpose=purpose)) == expected


def test_in_auto_a_task_of_high_risk_goes_to_the_cloud_first() -> None:
    made = settings(mode="auto", cloud=["far"])
    assert chosen(made, part=about(risk="high")) == ["far", "small", "large"]


def test_a_remote_model_of_a_tier_comes_after_local_ones_where_they_are_preferred() -> None:
    made = settings(mode="prefer_local", fallbacks={"deep": ["lan", "spare"]})
    assert chosen(made, call(tier="deep")) == ["large", "spare", "lan"]


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"kind": ["bugfix"]}, True),
        ({"kind": ["feature"]}, False),
        ({"kind": ["feature", "bugfix"], "agent_type": ["coding"]}, True),
        ({"kind": ["bugfix"], "agent_type": ["docs"]}, False),
        ({"skill": ["api"]}, True),
        ({"purpose": ["edit"]}, True),
        ({"tier": ["deep"]}, False),
        ({"privacy": ["off"]}, True),
        ({"risk": ["high"]}, False),
        ({"min_prompt_tokens": 100}, False),
        ({"max_prompt_tokens": 100}, True),
        ({"min_attempt": 2}, True),
        ({"min_attempt": 3}, False),
        ({"min_budget_micro_usd": 50}, True),
        ({"min_budget_micro_usd": 51}, False),
    ],
)
def test_a_rule_fits_when_all_that_it_gives_holds(rule: dict[str, Any], fits: bool) -> None:
    made = settings(rules=[rule | {"models": ["spare"], "name": "mine"}])
    part = about(kind="bugfix", agent_type="coding", skill="api", attempt=2)
    decision = decide(made, call(purpose="edit"), part, 50)
    assert decision.rule == ("mine" if fits else "default")
    assert decision.models[0] == ("spare" if fits else "small")


def test_the_first_rule_that_fits_decides_and_unnamed_ones_have_numbers() -> None:
    made = settings(rules=[{"tier": ["deep"]}, {"models": ["spare"]}, {"models": ["large"]}])
    decision = decide(made, call(), about())
    assert (decision.rule, decision.models) == ("rule 2", ("spare", "small", "large"))


def test_a_rule_may_change_the_mode() -> None:
    made = settings(cloud=["far"], rules=[{"purpose": ["plan"], "mode": "cloud_only"}])
    assert chosen(made, call(purpose="plan")) == ["far"]
    assert chosen(made) == ["small", "large"]


def test_a_named_model_is_the_only_candidate() -> None:
    assert chosen(settings(mode="auto", cloud=["far"]), call(model="large")) == ["large"]
    with pytest.raises(ConfigError, match="no model is called 'none'"):
        chosen(settings(), call(model="none"))


def test_what_was_refused_is_said_with_the_reason() -> None:
    decision = decide(settings("strict", mode="auto", cloud=["far"]), call(), about())
    assert decision.refused == (
        ("far", "privacy: strict, and it is at https://models.example, which is not this machine"),
    )
    assert decide(settings(cloud=["far"]), call(), about()).refused[0][1].startswith("mode: local_only")


def test_nobody_left_because_of_privacy_is_told_from_nobody_left_because_of_the_mode() -> None:
    assert decide(settings("strict", mode="cloud_only", cloud=["far"]), call(), about()).blocked_by_privacy
    assert not decide(settings(mode="cloud_only"), call(), about()).blocked_by_privacy


@given(
    home=st.sampled_from(["strict", "balanced", "off"]),
    request=st.sampled_from(["strict", "balanced", "off"]),
    asked=st.sampled_from(["strict", "balanced", "off"]),
    mode=st.sampled_from(["local_only", "prefer_local", "auto", "cloud_only"]),
    rule=st.fixed_dictionaries(
        {"models": st.lists(st.sampled_from(list(MODELS)))},
        optional={"mode": st.sampled_from(["auto", "cloud_only", "prefer_local"])},
    ),
    fallbacks=st.lists(st.sampled_from(list(MODELS))),
    cloud=st.lists(st.sampled_from(list(MODELS))),
    model=st.none() | st.sampled_from(list(MODELS)),
    purpose=st.sampled_from(["plan", "edit", "review"]),
)
def test_whatever_is_set_strict_means_this_machine(
    home: str, request: str, asked: str, mode: str, rule: dict[str, Any], fallbacks: list[str],
    cloud: list[str], model: str | None, purpose: str,
) -> None:  # fmt: skip
    made = settings(home, mode=mode, rules=[rule], fallbacks={"fast": fallbacks}, cloud=cloud)
    decision = decide(made, call(model=model, purpose=purpose, privacy=asked), about(privacy=request))
    if "strict" in (home, request, asked):
        assert all(is_local(made, name) for name in decision.models)
    assert not {name for name, _ in decision.refused} & set(decision.models)
