"""A server that speaks three protocols and misbehaves on order, as real servers have been seen to.

It listens on a loopback port or on a unix socket. What it is told to do is a behaviour: a function from
what was asked to an answer.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.models.dialects import DIALECTS, JSON, Dialect

MODEL = "small:1b"
OTHER = "big:70b"


class Hang:
    """In an answer: say nothing more, and keep the connection."""


class Break:
    """In an answer: close the connection, whatever was promised."""


Part = bytes | type[Hang] | type[Break]
Answer = tuple[int, dict[str, str], Iterable[Part]]


@dataclass
class Asked:
    """One question for a reply."""

    dialect: Dialect
    body: dict[str, Any]
    number: int
    """How many came before it."""

    @property
    def turns(self) -> list[str]:
        """The texts of its messages, oldest first."""
        system = [self.body["system"]] if isinstance(self.body.get("system"), str) else []
        return [*system, *(str(turn["content"]) for turn in self.body.get("messages", []))]

    def answer(self, pieces: Sequence[Any] = ("hello", " you"), **more: Any) -> Answer:
        """A reply of ``pieces``, which is a good one unless ``more`` says otherwise."""
        return 200, dict(self.dialect.stream_headers), list(self.parts(pieces, **more))

    def parts(
        self,
        pieces: Sequence[Any] = ("hello", " you"),
        *,
        model: str | None = None,
        prompt: Any = None,
        completion: Any = None,
        cached: Any = 0,
        finish: str | None = "stop",
    ) -> Iterator[Part]:
        """``finish`` None: the stream just ends."""
        said = model or str(self.body.get("model"))
        count = tokens_in(self.turns) if prompt is None else prompt
        yield self.dialect.start(said, count)
        for piece in pieces:
            yield piece if isinstance(piece, type) else self.dialect.piece(piece, said)
        if finish is not None:
            wrote = len(pieces) if completion is None else completion
            yield self.dialect.end(said, finish, {"prompt": count, "completion": wrote, "cached": cached})

    def fails(self, status: int, message: str, kind: str = "api_error", **headers: str) -> Answer:
        sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        return status, sent, [self.dialect.error(message, kind)]


Behaviour = Callable[[Asked], Answer]


def tokens_in(turns: Sequence[str]) -> int:
    """Four bytes each, as in code."""
    return sum(len(turn.encode()) for turn in turns) // 4


@dataclass
class ConformanceServer:
    """Use it as a context manager."""

    dialect: Dialect
    behaviour: Behaviour = lambda asked: asked.answer()
    names: Sequence[str] = (MODEL, OTHER)
    """The models that it lists; empty: it has no list."""
    uds: Path | None = None
    routes: dict[str, Callable[[dict[str, Any]], Answer]] = field(default_factory=dict)
    """Other answers, given the body, by ``METHOD /path``; they win over all others."""
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Route, headers and body of each question."""
    lost: threading.Event = field(default_factory=threading.Event)
    """Set when an asker went away before its answer was whole."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ConformanceServer:
        self._server = _Listener(self) if self.uds is None else _UnixListener(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.uds is not None:
            self.uds.unlink()

    @property
    def url(self) -> str:
        return "http://server" if self.uds else f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """The bodies of the questions for a reply, in order."""
        return [body for route, _, body in self.asked if route == self.dialect.chat_route]

    def respond(self, route: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
        number = len(self.chats)
        self.asked.append((route, headers, body))
        if route in self.routes:
            return self.routes[route](body)
        if route == self.dialect.chat_route:
            return self.behaviour(Asked(self.dialect, body, number))
        found = self.dialect.listing(self.names).get(route) if self.names else None
        if found is None:
            return 404, JSON, [self.dialect.error(f"there is no {route}", "not_found_error")]
        return 200, JSON, [found]


class _Listener(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, owner: ConformanceServer) -> None:
        super().__init__(("127.0.0.1", 0), _handler(owner))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An asker that goes away in the middle is what many of the tests are about."""


class _UnixListener(_Listener):
    address_family = socket.AF_UNIX

    def __init__(self, owner: ConformanceServer) -> None:
        ThreadingHTTPServer.__init__(self, str(owner.uds), _handler(owner))  # type: ignore[arg-type]

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


def _handler(owner: ConformanceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else {}
            status, sent, parts = owner.respond(f"{self.command} {self.path}", headers, body)
            if status:  # 0: close the connection without a word
                self.send_response(status)
                for name, value in sent.items():
                    self.send_header(name, value)
                self.end_headers()
                self._write(parts)

        def _write(self, parts: Iterable[Part]) -> None:
            for part in parts:
                if part is Break:
                    return
                if part is Hang:
                    self._wait_for_the_end()
                    return
                try:
                    self.wfile.write(part)
                except OSError:
                    owner.lost.set()
                    return

        def _wait_for_the_end(self) -> None:
            self.connection.settimeout(0.05)
            while not owner.stopping.is_set():
                with suppress(TimeoutError):
                    if not self.connection.recv(1):
                        owner.lost.set()
                        return

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    return Handler


__all__ = ["DIALECTS", "MODEL", "OTHER", "Asked", "Break", "ConformanceServer", "Hang", "tokens_in"]
