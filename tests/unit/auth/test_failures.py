from api.auth import failures
from api.auth.failures import Failures
from tests.fakes import Clock


def test_the_first_five_failures_cost_nothing_and_then_waits_grow() -> None:
    known = Failures(Clock(0))
    delays = []
    for _ in range(12):
        delays.append(known.delay("bob", "192.0.2.1"))
        known.add("bob", "192.0.2.1")

    assert delays == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]


def test_a_success_starts_from_zero() -> None:
    known = Failures(Clock(0))
    for _ in range(9):
        known.add("bob", "192.0.2.1")

    known.clear("bob", "192.0.2.1")

    assert known.delay("bob", "192.0.2.1") == 0


def test_others_do_not_wait() -> None:
    known = Failures(Clock(0))
    for _ in range(9):
        known.add("bob", "192.0.2.1")

    assert known.delay("bob", "192.0.2.2") == 0
    assert known.delay("eve", "192.0.2.1") == 0


def test_failures_are_forgotten_after_a_quarter_of_an_hour() -> None:
    clock = Clock(0)
    known = Failures(clock)
    for _ in range(9):
        known.add("bob", "192.0.2.1")
    clock.now = 901

    assert known.delay("bob", "192.0.2.1") == 0


def test_memory_is_bounded() -> None:
    known = Failures(Clock(0))
    for number in range(failures._MOST + 100):
        known.add(f"u{number}", "192.0.2.1")
        known.is_worth_a_row(f"u{number}", "192.0.2.1")

    assert len(known._streaks) == failures._MOST
    assert len(known._rows) <= failures._MOST


def test_one_audit_row_a_second_for_a_user_and_address() -> None:
    clock = Clock(0)
    known = Failures(clock)
    rows = 0
    for _ in range(100):
        rows += known.is_worth_a_row("bob", "192.0.2.1")
        clock.now += 0.1

    assert 9 <= rows <= 11


def test_made_up_user_ids_do_not_buy_audit_rows() -> None:
    known = Failures(Clock(0))

    assert sum(known.is_worth_a_row(f"u{number}", "192.0.2.1") for number in range(100)) == 1
