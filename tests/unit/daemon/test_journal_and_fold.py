"""The log is the commit: what was committed is what a fold gives back, whatever happened to the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from swarmd import durable
from swarmd.audit import read_lines
from swarmd.daemon import recover
from swarmd.daemon.journal import Journal, event
from swarmd.daemon.state import State
from swarmd.errors import AuditError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Packet, Plan, Survey, dump
from swarmd.testing import FakeClock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    durable.make_dirs(*home.folders())
    return home


def fresh_state(home: Home) -> State:
    return State(lambda request_id, name: recover.payload(home, request_id, name))


def make_journal(home: Home, state: State) -> Journal:
    return Journal(home, FakeClock(), state.apply, durability="process")


def accepted(request_id: str) -> AcceptedRequest:
    return AcceptedRequest(
        user_request="do it",
        request_id=request_id,
        received_at="2026-01-01T00:00:00.000Z",
        source_name=f"{request_id}.json",
        content_sha256="0" * 64,
    )


def plan(request_id: str) -> Plan:
    packet = Packet(
        packet_id=f"pkt-{request_id}-001",
        task_id="task-001",
        request_id=request_id,
        agent_type="coding",
        action="x",
    )
    return Plan(request_id=request_id, origin="direct", kind="bugfix", packets=[packet])


async def run_to_assigned(journal: Journal, home: Home, request_id: str) -> None:
    folder = home.request_folder(request_id)
    durable.make_dirs(folder)
    await journal.commit(
        event("request_received", request_id=request_id),
        files={folder / "request.json": dump(accepted(request_id))},
    )
    survey = Survey(request_id=request_id, workspace="/w", base_commit="a" * 40, base_name="main")
    durable.write(folder / "survey.json", dump(survey))
    await journal.commit(event("request_prepared", request_id=request_id))
    await journal.commit(
        event("plan_created", request_id=request_id), files={folder / "plan.json": dump(plan(request_id))}
    )
    await journal.commit(event("task_ready", request_id=request_id, task_id="task-001"))
    await journal.commit(
        event(
            "task_assigned",
            actor="coding.1",
            request_id=request_id,
            task_id="task-001",
            tier="fast",
            attempt=1,
            data={"sample": 1, "epoch": 1, "order_id": "o1", "agent_type": "coding"},
        )
    )


def test_a_fold_of_the_log_gives_the_state_that_the_commits_made(home: Home) -> None:
    live = fresh_state(home)
    journal = make_journal(home, live)
    asyncio.run(run_to_assigned(journal, home, "one"))
    again = fresh_state(home)
    recover.fold(home.master_log, again)
    assert again.requests == live.requests
    task = again.requests["one"].tasks["task-001"]
    assert (task.status, task.agent_id, task.epoch, task.order_id) == ("running", "coding.1", 1, "o1")


def test_a_fold_passes_over_requests_that_ended_and_whose_files_are_gone(home: Home) -> None:
    journal = make_journal(home, fresh_state(home))

    async def story() -> None:
        await run_to_assigned(journal, home, "ended")
        await journal.commit(event("request_complete", request_id="ended", status="failed"))
        await run_to_assigned(journal, home, "open")

    asyncio.run(story())
    for path in home.request_folder("ended").iterdir():
        path.unlink()
    again = fresh_state(home)
    recover.fold(home.master_log, again)
    assert set(again.requests) == {"open"}
    assert set(again.ending) == {"ended"}


def test_a_fold_begins_at_the_oldest_open_request_that_the_last_checkpoint_knows(home: Home) -> None:
    state = fresh_state(home)
    journal = make_journal(home, state)

    async def story() -> None:
        await journal.commit(*(event("noise", data={"text": "x" * 8000}) for _ in range(300)))
        await run_to_assigned(journal, home, "open")
        await journal.anchor(state.fold_from(journal.master.size), paused=True)
        await journal.commit(event("noise", data={"text": "x" * 5000}))

    asyncio.run(story())
    again = fresh_state(home)
    lines = recover.fold(home.master_log, again)
    assert lines < 10
    assert again.requests == state.requests
    assert again.paused


def test_a_torn_tail_is_cut_kept_and_the_chain_goes_on(home: Home) -> None:
    journal = make_journal(home, fresh_state(home))
    asyncio.run(journal.commit(event("first")))
    journal.close()
    with home.master_log.open("ab") as file:
        file.write(b'{"v":1,"seq":2,"ev')
    journal = make_journal(home, fresh_state(home))
    assert journal.master.torn == b'{"v":1,"seq":2,"ev'
    asyncio.run(journal.commit(event("second")))
    lines = [line for line, _ in read_lines(home.master_log)]
    assert [line["seq"] for line in lines] == [1, 2]
    assert (home.logs / "master.jsonl.torn").read_bytes() == b'{"v":1,"seq":2,"ev'


def test_lines_of_an_agent_type_and_of_models_are_copied_into_their_own_chains(home: Home) -> None:
    journal = make_journal(home, fresh_state(home))
    asyncio.run(
        journal.commit(
            event("task_ready", data={"agent_type": "docs"}),
            event("model_call_start", data={"call_id": "1"}),
            event("noise"),
        )
    )
    assert [line["event"] for line, _ in read_lines(home.agent_log("docs"))] == ["task_ready"]
    assert [line["event"] for line, _ in read_lines(home.models_log)] == ["model_call_start"]
    assert set(journal.heads()) == {"master.jsonl", "agents/docs.jsonl", "models.jsonl"}


def test_a_line_holds_no_float_and_no_lone_surrogate(home: Home) -> None:
    journal = make_journal(home, fresh_state(home))
    with pytest.raises(AuditError, match="float"):
        asyncio.run(journal.commit(event("bad", data={"seconds": 1.5})))
    asyncio.run(journal.commit(event("good", data={"name": "a\udcffb", "long": "x" * 100_000})))
    (line,) = [orjson.loads(raw) for raw in home.master_log.read_bytes().splitlines()]
    assert line["data"]["name"] == "a?b"
    assert len(line["data"]["long"]) == 8000


@pytest.mark.parametrize(
    "data",
    [
        {"failing_tests": ["t" * 8000] * 20},
        {"text": "\x01" * 8000, "summary": "\x01" * 4000},
        {"paths": [f"{n}/" + "é" * 500 for n in range(5000)]},
        {"gates": [{"detail": "x" * 300, "argv": ["y" * 900] * 50}] * 200},
        {"completion_tokens": 2**70, "least": -(2**70)},
    ],
)
def test_whatever_a_project_or_a_model_says_fits_into_a_line(home: Home, data: dict[str, object]) -> None:
    journal = make_journal(home, fresh_state(home))
    (line,) = asyncio.run(journal.commit(event("heard", request_id="r" * 64, data=data)))
    assert line["data"].keys() == data.keys()


def test_an_id_that_is_used_again_is_folded_from_its_last_acceptance(home: Home) -> None:
    journal = make_journal(home, fresh_state(home))

    async def story() -> None:
        await run_to_assigned(journal, home, "again")
        await journal.commit(event("request_complete", request_id="again", status="failed"))
        await run_to_assigned(journal, home, "again")

    asyncio.run(story())
    state = fresh_state(home)
    recover.fold(home.master_log, state)
    assert state.requests["again"].tasks["task-001"].status == "running"


@pytest.mark.parametrize("name", ["request.json", "survey.json", "plan.json"])
def test_a_request_whose_files_are_gone_fails_alone(home: Home, name: str) -> None:
    journal = make_journal(home, fresh_state(home))

    async def story() -> None:
        await run_to_assigned(journal, home, "broken")
        await run_to_assigned(journal, home, "whole")

    asyncio.run(story())
    (home.request_folder("broken") / name).unlink()
    state = fresh_state(home)
    recover.fold(home.master_log, state)
    assert (state.requests["broken"].error or {})["code"] == "E-PAYLOAD-LOST"
    assert state.requests["whole"].error is None
    assert state.requests["whole"].stage == "planned"


def test_what_is_reported_after_a_cancel_does_not_undo_it_but_a_delivery_does(home: Home) -> None:
    state = fresh_state(home)
    journal = make_journal(home, state)

    async def story() -> None:
        await run_to_assigned(journal, home, "one")
        await journal.commit(event("request_cancelling", request_id="one"))
        await journal.commit(event("plan_created", request_id="one"))
        assert state.requests["one"].stage == "cancelling"
        delivered = {"branch": "swarm/one", "commit": "c" * 40, "patch": "one.patch", "warnings": []}
        await journal.commit(event("request_delivered", request_id="one", data=delivered))
        await journal.commit(event("request_cancelling", request_id="one"))

    asyncio.run(story())
    assert state.requests["one"].stage == "delivered"


def test_a_lease_that_ends_late_does_not_take_back_a_proposal(home: Home) -> None:
    state = fresh_state(home)
    journal = make_journal(home, state)
    ids = {"request_id": "one", "task_id": "task-001"}

    async def story() -> None:
        await run_to_assigned(journal, home, "one")
        await journal.commit(event("proposal_received", data={"file": "o1.json", "order_id": "o1"}, **ids))
        await journal.commit(event("lease_expired", data={"crashed": 0}, **ids))

    asyncio.run(story())
    assert state.requests["one"].tasks["task-001"].status == "verifying"
