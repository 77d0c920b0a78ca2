"""A service starts where its tables are, and says what to do where they are not."""

import pytest
from sqlalchemy import Engine, text

from api.errors import Conflict
from api.store.release import check_release
from api.store.session import open_database, writing


def set_revision(engine: Engine, revision: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def test_tables_of_this_release_and_of_a_newer_one_will_do(any_engine: Engine) -> None:
    assert check_release(any_engine)

    set_revision(any_engine, "9999")

    assert not check_release(any_engine)


def test_tables_of_an_older_release_will_not_do(any_engine: Engine) -> None:
    set_revision(any_engine, "0001")

    with pytest.raises(Conflict, match=r"older release \(0001\).*firstbox init"):
        check_release(any_engine)


def test_no_tables_will_not_do() -> None:
    with pytest.raises(Conflict, match=r"no tables.*firstbox init"):
        check_release(open_database("sqlite://"))
