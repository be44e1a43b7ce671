"""Lines between stops."""

from routes.clock import minutes, next_after


class Leg:
    """One ride from stop to stop."""

    def __init__(self, start, end, times, ride):
        self.start = start
        self.end = end
        self.times = times
        self.ride = ride

    def departure(self, moment):
        """When it leaves next, with a minute to change."""
        return next_after(moment, self.times)

    def arrival(self, moment):
        """When one arrives who waits from ``moment``."""
        return self.departure(moment) + self.ride


class Network:
    """All legs, by where they start."""

    def __init__(self):
        self._legs = {}

    def add(self, start, end, times, ride, both=False):
        """A leg with departures like "8:00 9:30", and the one back."""
        moments = [minutes(text) for text in times.split()]
        self._legs.setdefault(start, []).append(Leg(start, end, moments, ride))
        if both:
            self._legs.setdefault(end, []).append(Leg(end, start, moments, ride))

    def legs(self, stop):
        """The legs that start at ``stop``."""
        return self._legs.get(stop, [])

    def stops(self):
        """All stops in order."""
        ends = {leg.end for legs in self._legs.values() for leg in legs}
        return sorted(ends | set(self._legs))
