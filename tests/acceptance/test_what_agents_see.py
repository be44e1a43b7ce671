"""From inside an agent: no network, no keys, no logs. Its socket to the broker is the only way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, scripted_settings

SECRET = "sk-this-key-is-the-users-own"

TYPE = """
description = "Tries to get out."
role = "curious.agent"
accepts = ["research"]
workspace = "none"
"""

ROLE = '''
"""Tries what an agent must not be able to do, and proposes what worked."""

import ctypes
import json
import os
import socket
from pathlib import Path

from swarmd.messages import ChatMessage


def tcp(host, port):
    return lambda: socket.create_connection((host, port), timeout=2).close()


def udp(host):
    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", (host, 9))

    return send


def pair():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        here.sendto(b"x", os.environ.get("XDG_RUNTIME_DIR", "/tmp") + "/x")


def unix(path):
    def connect():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)

    return connect


def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()


def netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def inherited():
    """Any descriptor that it holds, led somewhere else."""
    for fd in range(3, 64):
        try:
            sock = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        with sock:
            sock.connect(("127.0.0.1", PORT))
            return
    raise OSError("none could be led elsewhere")


def secret_in_environment():
    if SECRET not in json.dumps(dict(os.environ)):
        raise OSError("not there")


def secret_in_memory():
    """The environment as libc has it, what was unset included."""
    place = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    number, found = 0, []
    while place[number]:
        found.append(place[number])
        number += 1
    if SECRET.encode() not in b"".join(found):
        raise OSError("not there")


def read(path):
    return lambda: Path(path).read_bytes()


def ask(context):
    def call():
        reply = context.chat([ChatMessage(role="user", content="Are you there?")], purpose="test")
        assert reply.text == "I am here."

    return call


def run(context):
    home = HOME
    ways = {
        "ask the broker": ask(context),
        "tcp to the model": tcp("127.0.0.1", PORT),
        "tcp over ipv6": tcp("::1", PORT),
        "tcp to another machine": tcp("192.0.2.1", 80),
        "udp": udp("192.0.2.1"),
        "look up a name": lambda: socket.getaddrinfo("example.com", 80),
        "a raw socket": raw,
        "netlink": netlink,
        "a datagram pair": pair,
        "the broker's relay": lambda: [unix(str(path))() for path in RELAYS] or 1 / 0,
        "an abstract socket": unix("\\0swarmd"),
        "an inherited socket": inherited,
        "a program": lambda: os.execv("/bin/true", ["true"]),
        "a child": lambda: os.fork() or os._exit(0),
        "the key in the environment": secret_in_environment,
        "the key in memory": secret_in_memory,
        "its own environment": read("/proc/self/environ"),
        "its parent's environment": read(f"/proc/{os.getppid()}/environ"),
        "its own memory": read("/proc/self/mem"),
        "the master's log": read(f"{home}/logs/master.jsonl"),
        "the models' log": read(f"{home}/logs/models.jsonl"),
        "the agents' log": read(f"{home}/logs/agents/curious.jsonl"),
        "the settings": read(f"{home}/swarmd.toml"),
        "the keys folder": lambda: os.listdir(f"{home}/council/keys"),
        "what others proposed": lambda: os.listdir(f"{home}/bus/outbox"),
        "the user's ssh keys": lambda: os.listdir(Path("~/.ssh").expanduser()),
        "a dot file of the user": read(DOTFILE),
    }
    worked = []
    for name, way in ways.items():
        context.beat(name)
        try:
            way()
        except Exception as error:
            print(name, type(error).__name__, error, flush=True)
        else:
            worked.append(name)
    return context.propose(kind="message", text=json.dumps([len(ways), worked]), summary=json.dumps(worked))
'''


@pytest.mark.parametrize("privacy", ["strict", "off"])
def test_an_agent_reaches_the_broker_and_nothing_else(
    make_daemon: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, privacy: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_OWN_NAME_FOR_IT", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    dotfile = tmp_path / "dotfile"
    dotfile.write_text(SECRET)
    with ScriptedModel([{"match": "Are you there", "reply": "I am here."}]) as model:
        key = 'api_key_env = "MY_OWN_NAME_FOR_IT"\n'
        daemon = make_daemon(f'privacy = "{privacy}"\n{scripted_settings(model)}{key}')
        write_type(daemon, tmp_path / "lib", model.port, dotfile)
        daemon.start()
        daemon.drop("look", {"user_request": "Look around.", "kind": "research"})
        result = daemon.result("look", 60)

    assert result["status"] == "succeeded", daemon.tail()
    assert json.loads(result["summary"]) == ["ask the broker"]
    confined: list[dict[str, Any]] = daemon.events("agent_ready")
    assert "landlock" in confined[0]["data"]["confinement"]


def write_type(daemon: Daemon, lib: Path, port: int, dotfile: Path) -> None:
    """An agent type whose role is a module of the test's own."""
    folder = daemon.home / "agents/curious"
    folder.mkdir()
    (folder / "agent.toml").write_text(TYPE)
    (folder / "prompt.md").write_text("Look around.\n")
    (lib / "curious").mkdir(parents=True)
    names = {"SECRET": SECRET, "HOME": str(daemon.home), "DOTFILE": str(dotfile), "PORT": port}
    constants = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    relays = "from swarmd.home import Home\nRELAYS = list(Home(Path(HOME)).runtime().glob('relay-*.sock'))\n"
    (lib / "curious/__init__.py").write_text("")
    (lib / "curious/agent.py").write_text(ROLE + constants + relays)
