"""The audit is added to, and never edited, by whoever writes to the database."""

import time

import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError

from api.store.audit import AUDIT, Asking, add_audit, find_audit, matches
from api.store.session import reading, writing

DAY = 86_400
SOMEBODY = Asking("alice", "192.0.2.1", "DeleteNodes", "r-1")


def plant(engine: Engine, age: float) -> int:
    """A row of `age` seconds ago; its number."""
    with writing(engine) as connection:
        number = add_audit(connection, SOMEBODY, "{}")
        old = {"time": time.time() - age, "ret_code": 0, "text": "", "request_id": ""}
        who = {"user_id": "bob", "address": "", "action": "Login"}
        connection.execute(insert(AUDIT).values(number=number + 1, **old, **who))
    return number + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET user_id = 'mallory'",
        "UPDATE audit SET ret_code = 0 WHERE ret_code IS NULL",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE user_id = 'alice'",
    ],
)
def test_rows_are_not_changed_and_not_removed(statement: str, any_engine: Engine) -> None:
    plant(any_engine, age=29 * DAY)
    before = everything(any_engine)

    with pytest.raises(DBAPIError, match="rows of the audit"), any_engine.begin() as connection:
        connection.execute(text(statement))

    assert everything(any_engine) == before


def test_row_is_not_replaced_by_another(any_engine: Engine) -> None:
    number = plant(any_engine, age=0)
    before = everything(any_engine)
    replace = {
        "sqlite": "INSERT OR REPLACE INTO audit (number, time, user_id, address, action, text, "
        "request_id) VALUES (:number, 0, 'mallory', '', '', '', '')",
        "postgresql": "INSERT INTO audit (number, time, user_id, address, action, text, request_id) "
        "VALUES (:number, 0, 'mallory', '', '', '', '') "
        "ON CONFLICT (number) DO UPDATE SET user_id = 'mallory'",
    }[any_engine.dialect.name]

    with pytest.raises(DBAPIError, match="rows of the audit"), any_engine.begin() as connection:
        connection.execute(text(replace), {"number": number})

    assert everything(any_engine) == before


@pytest.mark.parametrize("any_engine", ["postgresql"], indirect=True)  # SQLite knows no TRUNCATE
def test_whole_table_is_not_emptied_at_once(any_engine: Engine) -> None:
    plant(any_engine, age=31 * DAY)

    with pytest.raises(DBAPIError, match="rows of the audit"), any_engine.begin() as connection:
        connection.execute(text("TRUNCATE audit"))


def test_rows_of_thirty_days_ago_may_go(any_engine: Engine) -> None:
    number = plant(any_engine, age=31 * DAY)

    with writing(any_engine) as connection:
        connection.execute(text("DELETE FROM audit WHERE number = :number"), {"number": number})

    assert [row[0] for row in everything(any_engine)] == [number - 1]


def test_entry_shows_its_answer_and_one_that_never_came(any_engine: Engine) -> None:
    with writing(any_engine) as connection:
        first = add_audit(connection, SOMEBODY, "asked")
        add_audit(connection, SOMEBODY, "busy", ret_code=2200, answers=first)
        add_audit(connection, Asking("bob", "192.0.2.2", "AddNodes"), "cut off")

    with reading(any_engine) as connection:
        total, (newest, oldest) = find_audit(connection, limit=10)

    assert total == 2
    assert (newest.text, newest.ret_code, newest.answer_time) == ("cut off", None, None)
    assert (oldest.text, oldest.ret_code, oldest.answer_text) == ("asked", 2200, "busy")
    assert oldest.request_id == "r-1"


@pytest.mark.parametrize(
    ("conditions", "texts"),
    [
        ({}, ["c", "b", "a"]),
        ({"equal": {"user_id": "alice"}}, ["c", "a"]),
        ({"equal": {"user_id": "alice", "action": "DeleteNodes"}}, ["a"]),
        ({"ret_code": 2200}, ["a"]),
        ({"ret_code": 1200}, ["b"]),
        ({"search_word": "HELD"}, ["a"]),
        ({"since": 0.0, "until": 1.0}, []),
        ({"since": 1.0}, ["c", "b", "a"]),
    ],
)
def test_entries_are_found_by_what_is_known_of_them(
    conditions: dict[str, object], texts: list[str], any_engine: Engine
) -> None:
    with writing(any_engine) as connection:
        first = add_audit(connection, SOMEBODY, "a")
        add_audit(connection, SOMEBODY, "is held by a job", ret_code=2200, answers=first)
        add_audit(connection, Asking("", "192.0.2.2", "Login"), "b", ret_code=1200)
        add_audit(connection, Asking("alice", "192.0.2.1", "AddNodes"), "c")
    nothing = {"equal": {}, "ret_code": None, "since": None, "until": None, "search_word": None}

    with reading(any_engine) as connection:
        total, rows = find_audit(connection, matches(**(nothing | conditions)), limit=10)

    assert ([row.text for row in rows], total) == (texts, len(texts))


def everything(engine: Engine) -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        rows = connection.execute(
            text("SELECT number, user_id, ret_code FROM audit ORDER BY number")
        )
        return [tuple(row) for row in rows]
