"""Coming back: results that the outbox did not take, and files that were taken but lie there still."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from swarmd import durable
from swarmd.agents.spec import Types
from swarmd.audit import read_lines
from swarmd.bus import outbox
from swarmd.bus.drop import stamp
from swarmd.config import Settings
from swarmd.daemon import recover
from swarmd.daemon.context import Context
from swarmd.daemon.finish import publish_result
from swarmd.daemon.intake import Intake
from swarmd.daemon.journal import Journal, event
from swarmd.daemon.recover import payload
from swarmd.daemon.state import State
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, AuditPoint, Result, dump
from swarmd.testing import FakeClock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    durable.make_dirs(*home.folders())
    return home


def context_of(home: Home) -> Context:
    state, clock = State(lambda request_id, name: payload(home, request_id, name)), FakeClock()
    journal = Journal(home, clock, state.apply)
    return Context(home, Settings(), clock, journal, state, Types({}, {}))


def accepted(request_id: str, source_id: str = "") -> AcceptedRequest:
    return AcceptedRequest(
        user_request="do it",
        request_id=request_id,
        received_at="2026-01-01T00:00:00.000Z",
        source_name=f"{request_id}.json",
        source_id=source_id,
        content_sha256="0" * 64,
    )


async def accept(context: Context, request: AcceptedRequest) -> None:
    folder = context.home.request_folder(request.request_id)
    await context.journal.commit(
        event("request_received", request_id=request.request_id),
        files={folder / "request.json": dump(request)},
    )


def result(request_id: str) -> bytes:
    return dump(
        Result(
            request_id=request_id,
            status="failed",
            summary="",
            tokens={"local": 0, "cloud": 0},
            cost_micro_usd={"local": 0, "cloud": 0},
            seconds=0.0,
            audit=AuditPoint(log="master.jsonl", seq=0, hash=""),
            finished_at="2026-01-01T00:00:00.000Z",
        )
    )


def test_a_result_that_cannot_be_published_waits_and_ends_nothing(home: Home) -> None:
    context = context_of(home)

    async def story() -> None:
        await accept(context, accepted("one"))
        home.outbox.rename(home.root / "elsewhere")
        home.outbox.write_bytes(b"in the way")
        await publish_result(context, "one", result("one"))
        await publish_result(context, "one", result("one"))
        assert set(context.unpublished) == {"one"}
        home.outbox.unlink()
        await publish_result(context, "one", result("one"))

    asyncio.run(story())
    assert not context.unpublished
    assert outbox.read(home, "one") is not None
    assert outbox.find_done(home, "one") is not None
    events = [line["event"] for line, _ in read_lines(home.master_log)]
    assert events.count("result_waits") == 1


def test_an_id_stays_known_when_the_outbox_is_cleared(home: Home) -> None:
    context = context_of(home)

    async def story() -> None:
        await accept(context, accepted("one"))
        await publish_result(context, "one", result("one"))
        await context.journal.commit(event("request_complete", request_id="one", status="failed"))
        (home.outbox / "one.json").unlink()
        intake = Intake(context)
        assert intake._known("one") == "0" * 64
        assert intake._known("other") is None

    asyncio.run(story())


def test_the_dropped_file_of_a_request_that_was_just_taken_goes_at_once(home: Home) -> None:
    context = context_of(home)
    taken, other = home.inbox / "high" / "one.json", home.inbox / "high" / "two.json"
    for path in (taken, other):
        path.write_bytes(b'{"user_request": "do it"}')

    async def story() -> None:
        await accept(context, accepted("one", stamp(os.lstat(taken)).source_id))
        mended = await recover.mend(context)
        assert any("one" in text for text in mended)

    asyncio.run(story())
    assert not taken.exists()
    assert other.exists()


def test_a_number_that_no_file_can_hold_is_refused(home: Home) -> None:
    context = context_of(home)
    path = home.inbox / "high" / "huge.json"
    path.write_bytes(b'{"user_request": "do it", "limits": {"tokens": %d}}' % 2**70)

    async def story() -> None:
        intake = Intake(context)
        intake._inbox.sweep()
        candidate = intake._inbox.take()
        assert candidate is not None
        await intake._take(candidate)

    asyncio.run(story())
    assert not context.state.requests
    assert (home.deadletter / "huge.json.error.json").exists()
