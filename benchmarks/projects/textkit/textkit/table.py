"""Rows as a table of fixed width."""


def table(rows, head=None, width=60):
    """``rows`` with their columns below each other; the widest column gives way."""
    everything = [head, *rows] if head else rows
    cells = [[_text(value) for value in row] for row in everything]
    widths = fit(natural_widths(cells), width)
    lines = [line for row in cells for line in _row(row, widths)]
    if head:
        lines.insert(_height(cells[0], widths), _rule(widths))
    return "\n".join(lines)


def _text(value):
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def natural_widths(cells):
    """How wide each column would like to be."""
    count = max((len(row) for row in cells), default=0)
    return [max((len(row[place]) for row in cells if place < len(row)), default=0) for place in range(count)]


def fit(widths, most, gap=2):
    """``widths``, the widest ones made smaller until all fit into ``most``."""
    widths = list(widths)
    while sum(widths) + gap * (len(widths) - 1) > most and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(row, widths):
    columns = [wrap(text, width) for text, width in zip(row, widths)]
    return [_joined(columns, widths, number) for number in range(max(map(len, columns)))]


def _joined(columns, widths, number):
    pieces = [
        (column[number] if number < len(column) else "").ljust(width)
        for column, width in zip(columns, widths)
    ]
    return "  ".join(pieces).rstrip()


def _height(row, widths):
    return max(len(wrap(text, width)) for text, width in zip(row, widths))


def _rule(widths):
    return "  ".join("-" * width for width in widths)


def wrap(text, width):
    """``text`` in lines of at most ``width`` characters."""
    lines, line = [], ""
    for word in text.split():
        for piece in _pieces(word, width):
            if line and len(line) + 1 + len(piece) > width:
                lines.append(line)
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    return [*lines, line]


def _pieces(word, width):
    return [word[start : start + width] for start in range(0, len(word), width)]
