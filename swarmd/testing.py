"""Fakes for tests and for the scripted demonstration. No other module of swarmd imports this one.

As the ``role`` of an agent type ("swarmd.testing") it does nothing, at once: see ``run``.

``python -m swarmd.testing scripted-model --script FILE --port-file FILE`` serves a script until it is
ended; the port file appears when it can be asked.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmd import durable, home
from swarmd.config import Settings
from swarmd.errors import UsageError

if TYPE_CHECKING:
    from swarmd.agents.roles import RoleContext
    from swarmd.messages import Proposal

__all__ = ["FakeClock", "Rule", "ScriptedModel", "add_noop_type", "main", "run", "temporary_home"]


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), boot: float = 1000.0) -> None:
        self._now = start
        self._boot = boot

    def now(self) -> datetime:
        """The wall-clock time."""
        return self._now

    def boot(self) -> float:
        """Seconds since boot."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._boot += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall's clock forward or back; the boot's does not notice."""
        self._now += timedelta(seconds=seconds)


@dataclass
class Rule:
    """What to answer to which prompts."""

    match: str = ""
    """A regular expression that is searched in the prompt: its messages' texts, one below the other."""
    reply: str = ""
    times: int | None = None
    """How often it answers before later rules do; None: always."""
    delay: float = 0.0
    """Seconds before the first token."""
    pace: float = 0.0
    """Seconds before each further token."""
    error: int | None = None
    """An HTTP status to fail with, ``reply`` being the message."""
    finish: str = "stop"


NO_RULE = Rule(reply="the script has no rule for this prompt", error=422)


class ScriptedModel:
    """An OpenAI-compatible server on the loopback address whose replies come from a script.

    Use it as a context manager. ``calls`` holds the body of every chat request, in order.
    """

    def __init__(
        self,
        rules: Sequence[Mapping[str, Any]] = (),
        *,
        default: Mapping[str, Any] | None = None,
        names: Sequence[str] = ("scripted",),
    ) -> None:
        """``rules`` and ``default`` have the fields of ``Rule``; ``names`` are the models it lists."""
        self.calls: list[dict[str, Any]] = []
        self.names = list(names)
        self._rules = [_rule(rule) for rule in rules]
        self._default = _rule(default) if default is not None else NO_RULE
        self._choosing = threading.Lock()
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @classmethod
    def load(cls, path: Path) -> ScriptedModel:
        """The script in a JSON file: a list of rules, or ``{"rules": […], "default": {…}, "names": […]}``.

        Raises UsageError when it is not one.
        """
        try:
            data = json.loads(path.read_bytes())
            return cls(data) if isinstance(data, list) else cls(data.pop("rules", []), **data)
        except (OSError, ValueError, TypeError, AttributeError, re.error) as error:
            raise UsageError(f"{path} is not a script for the scripted model: {error}") from error

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """What ``base_url`` of a model in swarmd.toml is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    def settings(self) -> dict[str, Any]:
        """Settings that make it serve all tiers: ``temporary_home(tmp_path, **model.settings())``."""
        model = {"provider": "openai", "base_url": self.base_url, "name": self.names[0], "context": 32_768}
        tiers = dict.fromkeys(("fast", "deep", "reviewer"), "scripted")
        return {"models": {"scripted": model}, "tiers": tiers}

    def add(self, rule: Mapping[str, Any]) -> None:
        """Append a rule to the script."""
        with self._choosing:
            self._rules.append(_rule(rule))

    def replace(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Go on with another script."""
        with self._choosing:
            self._rules = [_rule(rule) for rule in rules]

    def choose(self, prompt: str) -> Rule:
        """The first rule that matches ``prompt`` and is not used up."""
        with self._choosing:
            for rule in self._rules:
                if rule.times != 0 and re.search(rule.match, prompt, re.DOTALL):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return self._default

    def __enter__(self) -> ScriptedModel:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _rule(fields: Mapping[str, Any]) -> Rule:
    rule = Rule(**fields)
    re.compile(rule.match)
    return rule


def _tokens(text: str) -> list[str]:
    """Words with the white space before them; put together they are ``text``."""
    return re.findall(r"\s*\S+|\s+$", text)


def _handler(model: ScriptedModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._json(200, {"object": "list", "data": [_listed(name) for name in model.names]})
            else:
                self._json(404, _error(f"there is no {self.path}"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            if self.path not in ("/v1/chat/completions", "/v1/completions"):
                self._json(404, _error(f"there is no {self.path}"))
                return
            model.calls.append(body)
            turns = [str(turn["content"]) for turn in body.get("messages", [])]
            prompt = "\n".join(turns or [str(body.get("prompt", ""))])
            rule = model.choose(prompt)
            model.stopping.wait(rule.delay)
            try:
                self._answer(body, rule, prompt)
            except OSError:  # the asker went away
                self.close_connection = True

        def _answer(self, body: Mapping[str, Any], rule: Rule, prompt: str) -> None:
            if rule.error is not None:
                self._json(rule.error, _error(rule.reply))
            elif body.get("stream"):
                self._stream(body, rule, prompt)
            else:
                self._whole(body, rule, prompt)

        def _whole(self, body: Mapping[str, Any], rule: Rule, prompt: str) -> None:
            said: dict[str, Any] = {"message": {"role": "assistant", "content": rule.reply}}
            if "prompt" in body:
                said = {"text": rule.reply}
            choice = {"index": 0, "finish_reason": rule.finish, **said}
            frame = _frame(body, "chat.completion", [choice])
            self._json(200, frame | {"usage": _usage(prompt, rule.reply)})

        def _stream(self, body: Mapping[str, Any], rule: Rule, prompt: str) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for frame in _frames(body, rule, prompt):
                self.wfile.write(f"data: {json.dumps(frame)}\n\n".encode())
                spoken = frame["choices"] and _spoken(frame["choices"][0])
                if spoken and model.stopping.wait(rule.pace):
                    return
            self.wfile.write(b"data: [DONE]\n\n")

        def _json(self, status: int, data: Mapping[str, Any]) -> None:
            raw = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """The demonstration's screen shows other things."""

    return Handler


def _listed(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "swarmd.testing"}


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted_error"}}


def _usage(prompt: str, reply: str) -> dict[str, int]:
    counts = {"prompt_tokens": len(prompt.encode()) // 4 + 1, "completion_tokens": len(_tokens(reply))}
    return counts | {"total_tokens": sum(counts.values())}


def _frame(body: Mapping[str, Any], kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    name = body.get("model", "scripted")
    return {"id": "scripted", "object": kind, "created": 0, "model": name, "choices": choices}


def _spoken(choice: Mapping[str, Any]) -> str | None:
    said = choice["text"] if "text" in choice else choice["delta"].get("content")
    return str(said) if said else None


def _frames(body: Mapping[str, Any], rule: Rule, prompt: str) -> Iterator[dict[str, Any]]:
    def chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        said: dict[str, Any] = {"text": delta.get("content", "")} if "prompt" in body else {"delta": delta}
        choice = {"index": 0, **said, "finish_reason": finish}
        return _frame(body, "chat.completion.chunk", [choice])

    yield chunk({"role": "assistant"})
    for token in _tokens(rule.reply):
        yield chunk({"content": token})
    yield chunk({}, rule.finish)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _frame(body, "chat.completion.chunk", []) | {"usage": _usage(prompt, rule.reply)}


def temporary_home(folder: Path, **settings: Any) -> home.Home:
    """A fresh home under ``folder``, initialised, with ``settings`` (sections by name) in swarmd.toml.

    The account's list of homes is not touched.
    """
    Settings.model_validate(settings)
    made = home.Home(folder / "home")
    durable.make_dirs(made.root)
    durable.write(made.settings_file, _toml(settings).encode(), durable=False)
    home.init(made, {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")})
    return made


def run(context: RoleContext) -> Proposal:
    """The role of an agent that does nothing: its order is done as soon as it is read, or, if the request
    says ``wait SECONDS``, after so long."""
    words = context.order.user_request.split()
    if len(words) == 2 and words[0] == "wait":
        until = time.monotonic() + float(words[1])
        while time.monotonic() < until:
            context.beat("waits")
            time.sleep(0.05)
    return context.propose(kind="message", text="nothing was asked for", summary="Did nothing.")


def add_noop_type(agents: Path, name: str = "noop", *, max_instances: int = 4) -> None:
    """Add to the folder ``agents`` a type that serves requests of the kind research without a model
    and without a project, by doing nothing."""
    folder = agents / name
    durable.make_dirs(folder)
    settings = {
        "description": "Does nothing, for tests and measurements.",
        "role": "swarmd.testing",
        "accepts": ["research"],
        "workspace": "none",
        "limits": {"max_instances": max_instances},
    }
    durable.write(folder / "agent.toml", _toml(settings).encode(), durable=False)
    durable.write(folder / "prompt.md", b"Do nothing.\n", durable=False)


def _toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """``table`` as TOML. Strings, numbers and lists are written alike in JSON and TOML."""
    lines, tables = [], []
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{json.dumps(key)}"
            tables.append(f"[{name}]\n{_toml(value, f'{name}.')}")
        elif value is not None:
            lines.append(f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines) + "".join(tables)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a script until SIGTERM or SIGINT. Exit status 0, or 2 when the script is wrong."""
    parser = argparse.ArgumentParser(prog="python -m swarmd.testing", description=__doc__)
    command = parser.add_subparsers(required=True).add_parser("scripted-model")
    command.add_argument("--script", type=Path, required=True)
    command.add_argument("--port-file", type=Path, required=True)
    options = parser.parse_args(argv)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        model = ScriptedModel.load(options.script)
    except UsageError as error:
        parser.error(error.message)
    with model:
        durable.write(options.port_file.absolute(), f"{model.port}\n".encode(), durable=False)
        while not ended.is_set():
            time.sleep(0.1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
