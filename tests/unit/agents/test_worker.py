"""The agent's work loop, with both of its channels in hand."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmd import durable
from swarmd.agents import spec, worker
from swarmd.bus.channel import Channel, pair
from swarmd.bus.spool import AgentSpool
from swarmd.config import Settings
from swarmd.home import Home
from swarmd.messages import Order, Packet
from swarmd.testing import add_noop_type

ORDER = Order(
    order_id="pkt-a.a1.s1.e1",
    packet=Packet(
        packet_id="pkt-a", task_id="task-001", request_id="r", agent_type="noop", action="Do nothing"
    ),
    epoch=3,
    user_request="nothing",
    attempt=1,
    sample=1,
    tier="fast",
    temperature=0.0,
    seed=1,
    max_tokens=10,
    context_tokens=100,
)


class Desk:
    """An agent, its spool, and the master's end of its channel."""

    def __init__(self, home: Home) -> None:
        durable.make_dirs(home.agents)
        add_noop_type(home.agents)
        self.spool = AgentSpool(home, "noop.1")
        self.spool.create()
        (ours, theirs), (self._broker, broker) = pair(), pair()
        self.master = Channel(ours)
        self._ends = [Channel(theirs), Channel(broker)]
        kind = spec.load_type(home.agents / "noop")
        self.agent = worker.Agent("noop.1", kind, home, Settings(), *self._ends)

    def said(self) -> list[str]:
        found = []
        while (received := self.master.receive(timeout=0)) is not None:
            found.append(received[0]["op"])
        return found

    def close(self) -> None:
        for channel in (*self._ends, self.master):
            channel.close()
        self._broker.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(Home(tmp_path))
    yield desk
    desk.close()


def test_orders_are_answered_one_after_the_other_until_it_is_asked_to_stop(desk: Desk) -> None:
    second = ORDER.model_copy(update={"order_id": "pkt-a.a1.s2.e1"})
    for order in (ORDER, second):
        desk.master.send({"op": "order", "file": desk.spool.write_order(order)})
    desk.master.send({"op": "stop"})
    desk.agent.serve("none")
    assert [op for op in desk.said() if op != "beat"] == ["ready", "proposed", "proposed"]
    for order in (ORDER, second):
        proposal = desk.spool.read_proposal(f"{order.order_id}.json")
        assert (proposal.order_id, proposal.agent_id, proposal.epoch) == (order.order_id, "noop.1", 3)
    desk.spool.clear()
    assert not list(desk.spool.incoming.iterdir())
    assert not list(desk.spool.outgoing.iterdir())


def test_an_answer_takes_the_place_of_what_lies_there(desk: Desk) -> None:
    name = desk.spool.write_order(ORDER)
    (desk.spool.outgoing / name).symlink_to(desk.spool.incoming / name)
    desk.agent._work(name)
    assert desk.spool.read_proposal(name).order_id == ORDER.order_id
    assert not (desk.spool.outgoing / name).is_symlink()


def test_a_full_disk_is_waited_for_and_is_no_crash(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota")]
    really = durable.write_all
    naps: list[float] = []

    def write(fd: int, data: bytes) -> None:
        if left:
            really(fd, data[:10])
            raise left.pop()
        really(fd, data)

    name = desk.spool.write_order(ORDER)
    monkeypatch.setattr(worker.durable, "write_all", write)
    monkeypatch.setattr(worker.time, "sleep", naps.append)
    desk.agent._work(name)
    assert len(naps) == 2
    assert desk.spool.read_proposal(name).order_id == ORDER.order_id


def test_any_other_error_of_the_disk_ends_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(fd: int, data: bytes) -> None:
        raise OSError(errno.EIO, "broken")

    name = desk.spool.write_order(ORDER)
    monkeypatch.setattr(worker.durable, "write_all", write)
    with pytest.raises(OSError, match="broken"):
        desk.agent._work(name)
