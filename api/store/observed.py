"""How much there is of what, now: a constant number of queries, each answered by an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, func, select

from api.states import BootState, DeliveryStatus, WorkStatus
from api.store.jobs import JOB, SLICE
from api.store.now import now
from api.store.tables import BmNode, Boot, Delivery, Node, columns
from api.store.tallies import Total, totals
from api.store.workers import alive

_BOOT = columns(Boot)
_DELIVERY = columns(Delivery)
_UNFINISHED = (WorkStatus.WAITING, WorkStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the database says at one moment."""

    now: float  # by the database's clock
    jobs: Sequence[Row[Any]]  # unfinished: action, status, zone_id, number
    # Unfinished: zone_id, status, is_held (outside of the queue), number, oldest (when its job was made).
    slices: Sequence[Row[Any]]
    workers: Sequence[Row[Any]]  # see `api.store.workers.alive`
    nodes: dict[str, int]  # by status
    bm_nodes: dict[str, int]  # by status
    boots: dict[str, int]  # by state, without the closed ones
    deliveries: int  # to webhooks, that wait
    oldest_delivery: float  # when the first of them was made; now, where none waits
    totals: Sequence[Total]


def observe(connection: Connection, lease: float) -> Observed:
    """Look at everything that `/metrics` shows."""
    boots = select(_BOOT.c.state, func.count()).where(_BOOT.c.state != BootState.CLOSED)
    waiting = select(func.count(), func.min(_DELIVERY.c.create_time))
    is_waiting = _DELIVERY.c.status == DeliveryStatus.WAITING
    deliveries, oldest = connection.execute(waiting.where(is_waiting)).one()
    moment = now(connection)
    return Observed(
        now=moment,
        jobs=_jobs(connection),
        slices=_slices(connection),
        workers=alive(connection, lease),
        nodes=_count(connection, columns(Node).c.status),
        bm_nodes=_count(connection, columns(BmNode).c.status),
        boots=_dict(connection, boots.group_by(_BOOT.c.state)),
        deliveries=deliveries,
        oldest_delivery=oldest or moment,
        totals=totals(connection),
    )


def _jobs(connection: Connection) -> Sequence[Row[Any]]:
    keys = (JOB.c.action, JOB.c.status, SLICE.c.zone_id)
    query = select(*keys, func.count(JOB.c.job_id.distinct()).label("number"))
    query = query.join_from(SLICE, JOB, JOB.c.job_id == SLICE.c.job_id)
    return connection.execute(query.where(SLICE.c.status.in_(_UNFINISHED)).group_by(*keys)).all()


def _slices(connection: Connection) -> Sequence[Row[Any]]:
    keys = (SLICE.c.zone_id, SLICE.c.status, SLICE.c.enqueue_time.is_(None).label("is_held"))
    oldest = func.min(JOB.c.create_time).label("oldest")
    query = select(*keys, func.count().label("number"), oldest)
    query = query.join_from(SLICE, JOB, JOB.c.job_id == SLICE.c.job_id)
    return connection.execute(query.where(SLICE.c.status.in_(_UNFINISHED)).group_by(*keys)).all()


def _count(connection: Connection, status: Column[str]) -> dict[str, int]:
    return _dict(connection, select(status, func.count()).group_by(status))


def _dict(connection: Connection, query: Any) -> dict[str, int]:
    return {name: number for name, number in connection.execute(query)}  # noqa: C416  # rows are no pairs to mypy
