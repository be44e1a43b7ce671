"""``swarmd model plan``, ``ps`` and ``rm``."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmd.cli import model_ps
from swarmd.cli.exit_codes import ExitCode
from swarmd.daemon import presence
from swarmd.home import Home
from swarmd.models import loaded, plan
from swarmd.models.loaded import Loaded
from swarmd.models.memory import Gpu, MachineMemory, Reading

from .conftest import Run

SMALL = "qwen2.5-coder-0.5b-instruct-q4_k_m"
GIB = 1024**3


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def number(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def gguf(layers: int = 28) -> bytes:
    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("qwen2"),
        number("qwen2.block_count", layers),
        number("qwen2.embedding_length", 1536),
        number("qwen2.attention.head_count", 12),
        number("qwen2.attention.head_count_kv", 2),
        number("qwen2.context_length", 8192),
    ]
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(entries)) + b"".join(entries)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Reading]:
    """What the machine says of its memory; the last one counts."""
    readings = [Reading(16 * GIB, 8 * GIB)]
    monkeypatch.setattr(MachineMemory, "read", lambda self: readings[-1])
    return readings


@pytest.fixture
def weights(home: Home, tmp_path: Path) -> Path:
    """Made-up weights that the fast tier names."""
    path = tmp_path / "own.gguf"
    path.write_bytes(gguf() + bytes(1024))
    home.settings_file.write_text(f'[models.own]\nweights = "{path}"\n[tiers]\nfast = "own"\ndeep = "own"\n')
    return path


def test_plan_says_what_fits_with_every_summand(run: Run, machine: list[Reading], weights: Path) -> None:
    ran = run("model", "plan", "fast")
    assert ran.code == ExitCode.OK
    assert "16384 MiB, 8192 free, 512 left free: 7680 MiB for models" in ran.out
    assert "28 layers x 2 KV heads x (128 + 128), f16: 28.0 KiB a token" in ran.out
    assert "224 cache) + 152 process = 376 of 7680 MiB of RAM" in ran.out
    assert "longest context that fits, with 2 slots: f16 8192, q8_0 8192, q4_0 8192" in ran.out
    document = run("model", "plan", "fast", "--json").document
    [own] = document["models"]
    assert (own["chosen"]["context"], own["chosen"]["slots"]) == (4096, 2)
    assert {choice["context"] for choice in own["choices"]} == {2048, 4096, 8192}
    assert document["together"]["fits"]


def test_plan_of_a_limit_that_is_too_small(run: Run, machine: list[Reading], weights: Path) -> None:
    with weights.open("r+b") as file:
        file.truncate(3 * GIB)
    settings = weights.parent / "home" / "swarmd.toml"
    settings.write_text(settings.read_text() + "[engine]\nmemory_mib = 3300\n")
    ran = run("model", "plan", "fast")
    assert "less than set: slots 2 -> 1" in ran.out
    assert "too much" in ran.out
    settings.write_text(settings.read_text().replace("3300", "3000"))
    ran = run("model", "plan", "fast")
    assert ran.code == ExitCode.FAILED
    assert "does not fit" in ran.out


def test_plan_with_a_gpu(
    run: Run, machine: list[Reading], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def usable() -> bool:
        return True

    monkeypatch.setattr(plan, "has_gpu_build", usable)
    machine.append(Reading(16 * GIB, 8 * GIB, (Gpu("A \x1b[31mcard", 8 * GIB, 7 * GIB),)))
    ran = run("model", "plan", "fast")
    assert "29 of 29 layers on the GPU" in ran.out
    assert "\x1b" not in ran.out, "a driver's words are cleaned"
    settings = weights.parent / "home" / "swarmd.toml"
    settings.write_text(settings.read_text() + "[engine]\ngpu_memory_mib = 0\n")
    assert "not used" in run("model", "plan", "fast").out


def test_plan_of_what_is_not_here(run: Run, machine: list[Reading], home: Home) -> None:
    ran = run("model", "plan")
    assert ran.code == ExitCode.OK, "nothing here is too large"
    assert ran.out.count("swarmd model pull") == 2
    home.settings_file.write_text('[models."qwen2.5-coder-0.5b"]\nprovider = "ollama"\nname = "x"\n')
    assert "served by ollama" in run("model", "plan", "fast").out
    assert run("model", "plan", "nope").code == ExitCode.USAGE


def test_plan_counts_what_is_loaded_as_free(
    run: Run, machine: list[Reading], weights: Path, home: Home
) -> None:
    before = run("model", "plan", "fast", "--json").document["machine"]["room_bytes"]
    publish(home)
    after = run("model", "plan", "fast", "--json").document["machine"]["room_bytes"]
    assert after > before, "this process's own memory stands for the engine's"


def publish(home: Home, **fields: object) -> None:
    """Have this process pretend to be a broker that has a model loaded."""
    one = Loaded(
        model="own",
        pid=os.getpid(),
        state="busy",
        calls=1,
        waiting=2,
        context=4096,
        parallel=1,
        slots=2,
        cache="f16",
        gpu_layers=0,
        ram_bytes=GIB,
        vram_bytes=0,
        last_used="2026-01-01T00:00:00.000Z",
    )
    loaded.publish(home.make_runtime(), [one])


@pytest.fixture(autouse=True)
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("swarmd.home.MAX_RUNTIME_BASE", 1000)


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(presence, "is_held", lambda home: True)
        yield


def test_ps_without_a_daemon(run: Run, home: Home) -> None:
    ran = run("model", "ps")
    assert ran.code == ExitCode.DAEMON_DOWN
    assert "no daemon runs" in ran.out
    assert run("model", "ps", "--json").document["daemon"] is False


def test_ps_shows_what_is_loaded(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch):
        assert "no model is loaded" in run("model", "ps").out
        publish(home)
        ran = run("model", "ps")
        assert ran.code == ExitCode.OK
        row = ran.out.splitlines()[1]
        assert row.startswith("own")
        assert all(cell in row for cell in ("busy, 2 wait", "2 (1 at a time)", "f16", "1024 MiB"))
        [one] = run("model", "ps", "--json").document["models"]
        assert one["resident_bytes"] > 10_000_000
        monkeypatch.setattr(model_ps, "_resident", lambda pid: None)
        assert "gone" in run("model", "ps").out


@pytest.fixture
def pulled(home: Home, tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "swarmd" / "weights"
    folder.mkdir(parents=True)
    for name in (f"{SMALL}.gguf", f"{SMALL}.gguf.verified", f"{SMALL}.gguf.partial"):
        (folder / name).write_bytes(b"x" * 2_000_000)
    return folder


def test_rm_asks_first_and_removes_all_of_it(run: Run, pulled: Path) -> None:
    ran = run("model", "rm", "fast")
    assert ran.code == ExitCode.USAGE
    assert "--force" in ran.err
    assert (pulled / f"{SMALL}.gguf").exists()
    ran = run("model", "rm", "fast", SMALL, "--force")
    assert (ran.code, ran.out) == (ExitCode.OK, f"removed  {SMALL}  2 MB\n")
    assert [path.name for path in pulled.iterdir() if not path.name.endswith(".lock")] == []
    assert run("model", "rm", "fast", "--force").out == f"absent   {SMALL}\n"


def test_rm_refuses_what_is_loaded(run: Run, home: Home, pulled: Path) -> None:
    home.settings_file.write_text(f'[models.own]\nweights = "{SMALL}"\n')
    publish(home)
    ran = run("model", "rm", SMALL)
    assert ran.code == ExitCode.USAGE
    assert "is loaded" in ran.err
    assert run("model", "rm", "fast", "--force").code == ExitCode.OK


def test_rm_of_something_that_is_no_weights(run: Run, home: Home) -> None:
    assert run("model", "rm", "nope").code == ExitCode.USAGE
    assert run("model", "rm").code == ExitCode.USAGE
