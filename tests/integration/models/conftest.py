"""A real broker process for each test, and the weights that some of them need."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from swarmd.bus.channel import Channel, pair
from swarmd.config import Settings
from swarmd.home import Home
from swarmd.messages import ChatCall, ChatMessage
from swarmd.models.client import BrokerClient
from swarmd.models.store import Store, default_folder

SMALL = "qwen2.5-coder-0.5b-instruct-q4_k_m"


def _environment(runtime: Path) -> dict[str, str]:
    """This process's, without settings that would win over those of the home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWARMD_")}
    return kept | {"XDG_RUNTIME_DIR": str(runtime)}


class BrokerProcess:
    """A broker, seen from the master's side."""

    def __init__(self, home: Home, runtime: Path, *, safe_path: bool = False) -> None:
        """``safe_path``: as the daemon starts it, with nothing of the working folder to import."""
        ours, theirs = pair()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [
                sys.executable,
                *(["-P"] if safe_path else []),
                "-m",
                "swarmd.models.broker",
                "--home",
                str(home.root),
                "--control-fd",
                str(theirs.fileno()),
            ],
            pass_fds=[theirs.fileno()],
            env=_environment(runtime),
        )
        theirs.close()
        self.control = Channel(ours)
        self.frames: list[dict[str, Any]] = []
        self._sockets: list[socket.socket] = []

    def until(self, wanted: Callable[[dict[str, Any]], bool], timeout: float = 60) -> dict[str, Any]:
        """The first frame from the broker that is ``wanted``, old ones included."""
        deadline = time.monotonic() + timeout
        for frame in self.frames:
            if wanted(frame):
                return frame
        while (left := deadline - time.monotonic()) > 0:
            if received := self.control.receive(left):
                self.frames.append(received[0])
                if wanted(received[0]):
                    return received[0]
        raise AssertionError(f"the broker did not say it; it said {self.frames}")

    def event(self, name: str, timeout: float = 60) -> dict[str, Any]:
        """The fields of its first event called ``name``."""
        fields = self.until(lambda frame: frame.get("event") == name, timeout)["fields"]
        assert isinstance(fields, dict)
        return fields

    def attach(self, name: str) -> Channel:
        ours, theirs = pair()
        self.control.send({"op": "attach", "client": name}, [theirs.fileno()])
        theirs.close()
        self._sockets.append(ours)
        return Channel(ours)

    def client(self, name: str = "test.1", **options: Any) -> BrokerClient:
        return BrokerClient(self.attach(name), **options)

    def close(self) -> None:
        self.control.close()
        for sock in self._sockets:
            sock.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


Answer = tuple[int, dict[str, str], Iterable[bytes]]


class StubServer:
    """An HTTP server on the loopback address that answers as a test says, and remembers the questions."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[dict[str, Any]], Answer]] = {}
        """What to answer to ``METHOD /path``, given the JSON body. Everything else is 404."""
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Route, headers and body of each question."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _stub_handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _stub_handler(stub: StubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            route = f"{self.command} {self.path}"
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(raw) if raw else {}
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.asked.append((route, headers, body))
            answer = stub.routes.get(route)
            status, sent, parts = answer(body | {"": headers}) if answer else (404, {}, [b"{}"])
            self.send_response(status)
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                for part in parts:
                    self.wfile.write(part)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    return Handler


@pytest.fixture
def stub() -> Iterator[StubServer]:
    server = StubServer()
    yield server
    server.close()


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder for sockets: pytest's own are too long for them."""
    with tempfile.TemporaryDirectory(prefix="swarmd-") as folder:
        yield Path(folder)


@pytest.fixture
def start_broker(runtime: Path) -> Iterator[Callable[[Home], BrokerProcess]]:
    started: list[BrokerProcess] = []

    def start(home: Home) -> BrokerProcess:
        started.append(BrokerProcess(home, runtime))
        return started[-1]

    yield start
    for broker in started:
        broker.close()


@pytest.fixture(scope="session")
def small_weights() -> Path:
    """The real 0.5B model. Tests that need it fail without it: they are not skipped."""
    folder = default_folder(Settings(weights_folder=os.environ.get("SWARMD_WEIGHTS_FOLDER")))
    if not (folder / f"{SMALL}.gguf").exists():
        pytest.fail(
            f'{folder} lacks {SMALL}: run "swarmd model pull {SMALL}", '
            "or set SWARMD_WEIGHTS_FOLDER to a folder that has it"
        )
    return Store(folder).path(SMALL)


@pytest.fixture
def call() -> Callable[..., ChatCall]:
    def make(text: str = "Say hello.", **fields: Any) -> ChatCall:
        defaults: dict[str, Any] = {"tier": "fast", "max_tokens": 16, "purpose": "test"}
        return ChatCall(messages=[ChatMessage(role="user", content=text)], **(defaults | fields))

    return make
