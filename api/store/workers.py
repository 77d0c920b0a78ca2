"""Which workers there are: each says now and then that it lives."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from api.store.now import now
from api.store.tables import Worker, columns

WORKER = columns(Worker)
_FORGOTTEN = 10  # leases after which nothing is left of a worker that fell silent


def beat(
    connection: Connection,
    worker_id: str,
    *,
    zones: Sequence[str],
    concurrency: int,
    lease: float,
) -> None:
    """Say that this worker lives; forget those that did not say so for ten leases (seconds)."""
    moment = now(connection)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(WORKER).values(
        worker_id=worker_id, zones=list(zones), concurrency=concurrency, beat_time=moment
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[WORKER.c.worker_id], set_={"beat_time": moment}
        )
    )
    connection.execute(delete(WORKER).where(WORKER.c.beat_time < moment - _FORGOTTEN * lease))


def leave(connection: Connection, worker_id: str) -> None:
    """Say that this worker ended."""
    connection.execute(delete(WORKER).where(WORKER.c.worker_id == worker_id))


def alive(connection: Connection, lease: float) -> Sequence[Row[Any]]:
    """Workers that were heard of within `lease` seconds; `zones` [] means every zone."""
    query = select(WORKER).where(WORKER.c.beat_time >= now(connection) - lease)
    return connection.execute(query.order_by(WORKER.c.worker_id)).all()
