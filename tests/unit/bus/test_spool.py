"""Spools: orders go in, and what an agent leaves is read with suspicion."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.bus.spool import MAX_PROPOSAL, AgentSpool, put_ready, ready_packets, remove_ready
from swarmd.errors import AgentError
from swarmd.home import Home
from swarmd.messages import Order, Packet, Proposal, dump, load

PACKET = Packet(
    packet_id="pkt-a1", task_id="task-001", request_id="login", agent_type="coding", action="Fix it"
)
ORDER = Order(
    order_id="a1-1-0",
    packet=PACKET,
    epoch=1,
    user_request="Fix it",
    snapshot="/s",
    survey="/s.json",
    attempt=1,
    sample=0,
    tier="fast",
    temperature=0.0,
    seed=1,
    max_tokens=100,
    context_tokens=1000,
)
PROPOSAL = Proposal(order_id="a1-1-0", agent_id="coding.1", packet_id="pkt-a1", epoch=1, kind="none")


@pytest.fixture
def spool(tmp_path: Path) -> AgentSpool:
    spool = AgentSpool(Home(tmp_path), "coding.1")
    spool.create()
    return spool


def test_packets_are_shown_by_type_and_taken_away(tmp_path: Path) -> None:
    home = Home(tmp_path)
    docs = PACKET.model_copy(update={"packet_id": "pkt-b", "agent_type": "docs"})
    assert put_ready(home, PACKET) == tmp_path / "bus/tasks/coding/pkt-a1.json"
    put_ready(home, docs)
    (home.tasks / "docs/pkt-junk.json").write_text("{")
    (home.tasks / "docs/pkt-link.json").symlink_to("pkt-b.json")
    assert ready_packets(home) == [PACKET, docs]
    remove_ready(home, PACKET)
    remove_ready(home, PACKET)
    assert ready_packets(home) == [docs]


def test_the_spool_belongs_to_this_user_only_and_starts_empty(spool: AgentSpool) -> None:
    for folder in (spool.root, spool.incoming, spool.outgoing):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    spool.write_order(ORDER)
    (spool.outgoing / "old.json").write_text("old")
    spool.create()
    assert not list(spool.incoming.iterdir())
    assert not list(spool.outgoing.iterdir())


def test_an_order_and_its_proposal(spool: AgentSpool) -> None:
    name = spool.write_order(ORDER)
    assert load(Order, (spool.incoming / name).read_bytes()) == ORDER
    (spool.outgoing / name).write_bytes(dump(PROPOSAL))
    assert spool.read_proposal(name) == PROPOSAL


@pytest.mark.parametrize("agent_id", ["", "..", "coding", "coding.1/../x", "Coding.1", "coding.1\n", "a.b"])
def test_an_agent_id_is_no_way_out_of_the_folder(tmp_path: Path, agent_id: str) -> None:
    with pytest.raises(AgentError):
        AgentSpool(Home(tmp_path), agent_id)


@pytest.mark.parametrize("order_id", ["../../x", "a/b", "", ".hidden", "a\0b", "x" * 300])
def test_an_order_id_is_no_way_out_either(spool: AgentSpool, order_id: str) -> None:
    with pytest.raises(AgentError):
        spool.write_order(ORDER.model_copy(update={"order_id": order_id}))


@pytest.mark.parametrize(
    "name",
    ["../in/a.json", "/etc/passwd", "..", ".", "", "a.json\0", "a/b.json", "a.txt", ".a.json", 7, None],
)
def test_a_name_that_leads_elsewhere_is_refused(spool: AgentSpool, name: str) -> None:
    (spool.incoming / "a.json").write_bytes(dump(PROPOSAL))
    with pytest.raises(AgentError, match="left no good proposal") as caught:
        spool.read_proposal(name)
    assert caught.value.code == "E-AGENT-PROPOSAL"


def absent(path: Path, secret: Path) -> None:
    pass


def link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def hard_link(path: Path, secret: Path) -> None:
    path.hardlink_to(secret)


def pipe(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, secret: Path) -> None:
    path.mkdir()


def huge(path: Path, secret: Path) -> None:
    path.write_bytes(dump(PROPOSAL) + b" " * MAX_PROPOSAL)


def cut(path: Path, secret: Path) -> None:
    path.write_bytes(dump(PROPOSAL)[:-5])


def other_message(path: Path, secret: Path) -> None:
    path.write_bytes(dump(PACKET))


def nested(path: Path, secret: Path) -> None:
    path.write_bytes(b"[" * 1_000_000)


def link_for_out(path: Path, secret: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to(secret.parent)
    secret.rename(secret.with_name(path.name))


@pytest.mark.parametrize(
    "leave", [absent, link, hard_link, pipe, folder, huge, cut, other_message, nested, link_for_out]
)
def test_what_a_hostile_agent_leaves_is_refused_with_a_reason(
    spool: AgentSpool, tmp_path: Path, leave: Callable[[Path, Path], None]
) -> None:
    secret = tmp_path / "secret/file"
    secret.parent.mkdir()
    secret.write_bytes(dump(PROPOSAL))
    leave(spool.outgoing / "p.json", secret)
    with pytest.raises(AgentError) as caught:
        spool.read_proposal("p.json")
    assert caught.value.code == "E-AGENT-PROPOSAL"


@pytest.mark.parametrize("too_deep", [False, True])
def test_a_spool_goes_away_whatever_the_agent_left_and_no_link_is_followed(
    spool: AgentSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, too_deep: bool
) -> None:
    def give_up(path: Path) -> None:
        raise RecursionError

    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    for name in ("a", "b"):
        deepest = spool.outgoing / Path(*[name] * 20)
        deepest.mkdir(parents=True)
        (deepest / "leaf").write_text("x")
        (deepest / "link").symlink_to(precious)
        (deepest / "closed").mkdir(mode=0)
    if too_deep:  # over 1000 levels, in truth: they take seconds to make and to remove
        monkeypatch.setattr("swarmd.bus.spool.shutil.rmtree", give_up)
    spool.remove()
    assert list(spool.root.parent.iterdir()) == []
    assert (precious / "file").read_text() == "kept"
    spool.remove()
    spool.create()


def test_a_link_in_the_place_of_the_spool_is_removed_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    spool = AgentSpool(Home(tmp_path), "coding.1")
    spool.root.parent.mkdir(parents=True)
    spool.root.symlink_to(precious)
    spool.create()
    assert (precious / "file").read_text() == "kept"
    assert not spool.root.is_symlink()


def test_after_an_answer_its_files_are_gone_and_the_folders_are_the_same(spool: AgentSpool) -> None:
    name = spool.write_order(ORDER)
    (spool.outgoing / name).write_bytes(dump(PROPOSAL))
    folders = spool.incoming.stat().st_ino, spool.outgoing.stat().st_ino
    again = AgentSpool(Home(spool.root.parents[2]), "coding.1")
    again.read_proposal(name)
    again.clear()
    assert not list(spool.incoming.iterdir())
    assert not list(spool.outgoing.iterdir())
    assert (spool.incoming.stat().st_ino, spool.outgoing.stat().st_ino) == folders


def test_an_answer_under_another_name_does_not_leave_the_order_behind(spool: AgentSpool) -> None:
    spool.write_order(ORDER)
    for name in ("other.json", "junk"):
        (spool.outgoing / name).write_bytes(dump(PROPOSAL))
    (spool.outgoing / "folder.json").mkdir()
    again = AgentSpool(Home(spool.root.parents[2]), "coding.1")
    again.read_proposal("other.json")
    again.clear()
    assert not list(spool.incoming.iterdir())
    assert not list(spool.outgoing.iterdir())


def test_an_order_is_written_again_after_a_try_that_failed(
    spool: AgentSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as broken:
        broken.setattr("swarmd.bus.spool.durable.write_all", full)
        with pytest.raises(OSError, match="full"):
            spool.write_order(ORDER)
    assert not list(spool.incoming.iterdir())
    spool.write_order(ORDER)
    name = spool.write_order(ORDER)
    assert load(Order, (spool.incoming / name).read_bytes()) == ORDER
