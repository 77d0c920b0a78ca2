"""How fast addresses are asked."""

from api.bmc import pace
from api.bmc.neighbours import DEFAULT, neighbour_limit
from api.bmc.pace import InFlight, Rate


def test_only_so_many_are_open_at_a_time() -> None:
    flight = InFlight(2, seconds=3)
    flight.asked(1, now=10.0)
    flight.asked(2, now=11.0)

    assert flight.wait(12.0) == 1.0
    assert flight.wait(13.0) == 0.0  # the first has had its time
    flight.asked(3, now=13.0)
    assert flight.wait(13.5) == 0.5


def test_whoever_answers_makes_room() -> None:
    flight = InFlight(2, seconds=3)
    flight.asked(1, now=10.0)
    flight.asked(2, now=10.0)

    flight.ended(2)
    flight.ended(7)  # was never open

    assert flight.wait(10.0) == 0.0


def test_asked_again_is_open_once_and_from_then_on() -> None:
    flight = InFlight(2, seconds=3)
    flight.asked(1, now=10.0)
    flight.asked(1, now=12.0)
    assert flight.wait(12.0) == 0.0
    flight.asked(2, now=12.5)

    assert flight.wait(13.0) == 2.0


def test_a_rate_is_kept_over_time_with_small_bursts() -> None:
    rate, now, asked = Rate(100, burst=5), 0.0, 0
    while now < 10:
        if seconds := rate.wait(now):
            now += seconds
        else:
            rate.asked(now)
            asked += 1

    assert 990 <= asked <= 1010


def test_after_a_pause_there_is_no_flood() -> None:
    rate = Rate(100, burst=5)
    rate.asked(0.0)
    burst = 0
    while not rate.wait(60.0):
        rate.asked(60.0)
        burst += 1

    assert burst <= 6


def test_larger_limits_let_more_be_asked() -> None:
    assert pace.open_questions(2 * 212_992) == 236
    assert pace.open_questions(64 * 2**20) > 30_000
    assert 1 <= pace.open_neighbours(4) <= neighbour_limit(4) / 2


def test_the_neighbour_table_tells_its_limit() -> None:
    for version in (4, 6):
        assert neighbour_limit(version) >= DEFAULT / 8


def test_the_log_says_what_to_raise_when_neighbours_are_asked_slowly() -> None:
    assert pace.sentence(512, 512, 512) == ""
    assert pace.sentence(65_534, pace.MOST, pace.MOST) == ""  # faster we never are
    assert "set net.ipv4.neigh.default.gc_thresh3" in pace.sentence(4094, 512, 512)
    assert "4094 of the addresses" in pace.sentence(4094, 512, 512)
    assert "set net.core.wmem_max to 7369200" in pace.sentence(4094, 236, 512)
