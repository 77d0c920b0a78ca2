"""Queries that take away what is old, a small portion a call, so that nobody waits long for them.

What is to go is looked for while reading; only its rows are deleted under the lock, by their keys. Each
function returns how many rows went; 0 means that nothing is left to do. `before` is in seconds since
1970, `most` the rows of a portion.
"""

from sqlalchemy import Column, Engine, Row, Table, delete, insert, select, update

from api.store.boots import BOOT
from api.store.jobs import JOB, JOB_NODE, JOB_STEP, LOG_LINE, SLICE
from api.store.now import now
from api.store.scans import SCAN_RESULT
from api.store.session import reading, writing
from api.store.tables import Audit, Delivery, columns

AUDIT = columns(Audit)
DELIVERY = columns(Delivery)
# What a job says of itself at length, and by what its rows are told apart within the job.
_DETAILS = (LOG_LINE.c.number, SCAN_RESULT.c.address, BOOT.c.boot_id)
_REST = (JOB_NODE.c.node_id, JOB_STEP.c.slice_index, SLICE.c.slice_index)


def prune_details(engine: Engine, before: float, text: str, most: int) -> int:
    """Take from a job that ended before then its log, what its scan found and its boots.

    `text` is the line that stays in place of the log.
    """
    job = _oldest(engine, before, has_log=True)
    if job is None:
        return 0
    for key in _DETAILS:
        if gone := _take(engine, key, job.job_id, most):
            return gone
    line = {"job_id": job.job_id, "number": 1, "job_status": job.status, "is_failure": False}
    with writing(engine) as connection:
        connection.execute(insert(LOG_LINE).values(**line, time=now(connection), text=text))
        connection.execute(update(JOB).where(JOB.c.job_id == job.job_id).values(has_log=False))
    return 1


def prune_job(engine: Engine, before: float, most: int) -> int:
    """Take a job that ended before then, whose details went already."""
    job = _oldest(engine, before, has_log=False)
    if job is None:
        return 0
    for key in _REST:
        if gone := _take(engine, key, job.job_id, most):
            return gone
    with writing(engine) as connection:
        return connection.execute(delete(JOB).where(JOB.c.job_id == job.job_id)).rowcount


def prune_audit(engine: Engine, before: float, most: int) -> int:
    """Take rows of the audit; the database refuses those of the last 30 days."""
    return _take_old(engine, AUDIT.c.number, AUDIT.c.time, before, most)


def prune_deliveries(engine: Engine, before: float, most: int) -> int:
    """Take what was told to webhooks, or was given up, before then."""
    return _take_old(engine, DELIVERY.c.number, DELIVERY.c.finish_time, before, most)


def _oldest(engine: Engine, before: float, *, has_log: bool) -> Row[tuple[str, str]] | None:
    query = select(JOB.c.job_id, JOB.c.status).where(
        JOB.c.has_log.is_(has_log), JOB.c.finish_time < before
    )
    with reading(engine) as connection:
        return connection.execute(query.order_by(JOB.c.finish_time).limit(1)).one_or_none()


def _take(engine: Engine, key: Column[str], job_id: str, most: int) -> int:
    """Delete a portion of a job's rows in the table of `key`."""
    part: Table = key.table
    with reading(engine) as connection:
        query = select(key).where(part.c.job_id == job_id).distinct().limit(most)
        keys = connection.execute(query).scalars().all()
    if not keys:
        return 0
    with writing(engine) as connection:
        gone = delete(part).where(part.c.job_id == job_id, key.in_(keys))
        return connection.execute(gone).rowcount


def _take_old(
    engine: Engine, key: Column[int], time: Column[float], before: float, most: int
) -> int:
    with reading(engine) as connection:
        query = select(key).where(time < before).order_by(time).limit(most)
        keys = connection.execute(query).scalars().all()
    if not keys:
        return 0
    with writing(engine) as connection:
        return connection.execute(delete(key.table).where(key.in_(keys))).rowcount
