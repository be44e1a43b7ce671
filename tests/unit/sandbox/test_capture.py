"""Output of any length within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmd.sandbox.capture import Capped, HeadTail

pieces = st.lists(st.binary(max_size=50), max_size=30)


@given(pieces=pieces, limit=st.integers(2, 60).map(lambda n: n * 2))
def test_head_and_tail_are_kept_and_the_gap_is_counted(pieces: list[bytes], limit: int) -> None:
    kept, whole, half = HeadTail(limit), b"".join(pieces), limit // 2
    for piece in pieces:
        kept.feed(piece)
    if len(whole) <= limit:
        assert kept.value() == whole
    else:
        gap = b"\n[... %d bytes left out ...]\n" % (len(whole) - limit)
        assert kept.value() == whole[:half] + gap + whole[-half:]


@given(pieces=pieces, limit=st.integers(0, 100))
def test_capped_keeps_the_beginning(pieces: list[bytes], limit: int) -> None:
    kept = Capped(limit)
    for piece in pieces:
        kept.feed(piece)
    assert kept.value() == b"".join(pieces)[:limit]


def test_a_flood_does_not_grow_the_memory() -> None:
    kept = HeadTail(1000)
    for _ in range(10_000):
        kept.feed(b"x" * 1000)
    assert len(kept._tail) <= 2 * 1000
    assert len(kept.value()) < 1100
