"""The master's handle on one worker: what it is, what it holds, and how it is doing."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from socket import socket
from typing import Literal

from swarmd.agents import lastwords
from swarmd.bus.channel import AsyncChannel

__all__ = ["Kind", "Worker"]

Kind = Literal["agent", "verifier"]


@dataclass(eq=False)
class Worker:
    """One live agent or verifier, as the master sees it."""

    name: str
    kind: Kind
    agent_type: str
    channel: AsyncChannel
    started: float
    """On the boot clock, like all moments here."""
    generation: int = 0
    """Of the zygote that forked it; 0: none has been asked to."""
    theirs: socket | None = None
    """The worker's end of the channel, until the zygote has it."""
    pid: int = 0
    start_ticks: int = 0
    pidfd: int | None = None
    """Means this process and no later one with its pid; None where the kernel has no such thing."""
    ready: bool = False
    work: str | None = None
    """What it holds: an order's or a job's id."""
    request_id: str | None = None
    task_id: str | None = None
    last_beat: float = 0.0
    """When it last said anything."""
    moved: float = 0.0
    """When its work loop last got on: a beat with a higher progress, or any other message."""
    suspected: float | None = None
    """Since when it has been thought to hang."""
    idle_since: float = 0.0
    progress: int = 0
    doing: str = ""
    stopping: bool = False
    stopped_at: float = 0.0
    """When it was first asked to stop, or killed."""
    killed: bool = False
    fault: str = ""
    """What it was killed for; empty when it did nothing wrong."""
    last_words_fd: int | None = None
    last_words: str = ""
    """Its stacks when it crashed or hung, once it has ended."""
    born: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its pid is known, or it is gone."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def idle(self) -> bool:
        """Whether it can be given work now."""
        return self.ready and self.work is None and not self.stopping

    def release(self) -> None:
        """Close whatever this process holds of it; its last words are kept. May be repeated."""
        self.channel.close()
        if self.theirs is not None:
            self.theirs.close()
            self.theirs = None
        if self.last_words_fd is not None:
            self.last_words = lastwords.read(self.last_words_fd)
        for fd in (self.pidfd, self.last_words_fd):
            if fd is not None:
                os.close(fd)
        self.pidfd = self.last_words_fd = None
