"""Alembic's entry: our tables only; the job engine keeps its own in the same database."""

from typing import Any

from alembic import context
from sqlmodel import SQLModel

from api.store.session import open_database
from api.store.tables import TABLES


def _is_ours(thing: Any, name: str | None, kind: str, *_rest: Any) -> bool:
    if kind == "index":
        return bool(thing.info.get("only", engine.dialect.name) == engine.dialect.name)
    return kind != "table" or name in TABLES


engine = open_database(context.config.attributes["url"])
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
