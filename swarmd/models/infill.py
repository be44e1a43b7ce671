"""Asking a model to fill a gap: the marks that its makers trained it with, around the text on both sides.

The marks are those of the models' own cards: Qwen2.5-Coder, StarCoder and StarCoder2 (also Granite),
DeepSeek Coder, Code Llama, CodeGemma. Trained so, a model continues what stands before the gap so that it
leads to what stands behind it (Bavarian et al., "Efficient Training of Language Models to Fill in the
Middle", 2022).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from swarmd.config import ModelSettings
from swarmd.errors import ModelError
from swarmd.messages import ChatCall

__all__ = ["Marks", "fill_prompt", "marks_of"]


MAX_STOPS = 4
"""More ends of a reply are refused by some servers."""


@dataclass(frozen=True)
class Marks:
    """What stands before the text before the gap, before the text behind it, and where the gap's begins."""

    prefix: str
    suffix: str
    middle: str
    stops: tuple[str, ...] = ()
    """What the model may write once it has filled the gap, besides the end of its reply."""

    def holds(self, text: str) -> bool:
        """Whether ``text`` holds a mark, and so would be read as something else."""
        return any(mark.strip() in text for mark in (self.prefix, self.suffix, self.middle, *self.stops))


_MARKS = {
    "qwen": Marks(
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|endoftext|>", "<|file_sep|>", "<|fim_pad|>", "<|im_end|>"),
    ),
    "starcoder": Marks(
        "<fim_prefix>", "<fim_suffix>", "<fim_middle>", ("<|endoftext|>", "<file_sep>", "<fim_pad>")
    ),
    "deepseek": Marks("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", ("<｜end▁of▁sentence｜>",)),
    "codellama": Marks("<PRE> ", " <SUF>", " <MID>", ("<EOT>",)),
    "codegemma": Marks("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", ("<|file_separator|>",)),
}
_NAMES = (
    (re.compile(r"qwen[-_ .]?(2\.?5(\.\d)?|3)[-_. ]?coder", re.IGNORECASE), "qwen"),
    (re.compile(r"star[-_]?coder|granite[-_.\w]*?code", re.IGNORECASE), "starcoder"),
    (re.compile(r"deepseek[-_]?coder", re.IGNORECASE), "deepseek"),
    # Those were trained for it, their larger, Python-only and instructed siblings were not.
    (re.compile(r"code[-_]?llama[-:_](7|13)b(?!.*python)", re.IGNORECASE), "codellama"),
    (re.compile(r"code[-_]?gemma(?!.*-it)", re.IGNORECASE), "codegemma"),
)


def marks_of(model: str, settings: ModelSettings) -> Marks | None:
    """The marks of ``model``, by its settings, else by its names here and on its server; None: it has none
    that are known."""
    if settings.fill != "auto":
        return _MARKS.get(settings.fill)
    names = [name for name in (settings.name, settings.weights, model) if name]
    found = (marks for pattern, marks in _NAMES if any(pattern.search(name) for name in names))
    return next((_MARKS[marks] for marks in found), None)


def fill_prompt(call: ChatCall, model: str, settings: ModelSettings) -> tuple[str, list[str]]:
    """The whole prompt for a ``call`` with a gap, marks included, and where the reply has to end. Raises
    ModelError (E-MODEL-FILL) when ``model`` knows no such marks, or the text holds them itself."""
    marks = marks_of(model, settings)
    if marks is None:
        raise ModelError(
            f"{model} is not known to fill gaps in code",
            code="E-MODEL-FILL",
            hint=f"If it does, say in swarmd.toml how: models.{model}.fill.",
        )
    before, behind = "".join(turn.content for turn in call.messages), call.suffix or ""
    if marks.holds(before) or marks.holds(behind):
        raise ModelError(f"the text holds the marks that {model} takes for gaps", code="E-MODEL-FILL")
    prompt = f"{marks.prefix}{before}{marks.suffix}{behind}{marks.middle}"
    return prompt, list(dict.fromkeys([*call.stop, *marks.stops]))[:MAX_STOPS]
