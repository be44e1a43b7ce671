"""The notification protocol, heard on a real socket as a service manager has it."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarmd.daemon.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0swarmd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name)
        server.setblocking(False)
        yield server


def address(server: socket.socket) -> str:
    """As $NOTIFY_SOCKET has it."""
    name = server.getsockname()
    return f"@{name[1:].decode()}" if isinstance(name, bytes) else name


def heard(server: socket.socket) -> list[str]:
    """All messages so far."""
    messages = []
    while True:
        try:
            messages.append(server.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_a_life_as_the_manager_hears_it(manager: socket.socket) -> None:
    env = {"NOTIFY_SOCKET": address(manager), "PATH": "/bin"}
    with Notifier.from_env(env) as notifier:
        notifier.waiting("no room")
        notifier.ready()
        notifier.status("5 active\nRELOADING=1")
        notifier.reloading()
        notifier.ready()
        notifier.stopping()
        notifier.alive()
    why, longer, ready, status, reloading, again, stopping = heard(manager)
    assert (why, longer) == ("STATUS=no room\n", "EXTEND_TIMEOUT_USEC=60000000\n")
    assert (ready, again, stopping) == ("READY=1\n", "READY=1\n", "STOPPING=1\n")
    assert status == "STATUS=5 active RELOADING=1\n", "a text must not become a field"
    first, second = reloading.splitlines()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    assert env == {"PATH": "/bin"}, "children must not speak for the daemon"


def test_beats_are_sent_four_times_in_the_period_however_often_the_loop_turns(
    manager: socket.socket,
) -> None:
    now = 100.0
    with Notifier(address(manager), watchdog_s=20.0, monotonic=lambda: now) as notifier:
        for step in range(41):
            now = 100.0 + step / 2
            notifier.alive()
    assert heard(manager) == ["WATCHDOG=1\n"] * 5


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "77"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_who_is_watched(more: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}
    with Notifier.from_env(env, pid=77) as notifier:
        assert notifier.watchdog_s == expected
    assert env == {}


@pytest.mark.parametrize("name", ["", "@", "relative", "vsock:2:1234", "/nowhere/at/all", "/" + "x" * 200])
def test_a_manager_that_is_not_there_is_no_reason_to_stop(name: str) -> None:
    with Notifier.from_env({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1"}) as notifier:
        said: list[Callable[[], None]] = [notifier.ready, notifier.alive, notifier.reloading]
        for word in [*said, notifier.stopping]:
            word()
        notifier.status("\ud800 odd")
    notifier.ready()  # after the end, too


def test_what_a_full_queue_refuses_goes_along_with_the_next_message(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name)
        server.setblocking(False)
        now = 0.0
        with Notifier(name, watchdog_s=4.0, monotonic=lambda: now) as notifier:
            for number in range(10_000):  # far more than a queue holds: it must not wait
                notifier.status(str(number))
            notifier.ready()
            notifier.alive()
            before = heard(server)
            assert not any("READY" in message for message in before)
            notifier.alive()  # at once: the one before was not heard
            (message,) = heard(server)
    assert message == "STATUS=9999\nREADY=1\nWATCHDOG=1\n"


def test_a_daemon_that_is_out_of_descriptors_is_still_alive(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Notifier(address(manager), watchdog_s=1.0) as notifier:

        def none_left(*_: object) -> socket.socket:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("socket.socket", none_left)
        notifier.alive()
        monkeypatch.undo()
    assert heard(manager) == ["WATCHDOG=1\n"]
