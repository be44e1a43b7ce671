import pytest
from routes.network import Network
from routes.search import describe, earliest


@pytest.fixture
def network():
    made = Network()
    made.add("A", "B", "8:00 9:00 23:30", 30)
    made.add("B", "C", "8:30 8:40 9:45", 20)
    made.add("A", "C", "8:10", 90)
    made.add("C", "D", "9:00 9:05 9:10", 75, both=True)
    return made


def times(path):
    return [(leg.start, leg.end, departure, arrival) for leg, departure, arrival in path]


def test_one_leg(network):
    assert times(earliest(network, "A", "B", "7:30")) == [("A", "B", 480, 510)]


def test_at_the_minute(network):
    assert times(earliest(network, "A", "B", "8:00")) == [("A", "B", 480, 510)]


def test_too_late_takes_the_next(network):
    assert times(earliest(network, "A", "B", "8:01")) == [("A", "B", 540, 570)]


def test_time_to_change(network):
    path = earliest(network, "A", "C", "7:00")
    assert times(path) == [("A", "B", 480, 510), ("B", "C", 520, 540)]


def test_direct_when_it_is_sooner(network):
    path = earliest(network, "A", "C", "8:05")
    assert times(path) == [("A", "C", 490, 580)]


def test_three_legs(network):
    path = earliest(network, "A", "D", "7:55")
    assert [leg.end for leg, _, _ in path] == ["B", "C", "D"]
    assert path[-1][2] == 620


def test_back(network):
    assert times(earliest(network, "D", "C", "9:01")) == [("D", "C", 545, 620)]


def test_no_way(network):
    assert earliest(network, "B", "A", "8:00") is None
    assert describe(None) == "no way"


def test_tomorrow(network):
    assert times(earliest(network, "B", "C", "10:00")) == [("B", "C", 24 * 60 + 510, 24 * 60 + 530)]


def test_stops(network):
    assert network.stops() == ["A", "B", "C", "D"]


def test_description(network):
    text = describe(earliest(network, "A", "C", "7:00"))
    assert text == "8:00 A - 8:30 B\n8:40 B - 9:00 C\n1 h, 1 change"


def test_description_of_one_ride(network):
    assert describe(earliest(network, "A", "B", "7:00")) == "8:00 A - 8:30 B\n30 min, 0 changes"


def test_description_over_midnight(network):
    text = describe(earliest(network, "A", "B", "23:00"))
    assert text == "23:30 A - 0:00 +1 B\n30 min, 0 changes"


def test_description_of_hours(network):
    text = describe(earliest(network, "C", "D", "8:00"))
    assert text == "9:00 C - 10:15 D\n1 h 15 min, 0 changes"
