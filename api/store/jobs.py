"""Queries about jobs. What a run writes is guarded by (job, attempt, worker)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.errors import Conflict
from api.states import FINISHED, STEPS, JobAction, JobStatus, WorkStatus, step_status
from api.store.ids import chunks, new_id
from api.store.tables import Job, JobNode, JobStep, LogLine, columns

JOB = columns(Job)
JOB_STEP = columns(JobStep)
JOB_NODE = columns(JobNode)
LOG_LINE = columns(LogLine)


class RunLost(Exception):
    """Another attempt has this job now, or it is finished: this run must write nothing more."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who holds a job: the guard of everything a run writes."""

    job_id: str
    attempt: int
    worker: str

    def holds(self) -> ColumnElement[bool]:
        """True for the job's row while this run holds it."""
        held: ColumnElement[bool] = (
            (JOB.c.job_id == self.job_id)
            & (JOB.c.attempt == self.attempt)
            & (JOB.c.worker == self.worker)
            & JOB.c.status.not_in(FINISHED)
        )
        return held


@dataclass(slots=True)
class Changes:
    """What a batch of events means for a job; see `write_changes`."""

    status: str | None = None
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)  # rows of log_line, without number

    def __bool__(self) -> bool:
        return bool(self.status or self.steps or self.nodes or self.lines)


def create_job(
    connection: Connection,
    action: JobAction,
    nodes: Mapping[str, str],
    *,
    user_id: str,
    zone_id: str,
    command: str = "",
    retry_of: str = "",
    options: Mapping[str, Any] | None = None,
) -> str:
    """A new job at step0 holding `nodes` (node id -> its status now); its id.

    Raises Conflict when another job took one of the nodes meanwhile.
    """
    job_id, now = new_id("j"), time.time()
    connection.execute(
        insert(JOB).values(
            job_id=job_id,
            action=action,
            zone_id=zone_id,
            user_id=user_id,
            command=command,
            retry_of=retry_of,
            status=step_status(0),
            pre_status="",
            reason="",
            message="",
            create_time=now,
            enqueue_time=now,
            attempt=1,
            cancel=False,
            options=dict(options or {}),
            version=0,
        )
    )
    connection.execute(
        insert(JOB_STEP),
        [
            {
                "job_id": job_id,
                "step_index": index,
                "name": name,
                "status": WorkStatus.WAITING,
                "error": "",
            }
            for index, name in enumerate(STEPS[action])
        ],
    )
    if not nodes:
        return job_id
    try:
        connection.execute(
            insert(JOB_NODE),
            [
                {
                    "job_id": job_id,
                    "node_id": node_id,
                    "active": True,
                    "status": WorkStatus.WAITING,
                    "step_index": 0,
                    "reason": "",
                    "message": "",
                    "node_status": status,
                }
                for node_id, status in nodes.items()
            ],
        )
    except IntegrityError as error:
        raise Conflict("Another job took one of the nodes just now; try again.") from error
    return job_id


def get_job(connection: Connection, job_id: str) -> Row[Any] | None:
    """The job's row."""
    return connection.execute(select(JOB).where(JOB.c.job_id == job_id)).one_or_none()


def newest_job(connection: Connection, action: str) -> Row[Any] | None:
    """The job of this action that was created last."""
    return connection.execute(
        select(JOB).where(JOB.c.action == action).order_by(JOB.c.create_time.desc()).limit(1)
    ).one_or_none()


def find_jobs(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    sort_key: str,
    reverse: bool,
    limit: int | None,
    offset: int,
) -> tuple[int, Sequence[Row[Any]]]:
    """How many jobs match, and one page of them with node counts."""
    order = JOB.c[sort_key].desc() if reverse else JOB.c[sort_key].asc()
    page = select(JOB).where(*conditions).order_by(order, JOB.c.job_id).offset(offset)
    rows = connection.execute(page if limit is None else page.limit(limit)).all()
    count = select(func.count()).select_from(JOB).where(*conditions)
    return connection.execute(count).scalar_one(), rows


def matches(
    *, job_ids: Sequence[str] | None, action: str | None, status: str | None, node_id: str | None
) -> list[ColumnElement[bool]]:
    """The conditions of DescribeJobs; all must hold. Status `running` is every unfinished one."""
    conditions: list[ColumnElement[bool]] = []
    if job_ids is not None:
        conditions.append(JOB.c.job_id.in_(job_ids))
    if action is not None:
        conditions.append(JOB.c.action == action)
    if status == "running":
        conditions.append(JOB.c.status.not_in(FINISHED))
    elif status is not None:
        conditions.append(JOB.c.status == status)
    if node_id is not None:
        held = select(JOB_NODE.c.job_id).where(JOB_NODE.c.node_id == node_id)
        conditions.append(JOB.c.job_id.in_(held))
    return conditions


def count_nodes(connection: Connection, job_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Per job: how many of its nodes have which status."""
    counts: dict[str, dict[str, int]] = {job_id: {} for job_id in job_ids}
    query = select(JOB_NODE.c.job_id, JOB_NODE.c.status, func.count()).group_by(
        JOB_NODE.c.job_id, JOB_NODE.c.status
    )
    for chunk in chunks(job_ids):
        rows = connection.execute(query.where(JOB_NODE.c.job_id.in_(chunk)))
        for job_id, status, number in rows:
            counts[job_id][status] = number
    return counts


def get_steps(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    """The job's steps in order."""
    query = select(JOB_STEP).where(JOB_STEP.c.job_id == job_id).order_by(JOB_STEP.c.step_index)
    return connection.execute(query).all()


def get_job_nodes(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    """The job's nodes by id."""
    query = select(JOB_NODE).where(JOB_NODE.c.job_id == job_id).order_by(JOB_NODE.c.node_id)
    return connection.execute(query).all()


def get_log(
    connection: Connection,
    job_id: str,
    *,
    job_status: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> Sequence[Row[Any]]:
    """Lines after number `after`; of one status (`step1`), or of what failed (`failed`)."""
    query = select(LOG_LINE).where(LOG_LINE.c.job_id == job_id, LOG_LINE.c.number > after)
    if job_status == JobStatus.FAILED:
        query = query.where(or_(LOG_LINE.c.is_failure, LOG_LINE.c.job_status == job_status))
    elif job_status is not None:
        query = query.where(LOG_LINE.c.job_status == job_status)
    query = query.order_by(LOG_LINE.c.number)
    return connection.execute(query if limit is None else query.limit(limit)).all()


def claim(connection: Connection, run: Run, lease: float) -> bool:
    """Take a waiting attempt for `lease` seconds; False if it is not to be had."""
    now = time.time()
    taken = connection.execute(
        update(JOB)
        .where(
            JOB.c.job_id == run.job_id,
            JOB.c.attempt == run.attempt,
            JOB.c.worker.is_(None),
            JOB.c.status.not_in(FINISHED),
        )
        .values(
            worker=run.worker,
            lease_until=now + lease,
            start_time=func.coalesce(JOB.c.start_time, now),
            version=JOB.c.version + 1,
        )
    )
    return taken.rowcount == 1


def renew(connection: Connection, run: Run, lease: float) -> bool:
    """Hold the job for another `lease` seconds; True if somebody cancelled it.

    Raises RunLost when this run does not hold the job any more.
    """
    cancel = connection.execute(
        update(JOB)
        .where(run.holds())
        .values(lease_until=time.time() + lease)
        .returning(JOB.c.cancel)
    ).scalar_one_or_none()
    if cancel is None:
        raise RunLost(run.job_id)
    return bool(cancel)


def write_changes(connection: Connection, run: Run, changes: Changes) -> None:
    """Write one batch of a run's changes; nothing of it if the run does not hold the job."""
    values: dict[str, Any] = {"version": JOB.c.version + 1}
    if changes.status is not None:
        values |= {"status": changes.status, "pre_status": JOB.c.status}
    held = connection.execute(update(JOB).where(run.holds()).values(**values))
    if held.rowcount != 1:
        raise RunLost(run.job_id)
    _write_details(connection, run.job_id, changes)


def _write_details(connection: Connection, job_id: str, changes: Changes) -> None:
    for index, values in changes.steps.items():
        connection.execute(
            update(JOB_STEP)
            .where(JOB_STEP.c.job_id == job_id, JOB_STEP.c.step_index == index)
            .values(**values)
        )
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for node_id, values in changes.nodes.items():
        by_columns.setdefault(tuple(values), []).append({"id": node_id, **values})
    for names, rows in by_columns.items():
        connection.execute(
            update(JOB_NODE)
            .where(JOB_NODE.c.job_id == job_id, JOB_NODE.c.node_id == bindparam("id"))
            .values({name: bindparam(name) for name in names}),
            rows,
        )
    add_lines(connection, job_id, changes.lines)


def add_lines(connection: Connection, job_id: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append to a job's log; numbers go on from the last line."""
    if not lines:
        return
    last = connection.execute(
        select(func.coalesce(func.max(LOG_LINE.c.number), 0)).where(LOG_LINE.c.job_id == job_id)
    ).scalar_one()
    connection.execute(
        insert(LOG_LINE),
        [
            {"job_id": job_id, "number": number, **line}
            for number, line in enumerate(lines, start=last + 1)
        ],
    )


def say(connection: Connection, job_id: str, text: str, *, is_failure: bool = False) -> None:
    """Append a line of our own to a job's log, beside what the events of its run say."""
    job = lock_job(connection, job_id)
    if job is not None:
        line = {
            "time": time.time(),
            "job_status": job.status,
            "node_id": "",
            "is_failure": is_failure,
            "text": text,
        }
        add_lines(connection, job_id, [line])


def finish(
    connection: Connection, job_id: str, changes: Changes, *, reason: str, message: str
) -> None:
    """End a job (changes.status says how) and let go of its nodes."""
    connection.execute(
        update(JOB)
        .where(JOB.c.job_id == job_id)
        .values(
            status=changes.status,
            pre_status=JOB.c.status,
            reason=reason,
            message=message,
            finish_time=time.time(),
            lease_until=None,
            version=JOB.c.version + 1,
        )
    )
    _write_details(connection, job_id, changes)
    connection.execute(
        update(JOB_NODE).where(JOB_NODE.c.job_id == job_id, JOB_NODE.c.active).values(active=False)
    )


def lock_run(connection: Connection, run: Run) -> Row[Any]:
    """The row of the job this run holds, locked until the transaction ends; else RunLost."""
    query = select(JOB).where(run.holds()).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RunLost(run.job_id)
    return row


def lock_job(connection: Connection, job_id: str) -> Row[Any] | None:
    """The job's row, which nobody else changes until the transaction ends."""
    query = select(JOB).where(JOB.c.job_id == job_id).with_for_update()
    return connection.execute(query).one_or_none()


def lock_unchanged(connection: Connection, seen: Row[Any]) -> bool:
    """Lock a job's row; False if since it was `seen` somebody claimed, renewed or ended the job."""
    job = lock_job(connection, seen.job_id)
    return job is not None and all(
        getattr(job, name) == getattr(seen, name)
        for name in ("status", "attempt", "worker", "lease_until", "enqueue_time")
    )


def request_cancel(connection: Connection, job_id: str) -> bool:
    """Raise the flag that the lease renewal reads; False if the job is finished."""
    flagged = connection.execute(
        update(JOB)
        .where(JOB.c.job_id == job_id, JOB.c.status.not_in(FINISHED))
        .values(cancel=True, version=JOB.c.version + 1)
    )
    return flagged.rowcount == 1


def abandoned_jobs(connection: Connection, now: float) -> Sequence[Row[Any]]:
    """Unfinished jobs whose lease ran out: their worker is dead, stopped or cut off."""
    return connection.execute(
        select(JOB).where(JOB.c.lease_until < now, JOB.c.status.not_in(FINISHED))
    ).all()


def unclaimed_jobs(connection: Connection, before: float) -> Sequence[Row[Any]]:
    """Jobs put into the queue before `before` that nobody claimed yet."""
    return connection.execute(
        select(JOB).where(
            JOB.c.worker.is_(None), JOB.c.enqueue_time < before, JOB.c.status.not_in(FINISHED)
        )
    ).all()


def start_over(connection: Connection, job: Row[Any]) -> bool:
    """Make the next attempt of a job that lost its run; False if another did it already.

    Steps and nodes begin again; the log goes on.
    """
    moved = connection.execute(
        update(JOB)
        .where(
            JOB.c.job_id == job.job_id,
            JOB.c.attempt == job.attempt,
            JOB.c.worker.is_(None) if job.worker is None else JOB.c.worker == job.worker,
            JOB.c.status.not_in(FINISHED),
        )
        .values(
            attempt=job.attempt + 1,
            worker=None,
            lease_until=None,
            enqueue_time=time.time(),
            pre_status=JOB.c.status,
            status=step_status(0),
            version=JOB.c.version + 1,
        )
    )
    if moved.rowcount != 1:
        return False
    connection.execute(
        update(JOB_STEP)
        .where(JOB_STEP.c.job_id == job.job_id)
        .values(
            status=WorkStatus.WAITING, start_time=None, finish_time=None, deadline=None, error=""
        )
    )
    connection.execute(
        update(JOB_NODE)
        .where(JOB_NODE.c.job_id == job.job_id)
        .values(status=WorkStatus.WAITING, step_index=0, reason="", message="")
    )
    return True
