"""Queries about runs: who holds a slice of a job, and what may be written of it.

A run belongs to (job, slice, attempt, worker), and everything it writes is guarded by the four. Who
changes a job and a slice locks the job's row first.
"""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, select, text, update

from api.states import FINISHED, WorkStatus, step_status
from api.store.ids import chunks
from api.store.jobs import JOB, JOB_NODE, JOB_STEP, SLICE, add_lines, lock_job
from api.store.now import now

_ADMISSION = 1179796083  # a number of our own for PostgreSQL's advisory lock
# Named, not "all but those that are over": the few are found in an index however many ended.
_UNFINISHED: ColumnElement[bool] = SLICE.c.status.in_((WorkStatus.WAITING, WorkStatus.RUNNING))
# What shows that somebody is at a slice.
_WATCHED: tuple[Any, ...] = (
    SLICE.c.job_id, SLICE.c.slice_index, SLICE.c.status, SLICE.c.attempt, SLICE.c.worker,
    SLICE.c.lease_until, SLICE.c.enqueue_time,
)  # fmt: skip
# What a run needs to know of its job, beside its slice.
_OF_JOB = (
    JOB.c.action, JOB.c.command, JOB.c.options, JOB.c.cancel, JOB.c.user_id, JOB.c.priority,
    JOB.c.request_id, JOB.c.trace,
)  # fmt: skip


class RunLost(Exception):
    """Another attempt has this slice now, or it is finished: this run must write nothing more."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who holds a slice: the guard of everything a run writes."""

    job_id: str
    attempt: int
    worker: str
    slice_index: int = 0

    @property
    def name(self) -> str:
        """`<job>.<slice>.<attempt>`: of its directory and of its entry in the queue."""
        return run_name(self.job_id, self.slice_index, self.attempt)

    def holds(self) -> ColumnElement[bool]:
        """True for the slice's row while this run holds it."""
        held: ColumnElement[bool] = (
            _is_slice(self.job_id, self.slice_index)
            & (SLICE.c.attempt == self.attempt)
            & (SLICE.c.worker == self.worker)
            & _UNFINISHED
        )
        return held


def run_name(job_id: str, slice_index: int, attempt: int) -> str:
    """What one attempt of a slice is called outside of the database."""
    return f"{job_id}.{slice_index}.{attempt}"


@dataclass(slots=True)
class Changes:
    """What a batch of events means for a slice; see `write_changes`."""

    step_index: int | None = None  # the step that runs now
    status: WorkStatus | None = None  # how it ended
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)  # rows of log_line, without number

    def __bool__(self) -> bool:
        return bool(self.step_index is not None or self.steps or self.nodes or self.lines)


def get_slice(connection: Connection, job_id: str, slice_index: int) -> Row[Any] | None:
    """A slice's row, with what its run needs to know of the job."""
    query = _slices().where(_is_slice(job_id, slice_index))
    return connection.execute(query).one_or_none()


def get_slice_nodes(connection: Connection, job_id: str, slice_index: int) -> Sequence[Row[Any]]:
    """The slice's nodes by id."""
    query = select(JOB_NODE).where(
        JOB_NODE.c.job_id == job_id, JOB_NODE.c.slice_index == slice_index
    )
    return connection.execute(query.order_by(JOB_NODE.c.node_id)).all()


def get_slice_steps(connection: Connection, job_id: str, slice_index: int) -> Sequence[Row[Any]]:
    """The slice's steps in order."""
    query = select(JOB_STEP).where(
        JOB_STEP.c.job_id == job_id, JOB_STEP.c.slice_index == slice_index
    )
    return connection.execute(query.order_by(JOB_STEP.c.step_index)).all()


def claim(connection: Connection, run: Run, lease: float) -> bool:
    """Take a waiting attempt for `lease` seconds; False if it is not to be had."""
    if lock_job(connection, run.job_id) is None:
        return False
    begin = now(connection)
    taken = connection.execute(
        update(SLICE)
        .where(
            _is_slice(run.job_id, run.slice_index),
            SLICE.c.attempt == run.attempt,
            SLICE.c.worker.is_(None),
            _UNFINISHED,
        )
        .values(
            worker=run.worker,
            status=WorkStatus.RUNNING,
            lease_until=begin + lease,
            start_time=func.coalesce(SLICE.c.start_time, begin),
        )
    )
    if taken.rowcount == 1:
        begun = func.coalesce(JOB.c.start_time, begin)
        _update_job(connection, run.job_id, start_time=begun)
    return taken.rowcount == 1


def renew(connection: Connection, run: Run, lease: float) -> bool:
    """Hold the slice for another `lease` seconds; True if somebody cancelled the job.

    Raises RunLost when this run does not hold it any more.
    """
    held = connection.execute(
        update(SLICE).where(run.holds()).values(lease_until=now(connection) + lease)
    )
    if held.rowcount != 1:
        raise RunLost(run.name)
    return is_cancelled(connection, run.job_id)


def is_cancelled(connection: Connection, job_id: str) -> bool:
    """Whether somebody cancelled the job."""
    query = select(JOB.c.cancel).where(JOB.c.job_id == job_id)
    return bool(connection.execute(query).scalar_one_or_none())


def write_changes(connection: Connection, run: Run, changes: Changes) -> None:
    """Write one batch of a run's changes; nothing of it if the run does not hold the slice."""
    _update_job(connection, run.job_id)  # locks it, and counts the change
    step = SLICE.c.step_index if changes.step_index is None else changes.step_index
    held = connection.execute(update(SLICE).where(run.holds()).values(step_index=step))
    if held.rowcount != 1:
        raise RunLost(run.name)
    _write_details(connection, run.job_id, run.slice_index, changes)
    if changes.step_index is not None:
        _show_hindmost(connection, run.job_id)


def finish_slice(
    connection: Connection,
    job_id: str,
    slice_index: int,
    changes: Changes,
    *,
    reason: str,
    message: str,
) -> None:
    """End a slice (changes.status says how) and let go of its nodes."""
    _update_job(connection, job_id)
    connection.execute(
        update(SLICE)
        .where(_is_slice(job_id, slice_index))
        .values(
            status=changes.status,
            reason=reason,
            message=message,
            finish_time=time.time(),
            lease_until=None,
        )
    )
    _write_details(connection, job_id, slice_index, changes)
    connection.execute(
        update(JOB_NODE)
        .where(
            JOB_NODE.c.job_id == job_id, JOB_NODE.c.slice_index == slice_index, JOB_NODE.c.active
        )
        .values(active=False)
    )
    _show_hindmost(connection, job_id)


def _update_job(connection: Connection, job_id: str, **values: Any) -> None:
    values["version"] = JOB.c.version + 1
    connection.execute(update(JOB).where(JOB.c.job_id == job_id).values(**values))


def _show_hindmost(connection: Connection, job_id: str) -> None:
    """A job is in the step that its hindmost slice is in: all of it has the steps before behind it."""
    hindmost = connection.execute(
        select(func.min(SLICE.c.step_index)).where(SLICE.c.job_id == job_id, _UNFINISHED)
    ).scalar_one()
    if hindmost is not None:
        status = step_status(hindmost)
        connection.execute(
            update(JOB)
            .where(JOB.c.job_id == job_id, JOB.c.status != status, JOB.c.status.not_in(FINISHED))
            .values(status=status, pre_status=JOB.c.status)
        )


def _write_details(connection: Connection, job_id: str, slice_index: int, changes: Changes) -> None:
    for index, values in changes.steps.items():
        connection.execute(
            update(JOB_STEP)
            .where(
                JOB_STEP.c.job_id == job_id,
                JOB_STEP.c.slice_index == slice_index,
                JOB_STEP.c.step_index == index,
            )
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


def lock_run(connection: Connection, run: Run) -> Row[Any]:
    """The row of the slice this run holds, locked until the transaction ends; else RunLost."""
    lock_job(connection, run.job_id)
    row = connection.execute(_slices().where(run.holds())).one_or_none()
    if row is None:
        raise RunLost(run.name)
    return row


def lock_unchanged(connection: Connection, seen: Row[Any]) -> Row[Any] | None:
    """Lock a slice's job; None if since it was `seen` somebody claimed, renewed or ended the slice."""
    lock_job(connection, seen.job_id)
    query = _slices().where(_is_slice(seen.job_id, seen.slice_index)).with_for_update(of=SLICE)
    row = connection.execute(query).one_or_none()
    is_unchanged = row is not None and all(
        getattr(row, column.name) == getattr(seen, column.name) for column in _WATCHED
    )
    return row if is_unchanged else None


def slices_under_way(connection: Connection) -> Sequence[Row[Any]]:
    """What changes, when all is well, of the slices that a worker has, or is to take from the queue."""
    is_expected = SLICE.c.worker.is_not(None) | SLICE.c.enqueue_time.is_not(None)
    return connection.execute(select(*_WATCHED).where(_UNFINISHED, is_expected)).all()


def unclaimed_slices(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    """The job's slices that no worker has now."""
    is_unclaimed = SLICE.c.worker.is_(None) & _UNFINISHED
    query = _slices().where(SLICE.c.job_id == job_id, is_unclaimed)
    return connection.execute(query.order_by(SLICE.c.slice_index)).all()


def unfinished_slices(connection: Connection) -> Sequence[Row[Any]]:
    """Every slice that is not over, at work or not."""
    query = _slices().where(_UNFINISHED)
    return connection.execute(query.order_by(SLICE.c.job_id, SLICE.c.slice_index)).all()


def start_over(connection: Connection, seen: Row[Any]) -> bool:
    """Make the next attempt of a slice that lost its run; False if another did it already.

    Its steps and nodes begin again; the log goes on.
    """
    worker = SLICE.c.worker.is_(None) if seen.worker is None else SLICE.c.worker == seen.worker
    is_slice = _is_slice(seen.job_id, seen.slice_index)
    moved = connection.execute(
        update(SLICE)
        .where(is_slice, SLICE.c.attempt == seen.attempt, worker, _UNFINISHED)
        .values(
            attempt=seen.attempt + 1,
            status=WorkStatus.WAITING,
            step_index=0,
            worker=None,
            lease_until=None,
            enqueue_time=now(connection),
        )
    )
    if moved.rowcount != 1:
        return False
    in_slice = (JOB_STEP.c.job_id == seen.job_id, JOB_STEP.c.slice_index == seen.slice_index)
    afresh = {"start_time": None, "finish_time": None, "deadline": None, "error": ""}
    connection.execute(
        update(JOB_STEP).where(*in_slice).values(status=WorkStatus.WAITING, **afresh)
    )
    connection.execute(
        update(JOB_NODE)
        .where(JOB_NODE.c.job_id == seen.job_id, JOB_NODE.c.slice_index == seen.slice_index)
        .values(status=WorkStatus.WAITING, step_index=0, reason="", message="")
    )
    _update_job(connection, seen.job_id)
    _show_hindmost(connection, seen.job_id)
    return True


def held_slices(connection: Connection) -> Sequence[Row[Any]]:
    """Slices that wait outside of the queue, in the order they are to go, with their number of `nodes`."""
    count = (
        select(func.count())
        .where(JOB_NODE.c.job_id == SLICE.c.job_id, JOB_NODE.c.slice_index == SLICE.c.slice_index)
        .scalar_subquery()
        .label("nodes")
    )
    is_held = (
        (SLICE.c.status == WorkStatus.WAITING)
        & SLICE.c.enqueue_time.is_(None)
        & SLICE.c.worker.is_(None)
        & ~JOB.c.cancel
    )
    query = _slices().add_columns(count).where(is_held)
    order = (JOB.c.priority, JOB.c.create_time, SLICE.c.job_id, SLICE.c.slice_index)
    return connection.execute(query.order_by(*order)).all()


def nodes_at_work(connection: Connection) -> Counter[tuple[str, str]]:
    """Nodes of slices that are in the queue or under way, by job and action."""
    query = (
        select(SLICE.c.job_id, JOB.c.action, func.count())
        .join_from(SLICE, JOB, JOB.c.job_id == SLICE.c.job_id)
        .join(
            JOB_NODE,
            (JOB_NODE.c.job_id == SLICE.c.job_id) & (JOB_NODE.c.slice_index == SLICE.c.slice_index),
        )
        .where(SLICE.c.enqueue_time.is_not(None), _UNFINISHED)
        .group_by(SLICE.c.job_id, JOB.c.action)
    )
    return Counter({(job_id, action): count for job_id, action, count in connection.execute(query)})


def lock_admission(connection: Connection) -> None:
    """Nobody else decides who may go until the transaction ends. (On SQLite nobody else writes.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADMISSION})"))


def set_enqueued(connection: Connection, job_id: str, slice_index: int) -> None:
    """The slice is in the queue from now on."""
    is_slice = _is_slice(job_id, slice_index)
    connection.execute(update(SLICE).where(is_slice).values(enqueue_time=now(connection)))


def ended_runs(connection: Connection, names: Collection[str]) -> set[str]:
    """Which of these runs are over, by name: their slice ended, or another attempt of it began.

    Runs that are not of this database are not in the answer.
    """
    known = {name: name.rsplit(".", 2) for name in names}
    job_ids = sorted({job_id for job_id, _, _ in known.values()})
    query = select(SLICE.c.job_id, SLICE.c.slice_index, SLICE.c.attempt, _UNFINISHED.label("lives"))
    slices = {
        (row.job_id, str(row.slice_index)): str(row.attempt) if row.lives else ""
        for chunk in chunks(job_ids)
        for row in connection.execute(query.where(SLICE.c.job_id.in_(chunk)))
    }
    return {
        name
        for name, (job_id, index, attempt) in known.items()
        if slices.get((job_id, index), attempt) != attempt
    }


def waiting_zones(connection: Connection) -> set[str]:
    """Zones in whose queues something waits."""
    query = select(SLICE.c.zone_id).where(SLICE.c.status == WorkStatus.WAITING).distinct()
    return set(connection.execute(query).scalars())


def _is_slice(job_id: str, slice_index: int) -> ColumnElement[bool]:
    is_slice: ColumnElement[bool] = (SLICE.c.job_id == job_id) & (
        SLICE.c.slice_index == slice_index
    )
    return is_slice


def _slices() -> Any:
    return select(SLICE, *_OF_JOB).join(JOB, JOB.c.job_id == SLICE.c.job_id)
