"""Keeps what samples asked their models, in the folder of their request and nowhere else.

It is for people who want to know what an attempt saw. Nothing depends on it, so that it is not part of
the journal: power loss may take it, and a full disk does without.
"""

from __future__ import annotations

import contextlib

from swarmd import durable
from swarmd.daemon.state import RequestState, TaskState
from swarmd.home import Home
from swarmd.messages import Proposal, Transcript, dump

__all__ = ["FOLDER", "keep"]

FOLDER = "transcripts"
"""Its name in a request's folder."""


def keep(home: Home, request: RequestState, task: TaskState, proposal: Proposal, agent_id: str) -> Proposal:
    """Write down the calls of ``proposal``, which ``task`` waits for; the proposal without them is returned.

    What they say comes from the agent, when and by whom they were made from the master.
    """
    if not proposal.calls:
        return proposal
    transcript = Transcript(
        order_id=proposal.order_id,
        request_id=request.request_id,
        task_id=task.packet.task_id,
        agent_id=agent_id,
        attempt=task.attempt,
        sample=task.sample,
        tier=task.tier,
        calls=proposal.calls,
    )
    folder = home.request_folder(request.request_id) / FOLDER
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)  # only this one: what has ended is not made again
        durable.write(folder / f"{proposal.order_id}.json", dump(transcript), durable=False)
    return proposal.model_copy(update={"calls": []})
