"""What a role is given, and the few things that all roles do alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from swarmd import durable
from swarmd.agents.spec import AgentType
from swarmd.coding.context import strip_comments
from swarmd.coding.failure import EditError, failure
from swarmd.coding.snapshot import Snapshot
from swarmd.errors import ModelError, ModelOverflowError
from swarmd.messages import ChatCall, ChatMessage, ChatReply, Failure, Order, Proposal, Survey, load
from swarmd.messages.gate import FailureClass
from swarmd.workspace.tags import Tags
from swarmd.workspace.tags.store import load_tags

__all__ = ["RoleContext", "explain"]

MAX_SURVEY = 64 * 1024 * 1024
"""Longest survey.json that is read, in bytes."""


@dataclass(frozen=True)
class RoleContext:
    """One order, and all that its agent may use to fulfil it."""

    order: Order
    agent_type: AgentType
    ask_all: Callable[[Sequence[ChatCall]], list[ChatReply | ModelError]]
    """Asks the broker, all calls at one time; an error stands where there is no answer."""
    beat: Callable[[str], None]
    """Says that the work moves, and what is being done."""
    snapshot: Path
    """The project's files, to read."""
    measure: Callable[[ChatCall], int | None] = lambda call: None
    """Asks the broker how many tokens a call's prompt has; None: it cannot tell."""

    @property
    def system(self) -> str:
        """The system prompt: the type's prompt.md without its notes for people."""
        return strip_comments(self.agent_type.prompt)

    @property
    def skill(self) -> str:
        """The page of the packet's skill; empty when it has none."""
        return strip_comments(self.agent_type.skills.get(self.order.packet.skill or "", ""))

    @property
    def task(self) -> str:
        """The task in the planner's and the user's words."""
        return f"{self.order.packet.action}\n{self.order.user_request}"

    @cached_property
    def read(self) -> Snapshot:
        """Reads the project's files, and nothing else."""
        return Snapshot(self.snapshot)

    @cached_property
    def survey(self) -> Survey:
        """What is known of the project; when it cannot be read, only the packet's own files."""
        order = self.order
        try:
            return load(Survey, durable.read_regular(Path(order.survey), MAX_SURVEY))
        except (OSError, ValidationError):
            return Survey(
                request_id=order.packet.request_id,
                workspace=order.snapshot,
                base_commit="",
                base_name="",
                files=list(order.packet.files_owned),
            )

    @cached_property
    def tags(self) -> dict[str, Tags]:
        """What the project's files define and mention at the base commit, by path; empty when unknown."""
        return load_tags(Path(self.order.survey).parent).files if self.order.survey else {}

    def chat(
        self, messages: Sequence[ChatMessage], *, purpose: str, schema: dict[str, Any] | None = None
    ) -> ChatReply:
        """Ask the order's tier with the type's sampling. Raises ModelError."""
        self.beat(f"asks the {self.order.tier} model: {purpose}")
        (answer,) = self.ask_all([self._call(messages, purpose, schema)])
        if isinstance(answer, ModelError):
            raise answer
        return answer

    def chat_many(
        self, messages: Sequence[ChatMessage], *, purpose: str, width: int
    ) -> list[ChatReply | ModelError]:
        """Ask the order's tier ``width`` times at one time, with one seed after the other."""
        self.beat(f"asks the {self.order.tier} model {width} times: {purpose}")
        call = self._call(messages, purpose, None)
        seeds = [None if call.seed is None else call.seed + number for number in range(width)]
        return self.ask_all([call.model_copy(update={"seed": seed}) for seed in seeds])

    def fill_many(
        self,
        gaps: Sequence[tuple[str, str]],
        *,
        temperature: float,
        max_tokens: Sequence[int],
        stops: Sequence[Sequence[str]],
    ) -> list[ChatReply | ModelError]:
        """Ask the order's tier what stands in each gap, which is given by the text before and behind it, all
        at one time; of at most so many tokens, up to one of ``stops``."""
        self.beat(f"asks the {self.order.tier} model to fill {len(gaps)} gaps")
        calls = [
            self._call([ChatMessage(role="user", content=before)], "fill", None).model_copy(
                update={"suffix": behind, "max_tokens": most, "stop": list(stop), "temperature": temperature}
            )
            for (before, behind), most, stop in zip(gaps, max_tokens, stops, strict=True)
        ]
        return self.ask_all(calls)

    def count(self, messages: Sequence[ChatMessage]) -> int | None:
        """The tokens of a prompt by the tokenizer of the order's model; None when nobody can tell."""
        return self.measure(self._call(messages, "count", None))

    def _call(self, messages: Sequence[ChatMessage], purpose: str, schema: dict[str, Any] | None) -> ChatCall:
        inference = self.agent_type.inference
        return ChatCall(
            tier=self.order.tier,
            messages=list(messages),
            max_tokens=self.order.max_tokens,
            temperature=self.order.temperature,
            seed=self.order.seed,
            top_p=inference.top_p,
            stop=list(inference.stop),
            schema_=schema,
            purpose=purpose,
        )

    def propose(self, **fields: Any) -> Proposal:
        """A proposal for this order; who made it and what it cost is filled in by the worker."""
        order = self.order
        base = {
            "order_id": order.order_id,
            "agent_id": self.agent_type.name,
            "packet_id": order.packet.packet_id,
            "epoch": order.epoch,
        }
        return Proposal.model_validate(base | fields)

    def nothing(self, error: EditError | ModelError | RecursionError) -> Proposal:
        """The proposal that says why there is none."""
        reason = explain(error)
        return self.propose(kind="none", text=reason.digest, failure=reason)


def explain(error: EditError | ModelError | RecursionError) -> Failure:
    """``error`` as the failure that the next attempt and the policy read."""
    if isinstance(error, EditError):
        return error.failure
    if isinstance(error, RecursionError):
        return failure("format", "The code is nested too deeply to be read.")
    # A prompt that does not fit is no outage: asking the same again would not help.
    kind: FailureClass = "format" if isinstance(error, ModelOverflowError) else "model"
    return failure(kind, f"{error.code}: {error.message}", sign=f"{kind}:{error.code}")
