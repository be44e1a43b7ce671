"""The recording proxy: between the runners and the models, on the loopback address.

It passes chat requests on, counts tokens as the engine itself reports them, and keeps each whole reply.
What was kept is answered again byte for byte, at once, and counts as it did when it was recorded.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from swarmd.bench.cache import Cache, Recorded, is_random, key_of
from swarmd.bench.meter import Call, Meter
from swarmd.bench.upstream import Upstream, model_names
from swarmd.bench.usage import Tally
from swarmd.errors import ModelUnreachableError

__all__ = ["Proxy"]

PATHS: dict[str, tuple[str, type]] = {
    "/v1/chat/completions": ("messages", list),
    "/v1/completions": ("prompt", str),
}
"""What is passed on, and the field that such a request must have."""
MAX_REQUEST = 16 << 20
POLL_S = 0.05
JOIN_S = 5.0


class Proxy:
    """Serves while it is used as a context manager. ``meter`` counts what is asked from then on."""

    def __init__(self, routes: Mapping[str, Upstream], cache: Cache) -> None:
        """``routes`` by model name; "*": any other."""
        self.routes = dict(routes)
        self.cache = cache
        self.meter = Meter()
        self.unsaved = 0
        """Replies that could not be kept."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)

    @property
    def url(self) -> str:
        """What runners are given as the endpoint; ends in /v1."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def begin(self) -> Meter:
        """A fresh meter for the next problem."""
        self.meter = Meter()
        return self.meter

    def route(self, model: str) -> Upstream | None:
        """Who serves ``model``."""
        return self.routes.get(model) or self.routes.get("*")

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(JOIN_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An asker who went away is no news."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection of an asker."""

    proxy: Proxy

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self._say(404, _error(f"there is no {self.path}"))
            return
        try:
            listed = [{"id": name, "object": "model"} for name in model_names(self.proxy.routes)]
            self._say(200, {"object": "list", "data": listed})
        except ModelUnreachableError as error:
            self._say(502, _error(error.message))

    def do_POST(self) -> None:
        request = self._request()
        if request is None:
            return
        meter, key = self.proxy.meter, key_of(request)
        if is_random(request):
            key = key_of(request, meter.occurrence(key))
        begun = time.time()
        kept = self.proxy.cache.load(key)
        if kept is None:
            self._ask(request, key, meter, begun)
            return
        span = begun, time.time()  # counted first: whoever has the reply may look at the meter
        meter.add(Call(span, kept.seconds, kept.prompt_tokens, kept.completion_tokens, cached=True))
        self._replay(kept)

    def _request(self) -> dict[str, Any] | None:
        """The request; None when there is none, and that has been said."""
        length, (field, kind) = self.headers.get("content-length", ""), PATHS.get(self.path, ("", str))
        if not field or not length.isdecimal() or int(length) > MAX_REQUEST:
            self.close_connection = True
            self._say(404, _error("no length" if field else f"there is no {self.path}"))
            return None
        try:
            request = json.loads(self.rfile.read(int(length)))
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get(field), kind):
            self._say(400, _error(f"the request holds no {field}"))
            return None
        return request

    def _replay(self, kept: Recorded) -> None:
        data = kept.body.encode()
        self.send_response(200)
        self.send_header("content-type", kept.content_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _ask(self, request: dict[str, Any], key: str, meter: Meter, begun: float) -> None:
        import httpx

        upstream = self.proxy.route(str(request.get("model", "")))
        if upstream is None:
            self._say(404, _error(f"there is no model {request.get('model')!r}"))
            return
        asked = dict(request)
        if asked.get("stream"):  # else the engine tells no tokens
            asked["stream_options"] = {**(asked.get("stream_options") or {}), "include_usage": True}
        tally = Tally(request)
        try:
            with upstream.stream(self.path.removeprefix("/v1"), json.dumps(asked).encode()) as response:
                self._pass_on(response, tally)
        except httpx.HTTPError as error:
            if not tally.begun:
                self._say(502, _error(f"the endpoint cannot be reached: {error}"))
            self.close_connection = True
            meter.add(tally.call(begun, time.time(), aborted=True))
            return
        except OSError:  # the asker went away
            self.close_connection = True
            meter.add(tally.call(begun, time.time(), aborted=True))
            return
        call = tally.call(begun, time.time(), aborted=not tally.is_whole)
        if tally.status == 200:
            meter.add(call)
        if tally.is_whole:
            self._keep(key, request, tally.recorded(call))

    def _pass_on(self, response: Any, tally: Tally) -> None:
        """Hand the reply on as it comes."""
        tally.begin(response.status_code, response.headers.get("content-type", "application/json"))
        self.send_response(response.status_code)
        self.send_header("content-type", tally.content_type)
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for piece in response.iter_bytes():
            tally.feed(piece)
            self.wfile.write(piece)
            self.wfile.flush()

    def _keep(self, key: str, request: Mapping[str, Any], reply: Recorded) -> None:
        try:
            self.proxy.cache.save(key, request, reply)
        except OSError:
            self.proxy.unsaved += 1

    def _say(self, status: int, data: Mapping[str, Any]) -> None:
        raw = json.dumps(data).encode()
        with suppress(OSError):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The screen shows other things."""


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "proxy_error"}}
