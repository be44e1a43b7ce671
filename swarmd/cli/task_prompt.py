"""``swarmd task show --prompt``: what an attempt saw, and what the model answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.output import Output
from swarmd.client import RequestState
from swarmd.client.state import read
from swarmd.errors import SwarmdError, UsageError
from swarmd.messages import CallRecord, Transcript

__all__ = ["Choice", "show_prompts"]

FOLDER = "transcripts"


@dataclass(frozen=True)
class Choice:
    """Which samples are meant; without any of it the last one."""

    task: str | None = None
    attempt: int | None = None
    sample: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing was chosen."""
        return self.task is None and self.attempt is None and self.sample is None

    def fits(self, one: Transcript) -> bool:
        """Whether ``one`` is meant."""
        return (
            self.task in (None, one.task_id)
            and self.attempt in (None, one.attempt)
            and self.sample in (None, one.sample)
        )


def show_prompts(context: Context, state: RequestState, folder: Path | None, choice: Choice) -> int:
    """Print the transcripts of a request that ``choice`` means, oldest first. Raises UsageError when
    there is no such sample, SwarmdError when none is kept at all."""
    known = sorted(_transcripts(folder), key=lambda pair: pair[0])
    chosen = [one for _, one in known if choice.fits(one)]
    if choice.is_open:
        chosen = chosen[-1:]
    if not chosen:
        raise _nothing(state, [one for _, one in known])
    context.output.document(
        "task show",
        request_id=state.request_id,
        prompts=[one.model_dump(mode="json", exclude={"v"}) for one in chosen],
        kept=[{"task": one.task_id, "attempt": one.attempt, "sample": one.sample} for _, one in known],
    )
    for one in chosen:
        _print(context.output, one)
    if choice.is_open and len(known) > 1:
        context.output.note(
            f"the last of {len(known)} samples; others: {_list(one for _, one in known[:-1])}"
        )
    return ExitCode.OK


def _transcripts(folder: Path | None) -> Iterator[tuple[tuple[int, str], Transcript]]:
    """The readable ones, with when they were written."""
    try:
        paths = list((folder / FOLDER).glob("*.json")) if folder else []
    except OSError:
        return
    for path in paths:
        one = read(Transcript, path)
        if one is not None:
            yield (path.lstat().st_mtime_ns, path.name), one


def _nothing(state: RequestState, known: list[Transcript]) -> SwarmdError:
    if known:
        return UsageError(
            f"{state.request_id} has no such sample", code="E-NO-PROMPT", hint=f"It has: {_list(known)}."
        )
    return SwarmdError(
        f"no prompt of {state.request_id} is kept",
        code="E-NO-PROMPT",
        hint="No agent has asked a model for it yet, or its folder was removed.",
    )


def _list(known: Iterator[Transcript] | list[Transcript]) -> str:
    names = [f"--task {one.task_id} --attempt {one.attempt} --sample {one.sample}" for one in known]
    return "; ".join(dict.fromkeys(names[-12:]))


def _print(output: Output, one: Transcript) -> None:
    output.line(
        output.paint(
            f"{one.task_id}  attempt {one.attempt}.{one.sample}  {one.tier}  by {clean(one.agent_id)}", "bold"
        )
    )
    for number, call in enumerate(one.calls, 1):
        output.line(output.paint(f"call {number} of {len(one.calls)}: {_facts(call)}", "cyan"))
        for message in call.messages:
            _block(output, message.role if call.suffix is None else "before the gap", message.content)
        if call.suffix is not None:
            _block(output, "behind the gap", call.suffix)
        if call.error:
            _block(output, "no reply", call.error)
        else:
            _block(output, "reply", call.reply)


def _facts(call: CallRecord) -> str:
    usage = call.usage
    facts = [
        clean(call.purpose, 40),
        f"model {clean(call.model, 80)}" if call.model else "",
        f"provider {clean(call.provider, 20)}" if call.provider else "",
        f"temperature {call.temperature:g}",
        f"top_p {call.top_p:g}" if call.top_p is not None else "",
        f"seed {call.seed}" if call.seed is not None else "",
        f"max_tokens {call.max_tokens}",
        f"tokens {usage.prompt_tokens} in ({usage.cached_tokens} cached), {usage.completion_tokens} out",
        f"finish {call.finish}" if call.finish else "",
        f"{call.latency_ms / 1000:.1f} s" if call.latency_ms else "",
        "not kept whole" if call.cut else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def _block(output: Output, heading: str, text: str) -> None:
    output.line(output.paint(f"--- {heading}", "dim"))
    for line in text.split("\n"):
        output.line(clean(line.replace("\t", "    ")))
