"""Alembic's entry: our tables only; the job engine keeps its own in the same database."""

from typing import Any

from alembic import context
from sqlalchemy import event
from sqlmodel import SQLModel

from api.store.session import open_database
from api.store.tables import TABLES


def _is_ours(thing: Any, name: str | None, kind: str, *_rest: Any) -> bool:
    if kind == "index":
        return bool(thing.info.get("only", engine.dialect.name) == engine.dialect.name)
    return kind != "table" or name in TABLES


def _let_tables_be_replaced(dbapi_connection: Any, _record: Any) -> None:
    # SQLite changes a table by making another in its place. With foreign keys on, the end of the old
    # one would take along every row that belongs to its rows.
    dbapi_connection.execute("PRAGMA foreign_keys=OFF")


engine = open_database(context.config.attributes["url"])
if engine.dialect.name == "sqlite":
    event.listen(engine, "connect", _let_tables_be_replaced)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        include_object=_is_ours,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
