"""Moments of a day in minutes."""


def minutes(text):
    """ "1:05" -> 65."""
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def shown(moment):
    """65 -> "1:05", the next day after midnight."""
    days, rest = divmod(moment, 24 * 60)
    text = f"{rest // 60}:{rest % 60:02d}"
    return f"{text} +{days}" if days else text


def next_after(moment, times):
    """The first of ``times`` (minutes of a day) at or after ``moment``, maybe tomorrow."""
    day, rest = divmod(moment, 24 * 60)
    later = [time for time in times if time >= rest]
    if later:
        return day * 24 * 60 + min(later)
    return (day + 1) * 24 * 60 + min(times)


def duration(amount):
    """90 -> "1 h 30 min"."""
    hours, rest = divmod(amount, 60)
    parts = [f"{hours} h"] if hours else []
    if rest or not hours:
        parts.append(f"{rest} min")
    return " ".join(parts)
