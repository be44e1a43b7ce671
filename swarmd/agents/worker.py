"""An agent: confined, one packet at a time, it reads an order, asks the broker and proposes.

It is forked by the zygote with two sockets, to the master and to the broker, and gives up everything
else before it says READY: it reads the home's agent types, workspaces and its own orders, and writes
only its own out/ folder. It decides nothing: what it proposes is judged elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swarmd import durable
from swarmd.agents import spec
from swarmd.agents.recorder import Recorder
from swarmd.agents.roles import RoleContext
from swarmd.bus.channel import Channel, ChannelClosedError
from swarmd.config import Settings
from swarmd.errors import AgentError, ModelError, SandboxError, SwarmdError
from swarmd.home import Home
from swarmd.messages import ChatCall, ChatReply, Failure, Order, Proposal, Usage, dump, load
from swarmd.models.client import BrokerClient
from swarmd.sandbox import confine

__all__ = ["MAX_ORDER", "Agent", "entry"]

MAX_ORDER = 4 * 1024 * 1024
"""Longest order file, in bytes."""


class StopWorkError(AgentError):
    """The master asked this agent to end; nothing needs to be done."""


def entry(channels: list[Channel], args: dict[str, Any]) -> None:
    """Run one agent until it is told to stop. ``args``: name, agent_type, home, settings."""
    master, broker = channels
    home, settings = Home(Path(args["home"])), Settings.model_validate(args["settings"])
    agent_type = spec.load_type(home.agents / args["agent_type"])
    spool = home.spools / args["name"]
    _preload(agent_type.module)
    level = _confine(home, spool, settings)
    Agent(args["name"], agent_type, home, settings, master, broker).serve(level)


def _preload(module: str) -> None:
    """Import before the confinement what the role needs, so that it never has to look for files."""
    importlib.import_module(module)


def _confine(home: Home, spool: Path, settings: Settings) -> str:
    try:
        return confine(
            read=[home.agents, home.knowledge, home.workspaces, home.active, spool / "in"],
            write=[spool / "out"],
        )
    except SandboxError:
        if settings.sandbox.agents == "require":
            raise
        return "none"


class Agent:
    """The work loop of one agent."""

    def __init__(
        self,
        name: str,
        agent_type: spec.AgentType,
        home: Home,
        settings: Settings,
        master: Channel,
        broker: Channel,
    ) -> None:
        self._name = name
        self._type = agent_type
        self._role = importlib.import_module(agent_type.module)
        self._orders, self._proposals = home.spools / name / "in", home.spools / name / "out"
        self._settings = settings
        self._master = master
        self._broker = BrokerClient(broker)
        self._progress = 0
        self._last_beat = 0.0
        self._usage = Usage()
        self._recorder = Recorder()

    def serve(self, confinement: str) -> None:
        """Say READY, then work on orders until the master says stop or goes away."""
        self._master.send({"op": "ready", "confinement": confinement})
        try:
            while True:
                received = self._master.receive(timeout=self._settings.daemon.heartbeat_s)
                if received is None:
                    self._beat("waiting")
                else:
                    self._take(*received)
        except StopWorkError:
            return

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        match message["op"]:
            case "order":
                self._work(message["file"])
            case "broker":
                self._broker.replace(Channel(socket.socket(fileno=fds[0])))
            case "stop":
                raise StopWorkError("asked to stop")

    def _work(self, file: str) -> None:
        order = load(Order, durable.read_regular(self._orders / file, MAX_ORDER))
        self._usage, self._recorder = Usage(), Recorder()
        self._beat(f"attempt {order.attempt}.{order.sample}")
        proposal = self._run_role(order).model_copy(
            update={
                "agent_id": self._name,
                "order_id": order.order_id,
                "packet_id": order.packet.packet_id,
                "epoch": order.epoch,
                "usage": self._usage,
                "calls": self._recorder.calls,
            }
        )
        name = f"{order.order_id}.json"
        self._leave(name, dump(proposal))
        self._master.send({"op": "proposed", "file": name, "order_id": order.order_id})

    def _leave(self, name: str, data: bytes) -> None:
        """Write out/``name``; a full disk is waited for. Nobody reads it before it is announced, so that
        it can be written in place."""
        path = os.fspath(self._proposals / name)
        while True:
            try:
                _write(path, data)
            except OSError as error:
                if not durable.is_full(error):
                    raise
                self._wait("waits for room on the disk")
                time.sleep(1.0)
            else:
                return

    def _run_role(self, order: Order) -> Proposal:
        context = RoleContext(
            order=order,
            agent_type=self._type,
            ask_all=lambda calls: self._ask_all(order, calls),
            measure=lambda call: self._broker.count(
                self._addressed(order, call), on_wait=lambda: self._wait("counts tokens")
            ),
            beat=self._beat,
            snapshot=Path(order.snapshot),
        )
        try:
            proposal: Proposal = self._role.run(context)
        except (StopWorkError, ChannelClosedError):
            raise
        except ModelError as error:
            return self._nothing(order, "model", f"{error.code}: {error.message}")
        except SwarmdError as error:
            return self._nothing(order, "refused", f"{error.code}: {error.message}")
        return proposal

    def _nothing(self, order: Order, kind: str, text: str) -> Proposal:
        failure = Failure.model_validate({"kind": kind, "digest": text[:1500], "signature": text[:120]})
        return Proposal(
            order_id=order.order_id,
            agent_id=self._name,
            packet_id=order.packet.packet_id,
            epoch=order.epoch,
            kind="none",
            text=text[:1500],
            failure=failure,
        )

    def _ask_all(self, order: Order, calls: Sequence[ChatCall]) -> list[ChatReply | ModelError]:
        """Ask the broker for ``order``, all ``calls`` at one time."""
        asked = [self._addressed(order, call) for call in calls]
        answers = self._broker.chat_all(asked, on_wait=lambda: self._wait(f"model: {asked[0].purpose}"))
        for call, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ModelError):
                self._recorder.add(call, None, f"{answer.code}: {answer.message}")
            else:
                self._recorder.add(call, answer)
                self._usage += answer.usage
        return answers

    def _addressed(self, order: Order, call: ChatCall) -> ChatCall:
        """``call`` with who asks and for what: that is set here, not by the role."""
        packet = order.packet
        return call.model_copy(
            update={
                "request_id": packet.request_id,
                "task_id": packet.task_id,
                "attempt": order.attempt,
                "model": call.model or self._type.model,
                "privacy": order.privacy,
            }
        )

    def _wait(self, doing: str) -> None:
        """While a model thinks: stay alive for the master, and hear what it says."""
        self._beat(doing)
        while (received := self._master.receive(timeout=0)) is not None:
            message, fds = received
            if message["op"] == "order":
                raise AgentError("the master sent a second order while one is worked on")
            self._take(message, fds)

    def _beat(self, doing: str) -> None:
        """Tell the master that the work loop moves, at most once per heartbeat interval."""
        self._progress += 1
        now = time.monotonic()
        if now - self._last_beat >= self._settings.daemon.heartbeat_s / 2:
            self._last_beat = now
            self._master.send({"op": "beat", "progress": self._progress, "doing": doing[:200]})


def _write(path: str, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - what an earlier try left
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        durable.write_all(fd, data)
    finally:
        os.close(fd)
