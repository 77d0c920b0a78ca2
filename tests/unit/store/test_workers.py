"""Which workers are alive, by the database's clock on both databases."""

from sqlalchemy import Connection, Engine, update

from api.store.session import reading, writing
from api.store.workers import WORKER, alive, beat, leave


def say(engine: Engine, worker_id: str, *zones: str) -> None:
    with writing(engine) as connection:
        beat(connection, worker_id, zones=zones, concurrency=2, lease=30)


def silent(connection: Connection, worker_id: str, seconds: float) -> None:
    """As if it had said nothing for so long."""
    is_it = WORKER.c.worker_id == worker_id
    earlier = WORKER.c.beat_time - seconds
    connection.execute(update(WORKER).where(is_it).values(beat_time=earlier))


def living(engine: Engine) -> dict[str, list[str]]:
    with reading(engine) as connection:
        return {row.worker_id: row.zones for row in alive(connection, 30)}


def test_worker_lives_until_a_lease_after_its_last_word(any_engine: Engine) -> None:
    say(any_engine, "w1", "z1", "z2")
    say(any_engine, "w2")
    with writing(any_engine) as connection:
        silent(connection, "w2", 31)
    assert living(any_engine) == {"w1": ["z1", "z2"]}

    say(any_engine, "w2")
    assert living(any_engine) == {"w1": ["z1", "z2"], "w2": []}


def test_worker_that_leaves_is_gone_at_once(any_engine: Engine) -> None:
    say(any_engine, "w1")
    with writing(any_engine) as connection:
        leave(connection, "w1")

    assert living(any_engine) == {}


def test_worker_that_is_silent_for_long_is_forgotten(any_engine: Engine) -> None:
    say(any_engine, "w1")
    with writing(any_engine) as connection:
        silent(connection, "w1", 301)
    say(any_engine, "w2")

    with reading(any_engine) as connection:
        assert [row.worker_id for row in alive(connection, 1000)] == ["w2"]
