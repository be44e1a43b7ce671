"""Attempts to have a strict broker send a prompt off this machine. Each is refused, and each is logged.

Wherever it can be had, the forbidden address is a trap: a server of this test's own that must never hear
anything. The broker has its network here: what refuses is its own code, not the namespace.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import ModelError
from swarmd.home import find
from swarmd.messages import CallContext, ChatCall
from swarmd.testing import ScriptedModel, temporary_home
from tests.integration.models.conftest import BrokerProcess, StubServer

MakeCall = Callable[..., ChatCall]
StartBroker = Callable[..., BrokerProcess]

HOSTS = {
    "a name": "http://models.example.com/v1",
    "a cloud": "https://api.openai.com/v1",
    "every address": "http://0.0.0.0:{port}/v1",
    "every address, version 6": "http://[::]:{port}/v1",
    "a short address": "http://127.1:{port}/v1",
    "a decimal address": "http://2130706433:{port}/v1",
    "a hexadecimal address": "http://0x7f000001:{port}/v1",
    "an octal address": "http://0177.0.0.1:{port}/v1",
    "a mapped address": "http://[::ffff:127.0.0.1]:{port}/v1",
    "a mapped address of another machine": "http://[::ffff:192.0.2.1]:{port}/v1",
    "an address in a name": "http://127.0.0.1.nip.io:{port}/v1",
    "a name that means loopback": "http://localtest.me:{port}/v1",
    "localhost with a dot": "http://localhost.:{port}/v1",
    "localhost with a domain": "http://localhost.localdomain:{port}/v1",
    "another word for localhost": "http://ip6-localhost:{port}/v1",
    "a user name": "http://someone@127.0.0.1:{port}/v1",
    "a user name that looks like an address": "http://127.0.0.1:80@models.example.com/v1",
    "a backslash": "http://127.0.0.1\\@models.example.com/v1",
    "a zone": "http://[::1%25lo]:{port}/v1",
    "percent signs": "http://127.0.0.1%2emodels.example.com/v1",
    "a tab": "http://127.0.0.1\t.models.example.com/v1",
    "a line break": "http://127.0.0.1\r\nHost: models.example.com/v1",
    "wide digits": "http://１２７.0.0.1:{port}/v1",
    "wide dots": "http://127。0。0。1:{port}/v1",
    "a cloud machine's secrets": "http://169.254.169.254/v1",
    "the local network": "http://192.168.1.10:8000/v1",
    "another scheme": "ftp://127.0.0.1:{port}/v1",
    "a file": "file:///etc/passwd",
    "no scheme": "//127.0.0.1:{port}/v1",
    "a relative socket": "unix:models.sock",
    "a socket by detours": "unix:/tmp/../run/models.sock",
}


class Trap:
    """A place that must never be reached: it listens on all of loopback and counts who comes."""

    def __init__(self) -> None:
        self._server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = int(self._server.getsockname()[1])
        self.visits = 0
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        with suppress(OSError):
            while True:
                self._server.accept()[0].close()
                self.visits += 1

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nobody_comes(trap: Trap) -> Iterator[None]:
    before = trap.visits
    yield
    assert trap.visits == before, "somebody went where nobody may"


@pytest.fixture(scope="module")
def strict(trap: Trap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One broker whose settings hold every host trick."""
    models = {
        name: {"provider": "openai", "base_url": url.replace("{port}", str(trap.port)), "context": 32_768}
        for name, url in HOSTS.items()
    }
    home = temporary_home(tmp_path_factory.mktemp("strict"), models=models)
    with tempfile.TemporaryDirectory(prefix="swarmd-") as runtime:
        broker = BrokerProcess(home, Path(runtime))
        yield broker
        broker.close()


def refused(broker: BrokerProcess, asked: ChatCall, code: str = "E-MODEL-PRIVACY") -> dict[str, Any]:
    """Ask, and see it refused and logged; the fields of the log's line."""
    with pytest.raises(ModelError) as caught:
        broker.client(f"test.{asked.request_id}").chat(asked)
    assert caught.value.code == code
    line = broker.until(
        lambda frame: (
            frame.get("event") == "privacy_blocked" and frame["fields"].get("request_id") == asked.request_id
        ),
        20,
    )
    return dict(line["fields"])


@pytest.mark.parametrize("trick", HOSTS)
def test_no_host_gets_a_prompt_that_is_not_a_literal_loopback_address(
    strict: BrokerProcess, call: MakeCall, trick: str
) -> None:
    line = refused(strict, call(model=trick, request_id=f"host-{list(HOSTS).index(trick)}"))
    assert (line["model"], line["code"]) == (trick, "E-MODEL-PRIVACY")


def test_each_of_them_is_in_the_log_from_the_start(strict: BrokerProcess) -> None:
    """The settings are looked through when they are loaded, before anybody asks."""
    strict.until(lambda frame: frame["op"] == "ready")
    strict.until(lambda frame: frame.get("fields", {}).get("model") == list(HOSTS)[-1])
    at_start = [
        frame["fields"]["model"]
        for frame in strict.frames
        if frame.get("event") == "privacy_blocked" and "request_id" not in frame["fields"]
    ]
    assert sorted(at_start) == sorted(HOSTS)


@pytest.mark.parametrize(
    "host", ["http://ollama.example.com", "http://0.0.0.0:{port}", "http://127.1:{port}"]
)
@pytest.mark.parametrize("provider", ["ollama", "auto"])
def test_no_ollama_elsewhere_is_asked(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, trap: Trap, host: str, provider: str
) -> None:
    home = temporary_home(
        tmp_path,
        models={"small": {"provider": provider, "name": "qwen2.5-coder:0.5b"}},
        ollama={"host": host.replace("{port}", str(trap.port))},
    )
    broker = start_broker(home)
    if provider == "ollama":
        refused(broker, call(model="small", request_id="r"))
    else:  # it takes the embedded engine, which has no weights here
        with pytest.raises(ModelError) as caught:
            broker.client().chat(call(model="small"))
        assert caught.value.code == "E-CONFIG"
    assert "ollama.host" in broker.event("privacy_blocked")["reason"]


TAGGED: dict[str, tuple[str, dict[str, Any]]] = {
    "by its tag": ("gpt-oss:cloud", {}),
    "by the end of its tag": ("gpt-oss:120b-cloud", {}),
    "by its host": ("innocent:7b", {"remote_host": "https://ollama.com"}),
    "by its model": ("innocent:7b", {"remote_model": "gpt-oss:120b"}),
}


def ollama_home(tmp_path: Path, stub: StubServer, name: str) -> Any:
    return temporary_home(
        tmp_path, models={"small": {"provider": "ollama", "name": name}}, ollama={"host": stub.url}
    )


def answer(data: str) -> tuple[int, dict[str, str], list[bytes]]:
    return 200, {"content-type": "application/json"}, [data.encode()]


@pytest.mark.parametrize("how", TAGGED)
def test_no_model_of_ollamas_cloud_is_asked(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, stub: StubServer, how: str
) -> None:
    name, fields = TAGGED[how]
    stub.routes["GET /api/tags"] = lambda body: answer(json.dumps({"models": [{"name": name, **fields}]}))
    refused(start_broker(ollama_home(tmp_path, stub, name)), call(model="small", request_id="r"))
    assert not [route for route, _, _ in stub.asked if route.startswith("POST")]


def test_a_name_that_comes_to_mean_a_model_of_the_cloud_is_noticed(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, stub: StubServer
) -> None:
    listed: dict[str, Any] = {"name": "innocent:7b"}
    last = {"model": "innocent:7b", "message": {"content": "hi"}, "done": True, "done_reason": "stop"}
    stub.routes["GET /api/tags"] = lambda body: answer(json.dumps({"models": [listed]}))
    stub.routes["POST /api/chat"] = lambda body: answer(json.dumps(last))
    broker = start_broker(ollama_home(tmp_path, stub, "innocent:7b"))
    assert broker.client().chat(call(model="small")).text == "hi"
    listed["remote_host"] = "https://ollama.com"
    refused(broker, call(model="small", request_id="r"))
    assert len([route for route, _, _ in stub.asked if route == "POST /api/chat"]) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["GET /v1/models", "POST /v1/chat/completions"])
def test_no_redirect_is_followed(
    tmp_path: Path,
    start_broker: StartBroker,
    call: MakeCall,
    stub: StubServer,
    trap: Trap,
    status: int,
    path: str,
) -> None:
    elsewhere = f"http://127.0.0.1:{trap.port}/v1/chat/completions"
    stub.routes["GET /v1/models"] = lambda body: answer('{"object": "list", "data": [{"id": "m"}]}')
    stub.routes[path] = lambda body: (status, {"location": elsewhere}, [])
    model = {"provider": "openai", "base_url": f"{stub.url}/v1", "name": "m"}
    broker = start_broker(temporary_home(tmp_path, models={"m": model}))
    refused(broker, call(model="m", request_id="r"), "E-MODEL-REDIRECT")


def test_no_redirect_of_an_ollama_is_followed(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, stub: StubServer, trap: Trap
) -> None:
    stub.routes["GET /api/tags"] = lambda body: (307, {"location": f"http://127.0.0.1:{trap.port}/"}, [])
    broker = start_broker(ollama_home(tmp_path, stub, "m"))
    refused(broker, call(model="small", request_id="r"), "E-MODEL-REDIRECT")


def remote(trap: Trap) -> dict[str, Any]:
    """A model of another machine, as far as its address tells; the trap would hear of it."""
    return {"provider": "openai", "base_url": f"http://localtest.me:{trap.port}/v1", "context": 32_768}


def test_no_request_loosens_what_the_home_says(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, trap: Trap
) -> None:
    broker = start_broker(temporary_home(tmp_path, models={"remote": remote(trap)}))
    about = CallContext(request_id="said", privacy="off")
    refused(broker, call(model="remote", privacy="off", request_id="asked"))
    refused(broker, call(model="remote", about=about, privacy="off", request_id="said"))


def test_no_request_is_served_with_less_privacy_than_its_own(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, trap: Trap
) -> None:
    home = temporary_home(
        tmp_path, privacy="off", models={"remote": remote(trap)}, routing={"mode": "prefer_local"}
    )
    refused(start_broker(home), call(model="remote", request_id="r"))


@pytest.mark.parametrize("mode", ["prefer_local", "auto", "cloud_only"])
def test_no_fallback_leaves(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, stub: StubServer, trap: Trap, mode: str
) -> None:
    """The local model fails in each of the ways after which another one is asked."""
    stub.routes["GET /v1/models"] = lambda body: answer('{"object": "list", "data": [{"id": "another"}]}')
    models = {
        "local": {"provider": "openai", "base_url": f"{stub.url}/v1", "name": "m"},
        "remote": remote(trap),
        "claude": {"provider": "anthropic", "name": "claude", "context": 32_768},
    }
    home = temporary_home(
        tmp_path,
        models=models,
        tiers=dict.fromkeys(("fast", "deep", "reviewer"), "local"),
        routing={"mode": mode, "cloud": ["remote", "claude"], "fallbacks": {"fast": ["remote"]}},
    )
    broker = start_broker(home)
    asked = call(request_id="r", purpose="plan")
    if mode == "cloud_only":
        refused(broker, asked)
        return
    with pytest.raises(ModelError) as caught:
        broker.client().chat(asked)
    assert caught.value.code == "E-MODEL-NAME"
    start = broker.event("model_call_start")
    assert start["candidates"] == ["local"]
    assert sorted(one.partition(":")[0] for one in start["refused"]) == ["claude", "remote"]
    assert all("privacy" in one for one in start["refused"])


def test_no_proxy_and_no_variable_leads_elsewhere_and_no_key_is_sent(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = f"http://127.0.0.1:{trap.port}"
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, there)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OLLAMA_HOST", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, there)
    for name in ("OPENAI_API_KEY", "OLLAMA_API_KEY", "ANTHROPIC_API_KEY", "MY_KEY"):
        monkeypatch.setenv(name, "sk-the-users-own")
    monkeypatch.setenv("NO_PROXY", "")
    stub = StubServer()
    try:
        stub.routes["GET /v1/models"] = lambda body: answer('{"object": "list", "data": [{"id": "m"}]}')
        model = {"provider": "openai", "base_url": f"{stub.url}/v1", "name": "m", "api_key_env": "MY_KEY"}
        broker = start_broker(temporary_home(tmp_path, models={"m": model}))
        with pytest.raises(ModelError):  # the stub answers no chat
            broker.client().chat(call(model="m"))
        assert broker.event("model_call_start")["destination"] == stub.url
        assert {route for route, _, _ in stub.asked} == {"GET /v1/models", "POST /v1/chat/completions"}
        assert "sk-the-users-own" not in str(stub.asked)
    finally:
        stub.close()


def test_a_settings_file_in_a_repository_changes_nothing(
    tmp_path: Path, runtime: Path, call: MakeCall, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do modules there that have the names of ours."""
    repository, marker = tmp_path / "repository", tmp_path / "ran"
    there = f"http://localtest.me:{trap.port}/v1"
    evil = f"import pathlib; pathlib.Path({str(marker)!r}).write_text('ran')\n"
    files = {
        "swarmd.toml": f'privacy = "off"\n[models.remote]\nprovider = "openai"\nbase_url = "{there}"\n',
        ".env": f"SWARMD_PRIVACY=off\nSWARMD_OLLAMA__HOST={there}\n",
        ".swarmd/config.toml": 'privacy = "off"\n',
        "pyproject.toml": '[tool.swarmd]\nprivacy = "off"\n',
        **dict.fromkeys(("sitecustomize.py", "usercustomize.py", "openai.py", "httpx.py", "swarmd.py"), evil),
    }
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    monkeypatch.chdir(repository)
    env = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    assert find(None, env, repository).root == tmp_path / "state/swarmd"
    with ScriptedModel(default={"reply": "fine"}) as model:
        broker = BrokerProcess(temporary_home(tmp_path, **model.settings()), runtime, safe_path=True)
        try:
            assert broker.client().chat(call()).text == "fine"
            with pytest.raises(ModelError) as caught:
                broker.client().chat(call(model="remote", privacy="off"))
            assert caught.value.code == "E-CONFIG", "it does not know that model"
        finally:
            broker.close()
    assert not marker.exists()


GUARDED = """
import socket, sys
from swarmd.models.guard import forbid_leaving
from swarmd.models.privacy import PrivacyError
port = int(sys.argv[1])
forbid_leaving()
tcp = lambda: socket.socket()
udp = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ways = {
    "connect": lambda: tcp().connect(("192.0.2.1", port)),
    "connect_ex": lambda: tcp().connect_ex(("0.0.0.0", port)),
    "a name": lambda: tcp().connect(("localhost", port)),
    "create_connection": lambda: socket.create_connection(("127.1", port), 1),
    "sendto": lambda: udp().sendto(b"x", ("192.0.2.1", port)),
    "sendmsg": lambda: udp().sendmsg([b"x"], [], 0, ("192.0.2.1", port)),
    "getaddrinfo": lambda: socket.getaddrinfo("models.example.com", port),
    "gethostbyname": lambda: socket.gethostbyname("models.example.com"),
    "version 6": lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.1", port)),
}
for name, way in ways.items():
    try:
        way()
    except PrivacyError:
        continue
    except OSError as error:
        raise SystemExit(f"{name} was tried: {error}")
    raise SystemExit(f"{name} worked")
socket.getaddrinfo("127.0.0.1", port)
a, b = socket.socketpair()
a.sendall(b"x")
tcp().connect(("127.0.0.1", int(sys.argv[2])))
"""


def test_no_python_code_of_a_strict_process_connects_elsewhere(trap: Trap) -> None:
    """Whatever library makes the call, and whatever made it do so."""
    with socket.create_server(("127.0.0.1", 0)) as here:
        argv = [sys.executable, "-W", "ignore", "-c", GUARDED, str(trap.port), str(here.getsockname()[1])]
        done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
