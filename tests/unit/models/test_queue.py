"""Turns of calls: by priority, fairly, model by model, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from swarmd.models.queue import BYPASS, MOST_BYPASSED, CallQueue, Claim


class Street:
    """Calls that wait at one queue; each goes on when the test lets it."""

    def __init__(self, fast: int = 1, slots: int = 4, loaded: frozenset[str] = frozenset({"m", "n"})) -> None:
        tiers = {"fast": fast, "deep": 1, "reviewer": 2}
        self.loaded = loaded
        self.queue = CallQueue(tiers, lambda model: slots, lambda model: model in self.loaded)  # type: ignore[arg-type]
        self.served: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, claim: Claim) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._call(name, claim))
        await asyncio.sleep(0)

    async def _call(self, name: str, claim: Claim) -> None:
        async with self.queue.turn(claim):
            self.served.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)

    async def serve_all(self) -> list[str]:
        """Let one after the other go on, in the order in which they are served."""
        done = 0
        while done < len(self.served):
            await self.end(self.served[done])
            done += 1
        return self.served


def played(story: Callable[[Street], Awaitable[None]], **street: object) -> list[str]:
    async def play() -> list[str]:
        made = Street(**street)  # type: ignore[arg-type]
        await story(made)
        return await made.serve_all()

    return asyncio.run(play())


def claim(priority: str = "normal", request: str | None = "r", model: str = "m", tier: str = "fast") -> Claim:
    return Claim(tier, model, priority, request)  # type: ignore[arg-type]


def test_the_most_urgent_goes_first_and_then_who_came_first() -> None:
    async def story(street: Street) -> None:
        for name, priority in [
            ("first", "low"),
            ("a", "low"),
            ("b", "normal"),
            ("c", "critical"),
            ("d", "normal"),
        ]:
            await street.come(name, claim(priority, request=name))

    assert played(story) == ["first", "c", "b", "d", "a"]


def test_requests_of_one_priority_take_turns() -> None:
    async def story(street: Street) -> None:
        for name in ("a1", "a2", "a3", "b1", "b2"):
            await street.come(name, claim(request=name[0]))

    assert played(story) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_model_whose_weights_are_in_memory_goes_first() -> None:
    async def story(street: Street) -> None:
        await street.come("first", claim(model="m"))
        await street.come("cold", claim(model="n", request="x"))
        await street.come("warm", claim(model="m", request="y"))

    assert played(story, loaded=frozenset({"m"})) == ["first", "warm", "cold"]


@pytest.mark.parametrize("urgent", ["normal", "high", "critical"])
def test_a_low_priority_has_its_turn_among_ever_more_urgent_calls(urgent: str) -> None:
    async def play() -> int:
        street = Street()
        await street.come("running", claim())
        await street.come("low", claim("low", request="patient"))
        for number in range(200):
            await street.come(f"u{number}", claim(urgent, request=f"u{number}"))
            await street.end(street.served[-1])
            if "low" in street.served:
                break
        place = street.served.index("low")
        await street.serve_all()
        return place

    levels = {"normal": 1, "high": 2, "critical": 3}[urgent]
    assert asyncio.run(play()) == levels * BYPASS + 1


def test_a_request_that_was_served_before_has_its_turn_among_ever_new_ones() -> None:
    async def play() -> int:
        street = Street()
        await street.come("early", claim("critical", request="patient"))
        await street.come("running", claim("critical", request="x"))
        await street.end("early")
        await street.come("again", claim("critical", request="patient"))
        for number in range(200):
            await street.come(f"n{number}", claim("critical", request=f"n{number}"))
            await street.end(street.served[-1])
            if "again" in street.served:
                break
        place = street.served.index("again")
        await street.serve_all()
        return place

    assert asyncio.run(play()) <= MOST_BYPASSED + 3


def test_nothing_is_granted_to_a_call_that_is_just_being_cancelled() -> None:
    async def play() -> list[str]:
        street = Street(fast=2)
        for name in ("one", "two", "cancelled", "next"):
            await street.come(name, claim(request=name))
        street._tasks["cancelled"].cancel()  # before it has heard of that,
        street._tasks["one"].cancel()  # a place becomes free
        for _ in range(3):
            await asyncio.sleep(0)
        served = list(street.served)
        for name in ("two", "next"):
            await street.end(name)
        return served

    assert asyncio.run(play()) == ["one", "two", "next"]


def test_a_cold_model_has_its_turn_among_ever_more_calls_of_a_warm_one() -> None:
    async def play() -> list[str]:
        street = Street(loaded=frozenset({"m"}))
        await street.come("running", claim())
        await street.come("cold", claim(model="n", request="c"))
        for number in range(BYPASS + 3):
            await street.come(f"w{number}", claim(request=f"w{number}"))
        return await street.serve_all()

    assert asyncio.run(play()).index("cold") == BYPASS + 1


def test_tiers_and_models_have_their_own_limits() -> None:
    async def play() -> list[str]:
        street = Street(fast=3, slots=2)
        for name, model, tier in [
            *(("a", "m", "fast"), ("b", "m", "fast"), ("c", "m", "deep")),
            *(("d", "n", "deep"), ("e", "n", "fast"), ("f", "n", "fast")),
        ]:
            await street.come(name, claim(request=name, model=model, tier=tier))
        began = list(street.served)
        await street.serve_all()
        return began

    assert asyncio.run(play()) == ["a", "b", "d", "e"], "c: the model is full; f: the tier is"


@pytest.mark.parametrize("waits", [True, False])
def test_a_cancelled_call_gives_its_place_back(waits: bool) -> None:
    async def play() -> list[str]:
        street = Street()
        await street.come("running", claim())
        await street.come("cancelled", claim(request="x"))
        await street.come("next", claim(request="y"))
        await street.cancel("cancelled" if waits else "running")
        await asyncio.sleep(0)
        if waits:
            await street.end("running")
        else:
            street.served.remove("running")
        await street.serve_all()
        assert street.queue.waiting == 0
        return street.served

    assert asyncio.run(play()) == (["running", "next"] if waits else ["cancelled", "next"])


def test_one_that_is_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    async def play() -> list[str]:
        street = Street()
        await street.come("running", claim())
        await street.come("unlucky", claim(request="x"))
        await street.come("next", claim(request="y"))
        street._ends["running"].set()
        await asyncio.sleep(0)  # it ends, and the place is granted, but nobody has gone on yet
        await street.cancel("unlucky")
        await asyncio.sleep(0)
        assert street.served[-1] == "next"
        await street.end("next")
        return street.served

    assert "unlucky" not in asyncio.run(play())


def test_what_ended_requests_had_is_forgotten() -> None:
    async def play() -> int:
        street = Street()
        for number in range(500):
            await street.come(f"c{number}", claim(request=f"r{number}"))
            await street.end(f"c{number}")
        return len(street.queue._served)

    assert asyncio.run(play()) <= 65
