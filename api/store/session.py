"""Connections and transactions, the same on SQLite and PostgreSQL."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.errors import Busy, Conflict
from api.store import tallies


def open_database(url: str, *, pool_size: int = 5) -> Engine:
    """An engine for `url`; SQLite in WAL mode, every writer waiting its turn up to 30 s."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(
            url,
            pool_size=pool_size,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args=connect_args(url),
        )
    engine = create_engine(url, pool_size=pool_size, connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def connect_args(url: str) -> dict[str, Any]:
    """How the driver talks to the database at `url`, so that neither waits for ever for the other.

    Whoever is cut off notices within 20 s: 10 on the old connection, 10 for a new one. The database ends
    a transaction whose client says nothing for 20 s, frozen or out of reach: others wait for what it
    locked.
    """
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        return {}
    theirs = {
        "idle_in_transaction_session_timeout": 20_000,
        "tcp_user_timeout": 10_000,
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 2,
    }
    given = place.query.get("options", "")
    options = " ".join([str(given), *(f"-c {name}={value}" for name, value in theirs.items())])
    return {
        "options": options.strip(),
        "connect_timeout": 10,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # None: the driver never begins by itself, so that `_begin_sqlite` decides.
    dbapi_connection.isolation_level = None
    dbapi_connection.execute("PRAGMA journal_mode=WAL")
    dbapi_connection.execute("PRAGMA synchronous=NORMAL")
    dbapi_connection.execute("PRAGMA foreign_keys=ON")
    dbapi_connection.execute("PRAGMA busy_timeout=30000")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that starts reading and then writes fails at once when another wrote
    # meanwhile; IMMEDIATE waits for its turn instead.
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: all of it or nothing. A database that is away raises Busy."""
    with translated(), engine.begin() as connection:
        tallies.begin(connection)
        yield connection
        tallies.write(connection)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read with; never waits for a writer.

    On PostgreSQL each statement sees what is committed by then, as it would in a transaction too, which
    costs two more ways there and back.
    """
    is_postgres = engine.dialect.name == "postgresql"
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if is_postgres else {}
    with translated(), engine.connect() as connection:
        yield connection.execution_options(writes=False, **options)


@contextmanager
def translated() -> Iterator[None]:
    """A database that is away raises Busy, a lost race Conflict, whatever the driver calls it."""
    try:
        yield
    except IntegrityError as error:
        if not _is_duplicate(error):
            raise
        message = "Another request changed the same thing in the same moment; try again."
        raise Conflict(message) from error
    except (DBAPIError, PoolTimeout) as error:
        if not _is_away(error):
            raise
        cause = getattr(error, "orig", error)
        raise Busy(f"The database cannot be reached just now, try again later: {cause}") from error


def _is_duplicate(error: IntegrityError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None) or getattr(error.orig, "sqlstate", None)
    unique = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, "23505")
    return code in unique


def _is_away(error: DBAPIError | PoolTimeout) -> bool:
    """Whether the database is; otherwise the fault is ours."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True  # it hung up, for whatever reason it gave
    # SQLite files a broken statement under the same class as a locked or full database.
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    kinds = (OperationalError, InterfaceError, PoolTimeout)
    return isinstance(error, kinds) and code != sqlite3.SQLITE_ERROR


def migrate(url: str) -> None:
    """Bring the tables to this release's shape (Alembic); safe to repeat."""
    # Here, not above: runs and inventories open the database too, and must start fast.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


@contextmanager
def alone(url: str, seconds: int = 120) -> Iterator[None]:
    """Nobody else prepares this database meanwhile, here or on another host.

    Waits for who does; raises Busy after `seconds`.
    """
    place = make_url(url)
    is_file = place.get_backend_name() == "sqlite"
    locked = _file_lock(Path(place.database or "").parent) if is_file else _advisory_lock(url)
    with locked as is_taken:
        deadline = time.monotonic() + seconds
        while not is_taken():
            if time.monotonic() > deadline:
                raise Busy(f"Another `firstbox init` of this database works since {seconds} s.")
            time.sleep(0.2)
        yield


@contextmanager
def _advisory_lock(url: str) -> Iterator[Callable[[], bool]]:
    """Takes the lock when called, and says whether it has it."""
    # Without a transaction, and without waiting in one: the job engine makes indexes CONCURRENTLY,
    # which waits for whoever has a snapshot of the database.
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    taking = text("SELECT pg_try_advisory_lock(hashtext('firstbox init'))")
    try:
        with translated(), engine.connect() as connection:
            yield lambda: bool(connection.execute(taking).scalar_one())
    finally:
        engine.dispose()


@contextmanager
def _file_lock(directory: Path) -> Iterator[Callable[[], bool]]:
    """Takes the lock when called, and says whether it has it."""
    handle = os.open(directory, os.O_RDONLY)

    def is_taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        yield is_taken
    finally:
        os.close(handle)


def check(engine: Engine) -> None:
    """Raise Busy unless the database answers."""
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))
