"""What one worker does at a time, for all of them."""

from sqlalchemy import Engine, update

from api.store.session import writing
from api.store.turns import TURN, end_turn, take_turn


def take(engine: Engine, name: str = "prune") -> float | None:
    with writing(engine) as connection:
        return take_turn(connection, name, 60)


def test_turn_is_one_workers_until_it_ends_it(any_engine: Engine) -> None:
    first = take(any_engine)
    meanwhile, other = take(any_engine), take(any_engine, "something else")
    assert first is not None
    with writing(any_engine) as connection:
        end_turn(connection, "prune", first)

    assert (meanwhile, other is None, take(any_engine) is None) == (None, False, False)


def test_turn_of_a_worker_that_fell_silent_is_anothers_which_it_cannot_end(
    any_engine: Engine,
) -> None:
    lost = take(any_engine)
    assert lost is not None
    with writing(any_engine) as connection:  # a minute later
        connection.execute(update(TURN).values(until=lost - 60))

    assert take(any_engine) is not None
    with writing(any_engine) as connection:
        end_turn(connection, "prune", lost)

    assert take(any_engine) is None
