"""Connections to a database that goes away, or whose other clients do."""

import time

import pytest
from sqlalchemy import text

from api.errors import Busy
from api.store.session import connect_args, open_database, reading, writing


def test_a_client_that_falls_silent_in_a_transaction_loses_its_locks(postgres_url: str) -> None:
    frozen, other = open_database(postgres_url), open_database(postgres_url)
    with writing(frozen) as connection:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
        connection.execute(text("CREATE TABLE thing (id int)"))
        connection.execute(text("INSERT INTO thing VALUES (1)"))
    assert shown == "20s"

    with pytest.raises(Busy), writing(frozen) as connection:  # noqa: PT012
        connection.execute(text("SET idle_in_transaction_session_timeout = '200ms'"))
        connection.execute(text("UPDATE thing SET id = 2"))
        begin = time.monotonic()
        with writing(other) as second:
            second.execute(text("UPDATE thing SET id = 3"))
        assert time.monotonic() - begin < 5
        connection.execute(text("SELECT 1"))

    with reading(frozen) as connection:
        assert connection.execute(text("SELECT id FROM thing")).scalar_one() == 3
    frozen.dispose()
    other.dispose()


def test_reading_opens_no_transaction_and_the_next_to_write_has_one(postgres_url: str) -> None:
    engine = open_database(postgres_url, pool_size=1)
    began = text("SELECT transaction_timestamp()")

    with reading(engine) as connection:
        apart = [connection.execute(began).scalar_one() for _ in range(2)]
    with writing(engine) as connection:
        together = [connection.execute(began).scalar_one() for _ in range(2)]

    assert apart[0] < apart[1]
    assert together[0] == together[1]
    engine.dispose()


def test_options_of_the_operators_own_are_kept() -> None:
    url = "postgresql+psycopg://firstbox@db/firstbox?options=-c%20search_path%3Dours"
    assert connect_args(url)["options"].startswith("-c search_path=ours -c idle_in_transaction")
    assert connect_args("sqlite:///firstbox.db") == {}
