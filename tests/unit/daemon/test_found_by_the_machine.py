"""What the state machine has found, told as stories: each once ended in a lost or a doubled request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.unit.daemon.machine.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.start()
    yield world
    world.close()


def cancelled(world: World, request_id: str) -> None:
    """A request that was cancelled."""
    world.drop("normal", request_id=request_id)
    world.settle()
    world.command("cancel", request_id)
    world.wait(1.0)
    assert world.ledger.ended[request_id][0] == "cancelled"


def test_a_request_that_succeeded_at_its_second_try_is_not_opened_again(world: World) -> None:
    cancelled(world, "a")
    world.command("retry", "a")
    world.finish()
    assert world.ledger.ended["a"][0] == "succeeded"
    world.command("retry", "a")
    world.wait(1.0)
    assert world.ledger.ended["a"][0] == "succeeded"
    world.check()


def test_a_pause_that_comes_while_a_checkpoint_is_made_outlives_a_kill(world: World) -> None:
    assert world.process is not None
    world.settle()
    world.loop.held = True
    world.process.begin_anchor()
    world.settle()
    world.command("pause")
    world.settle()
    world.loop.held = False
    world.wait(1.0)
    assert world.ledger.paused
    world.kill()
    world.start()
    assert world.process.context.state.paused


@pytest.mark.parametrize("seed", range(12))
def test_a_request_that_was_opened_again_is_whole_after_power_loss(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path)
    try:
        world.start()
        cancelled(world, "a")
        world.command("retry", "a")
        world.settle()
        assert "a" in world.ledger.active
        world.lose_power(Random(seed))
        world.start()
        world.finish()
        assert world.ledger.ended["a"][0] == "succeeded"
    finally:
        world.close()
