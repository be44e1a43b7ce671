"""The channel keeps frames whole, loses no descriptor, and survives a hostile other end."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.bus.channel import MAX_FDS, MAX_FRAME, AsyncChannel, Channel, ChannelClosedError, pair
from swarmd.errors import AgentError

BIG = {"text": "x" * (MAX_FRAME - 100)}


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    before = open_fds()
    left, right = (Channel(sock) for sock in pair())
    yield left, right
    left.close()
    right.close()
    assert open_fds() == before, "a descriptor was leaked"


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def frame(body: bytes, nfds: int = 0) -> bytes:
    return struct.pack("!IB", len(body), nfds) + body


def receive(channel: Channel) -> tuple[dict[str, Any], list[int]]:
    received = channel.receive(timeout=5)
    assert received is not None
    return received


def in_background(function: Any, *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    for number in range(100):
        left.send({"n": number, "text": "ä\n\0"})
    assert [receive(right)[0]["n"] for _ in range(100)] == list(range(100))
    assert right.receive(timeout=0) is None


def test_a_frame_larger_than_the_socket_buffer_passes(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    sender = in_background(left.send, BIG)
    assert receive(right) == (BIG, [])
    sender.join(5)


def test_a_message_over_the_limit_is_refused_before_a_byte_is_sent(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    with pytest.raises(AgentError, match="over the limit") as caught:
        left.send({"text": "x" * MAX_FRAME})
    assert not isinstance(caught.value, ChannelClosedError)
    left.send({"after": 1})
    assert receive(right)[0] == {"after": 1}


def test_descriptors_stay_with_their_frame(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    left, right = ends
    counts = [0, 1, 3, 0, MAX_FDS, 2, 0]
    for number, count in enumerate(counts):
        files = []
        for part in range(count):
            path = tmp_path / f"{number}-{part}"
            path.write_text(path.name)
            files.append(os.open(path, os.O_RDONLY))
        left.send({"n": number}, files)
        for fd in files:
            os.close(fd)
    for number, count in enumerate(counts):
        message, fds = receive(right)
        assert message == {"n": number}
        assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in fds)
        assert [os.read(fd, 99).decode() for fd in fds] == [f"{number}-{part}" for part in range(count)]
        for fd in fds:
            os.close(fd)


def test_descriptors_behind_a_large_frame_with_descriptors(ends: tuple[Channel, Channel]) -> None:
    """The end of one frame and the files of the next may come in one read."""
    left, right = ends
    fds = [0] * MAX_FDS

    def send() -> None:
        for _ in range(4):
            left.send({"text": "x" * 300_000}, fds)

    sender = in_background(send)
    for _ in range(4):
        message, received = receive(right)
        assert (len(message["text"]), len(received)) == (300_000, MAX_FDS)
        for fd in received:
            os.close(fd)
    sender.join(5)


def test_untaken_descriptors_are_closed(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    for _ in range(3):
        left.send({}, [0, 1])
    for fd in receive(right)[1]:
        os.close(fd)
    # The fixture counts what is left once both ends are closed.


def test_what_was_sent_before_the_end_is_still_received(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    right.send({"unread": True})
    left.send({"last": 1})
    left.send({"last": 2})
    left.close()
    assert [receive(right)[0], receive(right)[0]] == [{"last": 1}, {"last": 2}]
    for _ in range(2):
        with pytest.raises(ChannelClosedError) as caught:
            right.receive(timeout=5)
        assert caught.value.code == "E-CHANNEL"
    with pytest.raises(ChannelClosedError):
        right.send({"late": True})


@pytest.mark.parametrize("step", [1, 2, 7])
def test_frames_cut_anywhere(ends: tuple[Channel, Channel], step: int) -> None:
    sock, other = pair()
    channel = Channel(other)
    raw = frame(b'{"a":1}') + frame(b"{}") + frame(b'{"b":"' + b"y" * 300 + b'"}')
    received = []
    for start in range(0, len(raw), step):
        sock.send(raw[start : start + step])
        if got := channel.receive(timeout=0):
            received.append(got[0])
    assert received == [{"a": 1}, {}, {"b": "y" * 300}]
    sock.close()
    channel.close()


@pytest.mark.parametrize(
    "raw",
    [
        frame(b"[1]"),
        frame(b"not json"),
        frame(b"[" * 100_000),
        frame(b'{"a":1}', nfds=1),
        struct.pack("!IB", MAX_FRAME + 1, 0),
        b"\xff" * 64,
        b"\x00\x00",
        frame(b'{"a":1}')[:-1],
    ],
    ids=["array", "text", "nested", "no-files", "too-long", "noise", "half-header", "half-body"],
)
def test_a_broken_protocol_ends_the_channel_after_the_good_frames(
    ends: tuple[Channel, Channel], raw: bytes
) -> None:
    sock, other = pair()
    channel = Channel(other)
    in_background(lambda: (sock.sendall(frame(b'{"good":1}') + raw), sock.close())).join(5)
    assert receive(channel)[0] == {"good": 1}
    for _ in range(2):
        with pytest.raises(ChannelClosedError):
            channel.receive(timeout=5)
    channel.close()


@pytest.mark.parametrize(("sent", "claimed", "welcome"), [(MAX_FDS + 20, 0, MAX_FDS), (1, 1, 0), (1, 0, 0)])
def test_unwelcome_descriptors_end_the_channel_and_are_closed(
    ends: tuple[Channel, Channel], sent: int, claimed: int, welcome: int
) -> None:
    sock, other = pair()
    channel = Channel(other, max_fds=welcome)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * sent))]
    sock.sendmsg([frame(b"{}", nfds=claimed)], rights)
    with pytest.raises(ChannelClosedError, match=r"more files|wrong header"):
        assert receive(channel) == receive(channel)
    sock.close()
    channel.close()


def test_a_signal_does_not_cut_a_wait_or_a_frame(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    hits: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: hits.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        sender = in_background(left.send, BIG)
        assert receive(right)[0] == BIG
        assert right.receive(timeout=0.03) is None
        sender.join(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits


def test_threads_may_send_together(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    text = "z" * 200_000
    threads = [
        in_background(lambda n=n: [left.send({"n": n, "text": text}) for _ in range(5)]) for n in range(4)
    ]
    numbers = []
    for _ in range(20):
        message, _ = receive(right)
        assert message["text"] == text
        numbers.append(message["n"])
    assert sorted(numbers) == sorted(list(range(4)) * 5)
    for thread in threads:
        thread.join(5)


# --- asyncio ---------------------------------------------------------------------------------------


async def both() -> tuple[AsyncChannel, AsyncChannel]:
    left, right = pair()
    return AsyncChannel(left), AsyncChannel(right)


def test_async_frames_and_descriptors_both_ways() -> None:
    async def scenario() -> None:
        left, right = await both()
        sending = [
            asyncio.create_task(left.send({"n": n, "text": "x" * 50_000}, [0] * (n % 3))) for n in range(60)
        ]
        echo = asyncio.create_task(right.send({"back": 1}))
        for number in range(60):
            message, fds = await right.receive()
            assert (message["n"], len(fds)) == (number, number % 3)
            for fd in fds:
                os.close(fd)
        await asyncio.gather(*sending, echo)
        assert (await left.receive())[0] == {"back": 1}
        left.close()
        right.close()

    before = open_fds()
    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert open_fds() == before


def test_a_peer_that_does_not_read_blocks_only_its_sender() -> None:
    async def scenario() -> None:
        left, other = pair()
        slow = AsyncChannel(left)
        sending = asyncio.create_task(slow.send(BIG))
        alive, echo = await both()
        for number in range(50):
            await alive.send({"n": number})
            assert (await echo.receive())[0] == {"n": number}
        assert not sending.done()
        reader = Channel(other)
        assert (await asyncio.to_thread(receive, reader))[0] == BIG
        await sending
        for channel in (slow, alive, echo, reader):
            channel.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))


@pytest.mark.parametrize("victim", [0, 1])
def test_a_cancelled_send_never_cuts_a_frame(victim: int) -> None:
    """The first frame has begun and must be completed; the second has not and must vanish."""

    async def scenario() -> list[object]:
        left, other = pair()
        channel = AsyncChannel(left)
        tasks = [asyncio.create_task(channel.send({**BIG, "n": n}, [0])) for n in range(3)]
        await asyncio.sleep(0)
        tasks[victim].cancel()
        await asyncio.sleep(0)
        reader = Channel(other)
        got: list[object] = []
        for _ in range(3 if victim == 0 else 2):
            message, fds = await asyncio.to_thread(receive, reader)
            assert len(fds) == 1
            os.close(fds[0])
            got.append(message["n"])
        await asyncio.gather(*tasks, return_exceptions=True)
        channel.close()
        with pytest.raises(ChannelClosedError):
            reader.receive(timeout=5)
        reader.close()
        return got

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == ([0, 1, 2] if victim == 0 else [0, 2])


def test_a_cancelled_receive_loses_no_message() -> None:
    async def scenario() -> None:
        left, right = await both()
        got = []
        for number in range(20):
            waiting = asyncio.create_task(right.receive())
            await asyncio.sleep(0)
            await left.send({"n": number})
            waiting.cancel()
            [result] = await asyncio.gather(waiting, return_exceptions=True)
            if not isinstance(result, BaseException):
                got.append(result[0]["n"])
        while len(got) < 20:
            got.append((await right.receive())[0]["n"])
        assert got == list(range(20))
        left.close()
        right.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_flood_is_read_only_a_little_ahead() -> None:
    async def scenario() -> int:
        left, other = pair()
        channel = AsyncChannel(left)
        other.setblocking(False)
        sent = 0
        raw = frame(b'{"text":"' + b"x" * 20_000 + b'"}')
        for _ in range(2000):
            try:
                assert other.send(raw) == len(raw)
                sent += 1
            except (BlockingIOError, AssertionError):
                pass
            await asyncio.sleep(0)
        channel.close()
        other.close()
        return sent

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) < 200


def test_the_dead_end_is_told_to_senders_and_receivers_and_its_last_words_count() -> None:
    async def scenario() -> None:
        left, other = pair()
        channel = AsyncChannel(left)
        other.sendall(frame(b'{"last":1}'))
        other.close()
        with pytest.raises(ChannelClosedError):
            await channel.send(BIG)
        assert (await channel.receive())[0] == {"last": 1}
        for _ in range(2):
            with pytest.raises(ChannelClosedError):
                await channel.receive()
        channel.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_closing_wakes_those_who_wait() -> None:
    async def scenario() -> None:
        left, other = pair()
        channel = AsyncChannel(left)
        waiting = [asyncio.create_task(channel.receive()), asyncio.create_task(channel.send(BIG))]
        await asyncio.sleep(0)
        channel.close()
        channel.close()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, ChannelClosedError)
        with pytest.raises(ChannelClosedError):
            await channel.send({})
        other.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_what_is_posted_arrives_in_order_with_what_is_sent_and_a_dead_peer_is_no_error() -> None:
    async def scenario() -> None:
        left, right = await both()
        left.post({"n": 0})
        await left.send({"n": 1})
        left.post({"n": 2, "text": "x" * 3_000_000})  # more than fits: the rest follows by itself
        sending = asyncio.create_task(left.send({"n": 3}))
        assert [(await right.receive())[0]["n"] for _ in range(4)] == [0, 1, 2, 3]
        await sending
        right.close()
        for _ in range(3):
            left.post({"late": True})
        with pytest.raises(ChannelClosedError):
            await left.send({"late": True})
        left.close()
        left.post({"later": True})

    before = open_fds()
    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert open_fds() == before
