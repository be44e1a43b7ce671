"""Amounts of money in cents."""


def parse_cents(text):
    """ "12.5" -> 1250."""
    sign, digits = _split_sign(text.strip())
    whole, _, fraction = digits.partition(".")
    return sign * (int(_without_separators(whole) or "0") * 100 + _fraction(fraction))


def _split_sign(text):
    if text.startswith("-"):
        return -1, text[1:]
    return 1, text.removeprefix("+")


def _without_separators(text):
    return text.replace(",", "").replace(" ", "")


def _fraction(text):
    padded = (text + "00")[:2]
    value = int(padded)
    if len(text) > 2 and int(text[2]) >= 5:
        value = value + 1
    return value


def format_cents(cents):
    """1250 -> "12.50"."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{_grouped(whole)}.{rest:02d}"


def _grouped(number):
    groups = []
    while number >= 1000:
        number, rest = divmod(number, 1000)
        groups.append(f"{rest:03d}")
    return ",".join([str(number), *reversed(groups)])


def share(cents, part, whole):
    """``cents`` times ``part`` over ``whole``, rounded half up."""
    return (cents * part * 2 + whole) // (whole * 2)
