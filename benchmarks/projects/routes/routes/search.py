"""The earliest arrival."""

import heapq

from routes.clock import duration, minutes, shown

CHANGE = 5


def earliest(network, start, end, leave):
    """The legs of the earliest arrival, each with its departure and arrival; None when there is none."""
    begin = minutes(leave)
    best, came = {start: begin}, {}
    queue = [(begin, start)]
    while queue:
        moment, stop = heapq.heappop(queue)
        if stop == end:
            return _path(came, start, end)
        if moment > best[stop]:
            continue
        for leg in network.legs(stop):
            ready = _ready(moment, stop, start)
            arrival = leg.arrival(ready)
            if _is_better(arrival, best.get(leg.end)):
                best[leg.end] = arrival
                came[leg.end] = (leg, leg.departure(ready), arrival)
                heapq.heappush(queue, (arrival, leg.end))
    return None


def _ready(moment, stop, start):
    return moment if stop == start else moment + CHANGE


def _is_better(arrival, known):
    return known is None or arrival < known


def _path(came, start, end):
    path = []
    while end != start:
        path.append(came[end])
        end = came[end][0].start
    return path[::-1]


def describe(path):
    """The way as text, one ride a line, then how long it takes."""
    if not path:
        return "no way"
    lines = [_ride(*step) for step in path]
    return "\n".join([*lines, f"{duration(_length(path))}, {_changes(path)}"])


def _ride(leg, departure, arrival):
    return f"{shown(departure)} {leg.start} - {shown(arrival)} {leg.end}"


def _length(path):
    return path[-1][2] - path[0][1]


def _changes(path):
    count = len(path) - 1
    return f"{count} change" + ("" if count == 1 else "s")
