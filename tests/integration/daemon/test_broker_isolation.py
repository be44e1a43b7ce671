"""In strict privacy the broker has no network: what it may ask, it reaches through relays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import ModelSettings, OllamaSettings, Settings, load
from swarmd.daemon.broker import BrokerProcess
from swarmd.daemon.relays import Relays
from swarmd.home import Home
from swarmd.messages import ChatCall, ChatMessage
from swarmd.models import netns
from swarmd.models.endpoint import destinations, relay_socket
from swarmd.models.relay import Destination
from swarmd.models.routing import Router
from swarmd.models.store import Store
from swarmd.testing import ScriptedModel, temporary_home

WHY_NOT = netns.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"no namespaces: {WHY_NOT}")


async def ignore(name: str, fields: dict[str, Any]) -> None:
    """Nobody wants to know."""


def call(text: str = "Say hello.") -> ChatCall:
    question = ChatMessage(role="user", content=text)
    return ChatCall(messages=[question], tier="fast", max_tokens=16, purpose="test")


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, and a short folder for sockets: pytest's own are too long for them."""
    for name in [name for name in os.environ if name.startswith("SWARMD_")]:
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="swarmd-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


class Master:
    """What the daemon is to its broker."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.settings: Settings = load(home.settings_file, {})
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lost: list[int | None] = []
        self.broker = BrokerProcess(
            home, self._event, self._started, self._lost, settings=lambda: self.settings
        )

    async def _event(self, name: str, fields: dict[str, Any]) -> None:
        self.events.append((name, fields))

    async def _started(self, pid: int, models: dict[str, Any]) -> None: ...

    async def _lost(self, status: int | None) -> None:
        self.lost.append(status)

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]

    async def until(self, wanted: Callable[[], object], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not wanted():
                await asyncio.sleep(0.02)


def with_master(home: Home, work: Callable[[Master], Awaitable[None]]) -> None:
    async def run() -> None:
        master = Master(home)
        async with asyncio.TaskGroup() as group:
            master.broker.start(group)
            try:
                await work(master)
            finally:
                await master.broker.close()

    asyncio.run(run())


def sockets(home: Home) -> list[str]:
    return sorted(path.name for path in home.runtime().glob("relay-*.sock"))


def test_it_answers_without_a_network_of_its_own(tmp_path: Path) -> None:
    with ScriptedModel([{"match": "hello", "reply": "hello you"}]) as model:
        home = temporary_home(tmp_path, **model.settings())

        async def work(master: Master) -> None:
            reply = await master.broker.chat(call())
            assert reply.text == "hello you"
            pid = master.broker.pid
            own, ours = (Path(f"/proc/{name}/ns/net").stat().st_ino for name in (pid, "self"))
            assert own != ours
            assert not Path(f"/proc/{pid}/net/route").read_text().splitlines()[1:], "there is a route"
            assert len(master.of("broker_isolated")) == 1
            start = master.of("model_call_start")[0]
            assert start["destination"] == model.base_url.removesuffix("/v1"), "the true one, not the relay"

        with_master(home, work)
        assert not sockets(home), "they are removed at the end"


def test_where_privacy_is_off_it_keeps_its_network(tmp_path: Path) -> None:
    with ScriptedModel(default={"reply": "fine"}) as model:
        home = temporary_home(tmp_path, privacy="off", **model.settings())

        async def work(master: Master) -> None:
            assert (await master.broker.chat(call())).text == "fine"
            assert not master.of("broker_isolated")
            assert not sockets(home)

        with_master(home, work)


def test_a_relay_that_dies_is_started_again_and_calls_go_on(tmp_path: Path) -> None:
    with ScriptedModel(default={"reply": "fine"}) as model:
        home = temporary_home(tmp_path, **model.settings())

        async def work(master: Master) -> None:
            await master.broker.chat(call())
            first = master.broker.relay_pid
            assert first
            os.kill(first, signal.SIGKILL)
            assert (await master.broker.chat(call())).text == "fine"
            assert master.broker.relay_pid != first
            assert master.of("relay_lost")[0]["level"] == "warning"

        with_master(home, work)


def test_relays_follow_the_settings(tmp_path: Path) -> None:
    with ScriptedModel(default={"reply": "one"}) as one, ScriptedModel(default={"reply": "two"}) as two:
        home = temporary_home(tmp_path, **one.settings())

        async def work(master: Master) -> None:
            assert (await master.broker.chat(call())).text == "one"
            before = sockets(home)
            temporary_home(tmp_path, **two.settings())
            master.settings = load(home.settings_file, {})
            await master.broker.renew()
            assert (await master.broker.chat(call())).text == "two"
            assert sockets(home) != before
            assert not relay_socket(home.runtime(), Destination("127.0.0.1", one.port)).exists()

        with_master(home, work)


def test_an_ollama_that_is_away_is_told_from_one_that_is_there(tmp_path: Path) -> None:
    """The relay takes the connection all the same, and closes it."""
    name = "qwen2.5-coder:0.5b"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = Settings(
            models={"small": ModelSettings(name=name)}, ollama=OllamaSettings(host=f"http://127.0.0.1:{port}")
        )

        async def kind() -> str:
            folder = Home(tmp_path).make_runtime()
            relays = Relays(lambda: folder, ignore)
            await relays.follow(destinations(settings))
            router = Router(settings, Store(tmp_path), folder, relays=folder)
            try:
                return (await router.provider("small", "strict")).kind
            finally:
                await router.close()
                await relays.close()

        def serve() -> None:
            body = json.dumps({"models": [{"name": name}]}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(head.encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        assert asyncio.run(kind()) == "ollama"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert asyncio.run(kind()) == "embedded"


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(tmp_path: Path) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        destination = Destination("127.0.0.1", server.getsockname()[1])

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while connection.recv(1024):
                    pass
            ended.set()

        thread = threading.Thread(target=serve)
        thread.start()

        async def run() -> None:
            folder = Home(tmp_path).make_runtime()

            relays = Relays(lambda: folder, ignore)
            await relays.follow(frozenset({destination}))
            path = relay_socket(folder, destination)
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"a question")
            await writer.drain()
            writer.close()
            await asyncio.to_thread(ended.wait, 10)
            await relays.close()

        asyncio.run(run())
        thread.join(10)
    assert ended.is_set()


def test_a_relay_is_told_no_address_of_another_machine() -> None:
    for address in ("8.8.8.8:53", "example.com:80", "localhost:80", "0.0.0.0:1", "[::ffff:127.0.0.1]:1"):
        done = subprocess.run(
            [sys.executable, "-m", "swarmd.models.relay", f"0={address}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        assert done.returncode == 2, address


def test_a_relay_ends_with_its_master(tmp_path: Path) -> None:
    """However that ends: all that the relay has of it is the other end of its standard input."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(Home(tmp_path).make_runtime() / "s"))
        door.listen()
        argv = [sys.executable, "-m", "swarmd.models.relay", f"{door.fileno()}=127.0.0.1:9"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[door.fileno()]) as relay:
            assert relay.stdin
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(Home(tmp_path).make_runtime() / "s"))
                assert asking.recv(1) == b"", "it works, and nobody listens on that port"
            relay.stdin.close()
            assert relay.wait(10) == 0


INSIDE = """
import errno, socket, sys
from swarmd.models import netns
netns.enter()
came = []
for family, kind, address in (
    (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(sys.argv[1]))),
    (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 9)),
    (socket.AF_INET6, socket.SOCK_STREAM, ("::1", int(sys.argv[1]))),
    (socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::1", 9)),
):
    with socket.socket(family, kind) as sock:
        came.append(sock.connect_ex(address))
assert all(came), came
try:
    open("/proc/1/ns/net").close()
except OSError:
    pass
else:
    raise SystemExit("the network that it came from can be had again")
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[2])
"""


def test_inside_not_even_loopback_can_be_reached_but_a_unix_socket_can(tmp_path: Path) -> None:
    path = str(Home(tmp_path).make_runtime() / "s")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        argv = [sys.executable, "-c", INSIDE, str(tcp.getsockname()[1]), path]
        done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
