"""Which models are loaded: decisions, on a clock that jumps and a memory that is made up."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import Settings
from swarmd.errors import ConfigError, ModelError, ModelUnreachableError
from swarmd.models import loaded, manager
from swarmd.models.engine_process import EngineOptions
from swarmd.models.gguf import Shape
from swarmd.models.manager import Manager
from swarmd.models.memory import Gpu, Reading
from swarmd.models.residents import Resident

MIB, GIB = 1024**2, 1024**3
LOAD_S = 4.0

SHAPES = {
    name: Shape("qwen2", 27, 4, 128, 128, 32_768, size * GIB)
    for name, size in {"one": 1, "two": 2, "four": 4, "six": 6, "nine": 9}.items()
}
"""By gigabytes of weights; 54 KiB of cache for each token: 216 MiB for 4,096."""


class JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting it says that the time has passed. What threads do is waited for, shortly."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(0.002)  # a thread may be about to finish
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while something is to do, and else jumps to what is next."""

    def __init__(self) -> None:
        self._clock = JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(story())


class FakeEngine:
    def __init__(self, world: World, options: EngineOptions) -> None:
        self.world, self.options = world, options
        self.socket = Path("/none")
        self.pid = 4000 + len(world.engines)
        self.alive = self.stuck = self.starved = False

    async def start(self, patience_s: float) -> None:
        await asyncio.sleep(LOAD_S)
        if self.world.starve:
            self.starved = self.world.starve.pop(0)
            if self.starved:
                raise ModelUnreachableError("ended while it loaded")
        self.alive = True

    async def answers(self) -> bool:
        return self.alive and not self.stuck

    async def stop(self) -> None:
        self.alive = False

    def ran_out_of_memory(self) -> bool:
        return self.starved


class World:
    """A machine, its settings, and what was told."""

    def __init__(self, runtime: Path, monkeypatch: pytest.MonkeyPatch, **engine: Any) -> None:
        self.reading = Reading(64 * GIB, 60 * GIB)
        self.engines: list[FakeEngine] = []
        self.starve: list[bool] = []
        """Whether the next engines run out of memory while they load."""
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        tiers = dict.fromkeys(("fast", "deep", "reviewer"), "one")
        models: dict[str, Any] = {
            name: {"provider": "embedded", "weights": f"/{name}.gguf", "slots": 1} for name in SHAPES
        }
        self.settings = Settings.model_validate(
            {"models": models | {"empty": {}}, "tiers": tiers, "engine": engine}
        )
        monkeypatch.setattr(manager, "read_shape", lambda path: SHAPES[path.stem])
        self.runtime = runtime
        self.gpu_build = False

    def read(self) -> Reading:
        return self.reading

    def path(self, weights: str) -> Path:
        return Path(weights)

    def spawn(self, options: EngineOptions, runtime: Path) -> FakeEngine:
        self.engines.append(FakeEngine(self, options))
        return self.engines[-1]

    async def _gpu_build(self) -> bool:
        return self.gpu_build

    def manager(self) -> Manager:
        store: Any = self
        return Manager(
            self.settings,
            store,
            self.runtime,
            emit=lambda event, fields: self.told.append((event, fields)),
            memory=self,
            spawn=self.spawn,
            gpu_build=self._gpu_build,
        )

    def events(self, *names: str) -> list[str]:
        return [f"{name} {fields['model']}" for name, fields in self.told if not names or name in names]

    def loads(self) -> list[str]:
        return [engine.options.model for engine in self.engines]

    def fields(self, event: str) -> Mapping[str, Any]:
        return next(fields for name, fields in self.told if name == event)


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWorld:
    def make(**engine: Any) -> World:
        return World(tmp_path, monkeypatch, **engine)

    return make


async def call(models: Manager, name: str, seconds: float = 1.0) -> None:
    async with models.use(name):
        await asyncio.sleep(seconds)


@asynccontextmanager
async def in_use(models: Manager, name: str) -> AsyncIterator[Resident]:
    async with models.use(name) as resident:
        yield resident


def test_what_fits_stays_warm(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=9216)

    async def story() -> None:
        models = world.manager()
        for name in ("one", "two", "four", "one", "two", "four"):
            await call(models, name)
        assert all(models.is_loaded(name) and models.fits(name) for name in ("one", "two", "four"))
        assert not models.fits("six")
        await models.close()

    play(story)
    assert world.loads() == ["one", "two", "four"]
    assert set(world.events()) == {"model_loaded one", "model_loaded two", "model_loaded four"}


def test_calls_of_a_model_that_loads_wait_for_the_one_load(make_world: MakeWorld) -> None:
    world = make_world()

    async def story() -> None:
        models = world.manager()
        await asyncio.gather(*(call(models, "one") for _ in range(5)))
        assert asyncio.get_running_loop().time() == pytest.approx(LOAD_S + 5), "one at a time: parallel is 1"

    play(story)
    assert world.loads() == ["one"]
    fields = world.fields("model_loaded")
    assert (fields["latency_ms"], fields["context"], fields["ram_mib"]) == (4000, 4096, 1024 + 216 + 152)


def test_the_longest_unused_goes_and_no_more_than_needed(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=10_400)

    async def story() -> None:
        models = world.manager()
        for name in ("two", "one", "four"):
            await call(models, name)
        await call(models, "two")
        assert not models.fits("six")
        await asyncio.sleep(10)
        await call(models, "six")
        kept = [name for name in ("one", "two", "four", "six") if models.is_loaded(name)]
        assert kept == ["one", "two", "six"], "the end of one, unused for longest, would not have been enough"

    play(story)
    assert world.events("model_unloaded") == ["model_unloaded four"]
    assert world.fields("model_unloaded")["why"] == "six needs the room"


def test_two_that_do_not_fit_together_take_turns_with_few_loads(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192, swap_after_s=60)

    async def agent(models: Manager, name: str) -> None:
        for _ in range(30):
            await call(models, name, 2.0)
            await asyncio.sleep(0.1)  # its next call comes soon

    async def story() -> None:
        models = world.manager()
        await asyncio.gather(*(agent(models, name) for name in ("four", "six", "four", "six")))

    play(story)
    # 120 calls of 2 s, in turns of a minute or so: no fewer than four turns, and no load for each call.
    assert 4 <= len(world.loads()) <= 6
    assert all(one != other for one, other in pairwise(world.loads()))
    assert "model_waits six" in world.events()


def test_a_pause_between_two_calls_is_no_reason_to_go(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192, swap_after_s=60)

    async def agent(models: Manager, name: str) -> None:
        for _ in range(10):
            await call(models, name, 2.0)
            await asyncio.sleep(0.1)

    async def story() -> None:
        models = world.manager()
        await asyncio.gather(agent(models, "four"), agent(models, "six"))

    play(story)
    assert world.loads() == ["four", "six"]


def test_a_model_with_nothing_left_to_do_makes_room_at_once(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192, swap_after_s=600)

    async def story() -> None:
        models = world.manager()
        await asyncio.gather(call(models, "four", 20), call(models, "six", 1))
        assert asyncio.get_running_loop().time() < LOAD_S + 20 + 1 + LOAD_S + 1

    play(story)
    assert world.loads() == ["four", "six"]


def test_what_waits_has_its_turn_though_the_other_is_never_idle(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192, swap_after_s=30)

    async def story() -> None:
        models = world.manager()

        async def flood() -> None:
            while True:
                await call(models, "four", 5)

        floods = [asyncio.create_task(flood()) for _ in range(3)]
        await asyncio.sleep(LOAD_S + 1)
        begun = asyncio.get_running_loop().time()
        await call(models, "six", 1)
        waited = asyncio.get_running_loop().time() - begun
        assert 30 <= waited <= 30 + 3 * 5 + LOAD_S + 1, "its patience, the calls that had begun, the load"
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)

    play(story)


def test_giving_up_waiting_lets_the_other_stay(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192, swap_after_s=5)

    async def story() -> None:
        models = world.manager()
        async with in_use(models, "four"):
            waiting = asyncio.create_task(call(models, "six"))
            await asyncio.sleep(8)
            assert not models.is_loaded("four"), "it is about to leave"
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert models.is_loaded("four")
        await call(models, "four")

    play(story)
    assert world.loads() == ["four"]


def test_what_does_not_fit_is_loaded_with_less_and_that_is_said(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=2048 + 152 + 160)

    async def story() -> None:
        async with in_use(world.manager(), "two") as resident:
            assert resident.profile.context == 2048

    play(story)
    assert world.engines[0].options.context == 2048
    fields = world.fields("model_reduced")
    assert (fields["then"], fields["level"]) == ("context 4096 -> 2048", "warning")
    assert (fields["needs_mib"], fields["free_mib"]) == (2048 + 216 + 152, 2360)


def test_what_cannot_fit_at_all_is_an_error_with_the_arithmetic(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192)

    async def story() -> None:
        models = world.manager()
        await call(models, "four")
        with pytest.raises(ModelError, match="9475 MiB of memory at least; 8192 MiB") as caught:
            await call(models, "nine")
        assert caught.value.code == "E-MODEL-MEMORY"
        assert models.is_loaded("four"), "nobody had to go for nothing"

    play(story)
    assert world.events("model_too_large") == ["model_too_large nine"]


def test_real_memory_limits_as_much_as_the_setting(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=8192)
    world.reading = Reading(8 * GIB, 3 * GIB)

    async def story() -> None:
        models = world.manager()
        await call(models, "two")
        with pytest.raises(ModelError):
            await call(models, "four")

    play(story)


def test_a_slot_more_is_not_worth_another_ones_place(make_world: MakeWorld) -> None:
    world = make_world(memory_mib=(1024 + 2 * 216 + 152) + (2048 + 216 + 152) + 100)
    two_slots = {name: model.model_copy(update={"slots": 2}) for name, model in world.settings.models.items()}
    world.settings = world.settings.model_copy(update={"models": two_slots})

    async def story() -> None:
        models = world.manager()
        await call(models, "one")
        await call(models, "two")
        assert models.is_loaded("one")

    play(story)
    assert [engine.options.parallel for engine in world.engines] == [2, 1]
    assert world.fields("model_reduced")["level"] == "info"


def test_running_out_of_memory_while_loading_ends_the_idle_and_steps_down(make_world: MakeWorld) -> None:
    world = make_world()

    async def story() -> None:
        models = world.manager()
        await call(models, "two")
        world.starve = [True, False]
        async with in_use(models, "four") as resident:
            assert resident.profile.context == 2048
        assert not models.is_loaded("two")

    play(story)
    assert world.events() == [
        *("model_loaded two", "model_out_of_memory four", "model_unloaded two", "model_loaded four")
    ]
    assert world.fields("model_out_of_memory")["then"] == "context 4096 -> 2048"


def test_running_out_of_memory_with_the_least_is_an_error(make_world: MakeWorld) -> None:
    world = make_world()
    world.starve = [True, True]

    async def story() -> None:
        with pytest.raises(ModelError, match="memory ran out") as caught:
            await call(world.manager(), "one")
        assert caught.value.code == "E-MODEL-MEMORY"

    play(story)
    assert [engine.options.context for engine in world.engines] == [4096, 2048]


def test_an_engine_that_memory_killed_comes_back_with_less_and_later_with_all(make_world: MakeWorld) -> None:
    world = make_world()

    async def story() -> None:
        models = world.manager()
        await call(models, "one")
        world.engines[0].alive, world.engines[0].starved = False, True
        await call(models, "one")
        assert world.engines[1].options.context == 2048
        world.engines[1].alive = False
        await asyncio.sleep(manager.CEILING_S)
        await call(models, "one")
        assert world.engines[2].options.context == 4096

    play(story)
    assert world.events("model_lost", "model_out_of_memory") == [
        *("model_lost one", "model_out_of_memory one", "model_lost one")
    ]


def test_an_engine_that_does_not_start_for_another_reason_is_not_tried_with_less(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()

    async def fail(self: FakeEngine, patience_s: float) -> None:
        raise ModelUnreachableError("no such model")

    monkeypatch.setattr(FakeEngine, "start", fail)

    async def story() -> None:
        models = world.manager()
        for _ in range(2):
            with pytest.raises(ModelUnreachableError, match="no such model"):
                await call(models, "one")

    play(story)
    assert [engine.options.context for engine in world.engines] == [4096, 4096]


def test_an_engine_that_dies_right_after_each_load_is_given_up(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()

    async def start_and_die(self: FakeEngine, patience_s: float) -> None:
        await asyncio.sleep(LOAD_S)

    monkeypatch.setattr(FakeEngine, "start", start_and_die)

    async def story() -> None:
        with pytest.raises(ModelUnreachableError, match="again and again"):
            await call(world.manager(), "one")

    play(story)
    assert len(world.loads()) == manager.MOST_LOADS + 1


def test_a_stuck_engine_is_ended_and_a_slow_one_is_not(make_world: MakeWorld) -> None:
    world = make_world()

    async def story() -> None:
        models = world.manager()
        async with in_use(models, "one") as resident:
            await models.check(resident)
            assert models.is_loaded("one")
            world.engines[0].stuck = True
            await models.check(resident)
            await models.check(resident)
        assert not models.is_loaded("one")
        await call(models, "one")

    play(story)
    assert world.events() == ["model_loaded one", "model_lost one", "model_loaded one"]


def test_layers_go_to_the_gpu_as_far_as_they_fit(make_world: MakeWorld) -> None:
    world = make_world()
    world.gpu_build = True
    world.reading = Reading(64 * GIB, 60 * GIB, (Gpu("card", 8 * GIB, int(7.5 * GIB)),))

    async def story() -> None:
        models = world.manager()
        await call(models, "four")
        await call(models, "nine")

    play(story)
    assert world.engines[0].options.gpu_layers == 28
    assert 15 <= int(world.engines[1].options.gpu_layers) <= 20
    assert "gpu_layers 28 ->" in world.fields("model_reduced")["then"]


def test_a_build_without_gpu_is_planned_in_ram(make_world: MakeWorld) -> None:
    world = make_world()
    world.reading = Reading(64 * GIB, 60 * GIB, (Gpu("card", 8 * GIB, 7 * GIB),))

    async def story() -> None:
        await call(world.manager(), "four")

    play(story)
    assert world.engines[0].options.gpu_layers == 0
    assert world.fields("model_loaded")["ram_mib"] > 4096


def test_a_model_without_weights_says_what_to_set(make_world: MakeWorld) -> None:
    world = make_world()

    async def story() -> None:
        models = world.manager()
        with pytest.raises(ConfigError, match="no weights"):
            await call(models, "empty")
        with pytest.raises(ConfigError):
            await models.ready("empty")
        await models.ready("one")

    play(story)
    assert world.engines == []


def test_what_is_loaded_can_be_read_beside_and_is_gone_with_the_broker(make_world: MakeWorld) -> None:
    world = make_world()

    async def story() -> None:
        models = world.manager()
        async with in_use(models, "one"):
            await asyncio.sleep(1)
            [found] = loaded.read(world.runtime).values()
            assert [(one.model, one.state, one.calls, one.context) for one in found] == [
                ("one", "busy", 1, 4096)
            ]
        await asyncio.sleep(1)
        [[one]] = loaded.read(world.runtime).values()
        assert one.state == "idle"
        await models.close()
        assert loaded.read(world.runtime) == {}

    play(story)


def test_a_view_that_is_garbage_or_of_the_dead_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "engine-1-loaded.json").write_text("{")
    (tmp_path / "engine-999999999-loaded.json").write_text('{"models": []}')
    (tmp_path / "engine-x-loaded.json").write_text('{"models": []}')
    assert loaded.read(tmp_path) == {}
