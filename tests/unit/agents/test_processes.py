"""Signals reach the process that is meant, and no other that has its number."""

from __future__ import annotations

import os

from swarmd.agents import processes


def test_a_process_is_named_by_its_pid_and_start() -> None:
    own = os.getpid()
    start = processes.process_start(own)
    assert processes.send_signal(own, start, None, 0)
    assert not processes.send_signal(own, start + 1, None, 0)


def test_a_handle_means_one_process(tmp_path: object) -> None:
    fd = processes.pidfd(os.getpid())
    if fd is None:
        return
    try:
        assert processes.send_signal(os.getpid(), 0, fd, 0)
    finally:
        os.close(fd)
    assert not processes.send_signal(os.getpid(), 0, fd, 0)


def test_of_a_process_that_is_not_there_nothing_is_known() -> None:
    assert processes.children(2**22 + 1) == []
    assert not processes.send_signal(2**22 + 1, 0, None, 0)
