"""Money and large numbers for people."""

from __future__ import annotations

__all__ = ["counted", "dollars", "percent", "span"]


def counted(number: int, noun: str) -> str:
    """``number`` and ``noun``, which is in the plural unless there is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def dollars(micro_usd: float) -> str:
    """``micro_usd`` in dollars, with as many digits as small amounts need."""
    amount = abs(micro_usd) / 1_000_000
    digits = 2 if amount >= 1 or not amount else 4 if amount >= 0.01 else 6
    text = f"{amount:,.{digits}f}"
    while amount >= 0.1 and digits > 2 and text.endswith("0"):
        text, digits = text[:-1], digits - 1
    return f"{'-' if micro_usd < 0 else ''}${text}"


def percent(part: float) -> str:
    """``part`` of 1, as per cent. Only all is "100%", and only nothing is "0%"."""
    if part in (0, 1):
        return f"{part:.0%}"
    text = f"{part:,.1%}"
    return {"100.0%": "over 99.9%", "0.0%": "under 0.1%"}.get(text, text)


def span(milliseconds: float) -> str:
    """A length of time, in the units that fit it."""
    seconds = milliseconds / 1000
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"
