"""Counters that hold for all processes, on both databases."""

import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

from api.store.session import reading, writing
from api.store.tallies import Total, add, observe, totals


def counted(engine: Engine) -> list[Total]:
    with reading(engine) as connection:
        return totals(connection)


def test_what_happens_again_is_added_up(any_engine: Engine) -> None:
    for _ in range(2):
        with writing(any_engine) as connection:
            add(connection, "ends", {"zone": "z1", "action": "A"})
            add(connection, "ends", {"action": "A", "zone": "z1"}, 2)
            add(connection, "ends", {"action": "B", "zone": "z1"})

    assert counted(any_engine) == [
        Total("ends", {"action": "A", "zone": "z1"}, 6),
        Total("ends", {"action": "B", "zone": "z1"}, 2),
    ]


def test_what_is_undone_does_not_count(any_engine: Engine) -> None:
    def count_and_fail() -> None:
        with writing(any_engine) as connection:
            add(connection, "ends", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        count_and_fail()
    with writing(any_engine) as connection:
        add(connection, "others", {})

    assert [total.name for total in counted(any_engine)] == ["others"]


def test_a_duration_counts_below_the_next_bound(any_engine: Engine) -> None:
    with writing(any_engine) as connection:
        for seconds in (0.4, 59.0, 60.0, 100_000.0):
            observe(connection, "took", {"step": "s"}, seconds)

    assert counted(any_engine) == [
        Total("took", {"le": "+Inf", "step": "s"}, 1),
        Total("took", {"le": "0.5", "step": "s"}, 1),
        Total("took", {"le": "60", "step": "s"}, 2),
        Total("took_sum", {"step": "s"}, 100_119.4),
    ]


def test_those_who_count_crosswise_neither_fail_nor_lose(any_engine: Engine) -> None:
    def count(names: Sequence[str]) -> None:
        for _ in range(20):
            with writing(any_engine) as connection:
                for name in names:
                    add(connection, name, {})

    orders = [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]]
    threads = [threading.Thread(target=count, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert counted(any_engine) == [Total(name, {}, 60) for name in ("a", "b", "c")]
