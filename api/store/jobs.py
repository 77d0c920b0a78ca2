"""Queries about jobs: what was asked for, and what they show. Who runs them is in `store/runs.py`."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from api.errors import Conflict
from api.states import (
    FINISHED,
    STEPS,
    JobAction,
    JobStatus,
    Priority,
    WebhookEvent,
    WorkStatus,
    step_status,
)
from api.store.ids import chunks, new_id
from api.store.outbox import Happening, tell
from api.store.paging import total
from api.store.tables import Job, JobNode, JobSlice, JobStep, LogLine, columns
from api.times import wire_time
from api.trail import trail

JOB = columns(Job)
SLICE = columns(JobSlice)
JOB_STEP = columns(JobStep)
JOB_NODE = columns(JobNode)
LOG_LINE = columns(LogLine)
# Without the options, which may be a megabyte where a scan was told what to find.
_JOB_SHOWN = [column for column in JOB.c if column.name != "options"]


class Part(NamedTuple):
    """What one slice of a job is to be: a zone, and some of its nodes (id -> status now)."""

    zone_id: str
    nodes: Mapping[str, str]


def create_job(
    connection: Connection,
    action: JobAction,
    parts: Sequence[Part],
    *,
    user_id: str,
    command: str = "",
    retry_of: str = "",
    priority: int = Priority.NORMAL,
    options: Mapping[str, Any] | None = None,
) -> str:
    """A new job at step0 that holds the nodes of its parts, each a slice held back; its id.

    Raises Conflict when another job took one of the nodes meanwhile.
    """
    job_id = new_id("j")
    connection.execute(
        insert(JOB).values(
            job_id=job_id,
            action=action,
            zone_id=",".join(sorted({part.zone_id for part in parts})),
            user_id=user_id,
            command=command,
            retry_of=retry_of,
            priority=priority,
            request_id=trail().request_id,
            trace=trail().trace,
            status=step_status(0),
            pre_status="",
            reason="",
            message="",
            create_time=time.time(),
            cancel=False,
            dry_run=bool(options and options.get("dry_run")),
            options=dict(options or {}),
            version=0,
        )
    )
    connection.execute(
        insert(SLICE), [_slice(job_id, index, part) for index, part in enumerate(parts)]
    )
    steps = [
        _step(job_id, slice_index, step_index, name)
        for slice_index in range(len(parts))
        for step_index, name in enumerate(STEPS[action])
    ]
    connection.execute(insert(JOB_STEP), steps)
    nodes = [
        _node(job_id, index, node_id, status)
        for index, part in enumerate(parts)
        for node_id, status in part.nodes.items()
    ]
    try:
        if nodes:
            connection.execute(insert(JOB_NODE), nodes)
    except IntegrityError as error:
        raise Conflict("Another job took one of the nodes just now; try again.") from error
    return job_id


def _slice(job_id: str, index: int, part: Part) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "slice_index": index,
        "zone_id": part.zone_id,
        "status": WorkStatus.WAITING,
        "step_index": 0,
        "reason": "",
        "message": "",
        "attempt": 1,
    }


def _step(job_id: str, slice_index: int, step_index: int, name: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "slice_index": slice_index,
        "step_index": step_index,
        "name": name,
        "status": WorkStatus.WAITING,
        "error": "",
    }


def _node(job_id: str, slice_index: int, node_id: str, status: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "slice_index": slice_index,
        "node_id": node_id,
        "active": True,
        "status": WorkStatus.WAITING,
        "step_index": 0,
        "reason": "",
        "message": "",
        "node_status": status,
    }


def get_job(connection: Connection, job_id: str) -> Row[Any] | None:
    """The job's row."""
    return connection.execute(select(JOB).where(JOB.c.job_id == job_id)).one_or_none()


def show_job(connection: Connection, job_id: str) -> Row[Any] | None:
    """The job's row without its options."""
    query = select(*_JOB_SHOWN).where(JOB.c.job_id == job_id)
    return connection.execute(query).one_or_none()


def newest_job(connection: Connection, action: str) -> Row[Any] | None:
    """The job of this action that was created last, without its options."""
    query = select(*_JOB_SHOWN).where(JOB.c.action == action)
    return connection.execute(query.order_by(JOB.c.create_time.desc()).limit(1)).one_or_none()


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
    page = select(*_JOB_SHOWN).where(*conditions).order_by(order, JOB.c.job_id).offset(offset)
    rows = connection.execute(page if limit is None else page.limit(limit)).all()
    count = select(func.count()).select_from(JOB).where(*conditions)
    return total(connection, count, rows, limit=limit, offset=offset), rows


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
    """The job's steps in order, each over all slices: it begins with the first and ends with the last.

    `waiting`, `running`, `successful` and `failed` are numbers of slices.
    """
    counts = [
        func.sum(case((JOB_STEP.c.status == status, 1), else_=0)).label(status)
        for status in WorkStatus
    ]
    query = select(
        JOB_STEP.c.step_index,
        func.max(JOB_STEP.c.name).label("name"),
        func.min(JOB_STEP.c.start_time).label("start_time"),
        func.max(JOB_STEP.c.finish_time).label("finish_time"),
        func.max(JOB_STEP.c.deadline).label("deadline"),
        func.max(JOB_STEP.c.error).label("error"),
        *counts,
    )
    query = query.where(JOB_STEP.c.job_id == job_id).group_by(JOB_STEP.c.step_index)
    return connection.execute(query.order_by(JOB_STEP.c.step_index)).all()


def get_slices(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    """The job's slices in order."""
    query = select(SLICE).where(SLICE.c.job_id == job_id).order_by(SLICE.c.slice_index)
    return connection.execute(query).all()


def slices_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Per job: its number of slices (`slices`), and the highest `attempt` of them."""
    found: dict[str, Row[Any]] = {}
    query = select(
        SLICE.c.job_id, func.count().label("slices"), func.max(SLICE.c.attempt).label("attempt")
    )
    for chunk in chunks(job_ids):
        rows = connection.execute(query.where(SLICE.c.job_id.in_(chunk)).group_by(SLICE.c.job_id))
        found |= {row.job_id: row for row in rows}
    return found


def count_failed(connection: Connection, job_id: str) -> int:
    """How many of the job's nodes failed."""
    query = select(func.count()).where(
        JOB_NODE.c.job_id == job_id, JOB_NODE.c.status == WorkStatus.FAILED
    )
    return int(connection.execute(query).scalar_one())


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


def finish_job(
    connection: Connection, job_id: str, status: JobStatus, *, reason: str, message: str
) -> None:
    """End a job all of whose slices ended."""
    connection.execute(
        update(JOB)
        .where(JOB.c.job_id == job_id)
        .values(
            status=status,
            pre_status=JOB.c.status,
            reason=reason,
            message=message,
            finish_time=time.time(),
            version=JOB.c.version + 1,
        )
    )
    tell(connection, WebhookEvent.JOB_ENDED, lambda: [_ended(connection, job_id)])


def _ended(connection: Connection, job_id: str) -> Happening:
    """A job that is over, as webhooks are told of it."""
    row = show_job(connection, job_id)
    assert row is not None  # noqa: S101  # locked by who ends it
    names = ("job_id", "zone_id", "user_id", "request_id", "retry_of")
    times = ("create_time", "start_time", "finish_time")
    return {
        "job": {name: getattr(row, name) for name in names}
        | {"job_action": row.action, "nodes": count_nodes(connection, [job_id])[job_id]}
        | {name: wire_time(getattr(row, name)) for name in times},
        "old_status": row.pre_status,
        "new_status": row.status,
        "reason": row.reason,
        "message": row.message,
    }


def lock_job(connection: Connection, job_id: str) -> Row[Any] | None:
    """The job's row without its options, which nobody else changes until the transaction ends."""
    query = select(*_JOB_SHOWN).where(JOB.c.job_id == job_id).with_for_update()
    return connection.execute(query).one_or_none()


def request_cancel(connection: Connection, job_id: str) -> bool:
    """Raise the flag that the lease renewal reads; False if the job is finished."""
    flagged = connection.execute(
        update(JOB)
        .where(JOB.c.job_id == job_id, JOB.c.status.not_in(FINISHED))
        .values(cancel=True, version=JOB.c.version + 1)
    )
    return flagged.rowcount == 1
