from __future__ import annotations

from pathlib import Path

import pytest

import swarmd.errors
from swarmd.messages import ChatCall, ChatMessage
from swarmd.models import tokens
from swarmd.models.providers import base

CODE = Path(swarmd.errors.__file__).read_text()[:4000] * 5  # 20,000 bytes, about 5,700 tokens


def prompt(text: str) -> ChatCall:
    return ChatCall(tier="fast", messages=[ChatMessage(role="user", content=text)], max_tokens=1)


def test_a_prompt_that_was_cut_in_half_is_noticed() -> None:
    assert tokens.was_cut(prompt(CODE), 2048, 4096)


def test_an_honest_count_is_believed() -> None:
    assert not tokens.was_cut(prompt(CODE), 5700, 8192)
    assert not tokens.was_cut(prompt(CODE[:8000]), 2000, 4096)


def test_a_prompt_that_surely_fits_cannot_have_been_cut() -> None:
    assert not tokens.was_cut(prompt(" " * 2000), 40, 4096)


def test_the_bounds_hold_for_multibyte_text() -> None:
    assert tokens.at_most(prompt("é" * 100)) >= 200
    assert tokens.at_least(prompt("é" * 100)) <= 100


def test_what_stands_behind_a_gap_counts() -> None:
    gap = prompt(CODE[:3000]).model_copy(update={"suffix": CODE[3000:6000]})
    assert tokens.at_least(gap) == tokens.at_least(prompt(CODE[:6000]))


LLAMA_CPP = (
    '{"error":{"code":400,"message":"request (5030 tokens) exceeds the available context size",'
    '"type":"exceed_context_size_error","n_prompt_tokens":5030,"n_ctx":4096}}'
)
VLLM = (
    '{"object":"error","message":"This model\'s maximum context length is 4096 tokens. However, you '
    'requested 5000","type":"BadRequestError","code":400}'
)


@pytest.mark.parametrize(
    "body",
    [
        LLAMA_CPP,
        VLLM,
        '{"error":{"message":"too long","code":"context_length_exceeded"}}',
        '{"error":"the input length exceeds the context length"}',
        "litellm.ContextWindowExceededError: prompt is too long",
    ],
)
def test_every_servers_overflow_is_one_error(body: str) -> None:
    assert base.failure("m", 400, body).code == "E-MODEL-OVERFLOW"


@pytest.mark.parametrize(
    ("status", "said", "code", "busy", "broken"),
    [
        (503, "Loading model", "E-MODEL-LOADING", True, False),
        (503, "server busy, please try again", "E-MODEL-BUSY", True, False),
        (429, "slow down", "E-MODEL-BUSY", True, False),
        (529, "Overloaded", "E-MODEL-BUSY", True, False),
        (500, "CUDA error", "E-MODEL-DOWN", False, True),
        (499, "client closed the request", "E-MODEL-DOWN", False, True),
    ],
)
def test_what_may_be_asked_again_says_how(
    status: int, said: str, code: str, busy: bool, broken: bool
) -> None:
    error = base.failure("m", status, f'{{"error":{{"message":"{said}"}}}}', "7")
    assert isinstance(error, base.TransientError)
    assert (error.code, error.busy, error.broken) == (code, busy, broken)
    assert said in error.message
    assert error.retry_after == (7.0 if busy else None)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "E-MODEL-REFUSED"),
        (401, "E-MODEL-REFUSED"),
        (404, "E-MODEL-NAME"),
        (307, "E-MODEL-REDIRECT"),
    ],
)
def test_what_will_not_change_is_not_asked_again(status: int, code: str) -> None:
    error = base.failure("m", status, "<html>no json</html>")
    assert not isinstance(error, base.TransientError)
    assert error.code == code
