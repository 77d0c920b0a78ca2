"""What traces show of jobs: recorded by workers, once it is over."""

import time

from sqlalchemy import Connection, Row

from api.states import FINISHED, WorkStatus
from api.store.jobs import get_job, get_slices
from api.store.runs import Run, get_slice, get_slice_steps
from api.tracing import Tracing, parent_of


def record_run(tracing: Tracing, connection: Connection, run: Run, *, began: float) -> None:
    """Record a run that is over (`began` in seconds since 1970), its steps, and its job if it is too."""
    part = get_slice(connection, run.job_id, run.slice_index)
    if part is None or not part.trace:
        return
    is_its_end = part.attempt == run.attempt and part.finish_time is not None
    parent = tracing.record(
        f"run {part.action}",
        begin=began,
        end=part.finish_time if is_its_end else time.time(),
        parent=parent_of(part.trace, run.job_id),
        facts={
            "firstbox.job_id": run.job_id,
            "firstbox.slice": run.slice_index,
            "firstbox.attempt": run.attempt,
            "firstbox.zone": part.zone_id,
            "firstbox.worker": run.worker,
        },
        error=part.reason if is_its_end else "begun again",
    )
    if is_its_end:
        _record_steps(tracing, connection, run, parent)
        record_job(tracing, connection, run.job_id, run.slice_index)


def record_job(tracing: Tracing, connection: Connection, job_id: str, slice_index: int) -> None:
    """Record a job, if it ended with this slice of it."""
    job = get_job(connection, job_id)
    if job is None or job.status not in FINISHED or not job.trace:
        return
    if _last_of(connection, job_id) == slice_index:
        tracing.record(
            f"job {job.action}",
            begin=job.create_time,
            end=job.finish_time,
            parent=job.trace,
            key=job_id,
            facts={
                "firstbox.job_id": job_id,
                "firstbox.zone": job.zone_id,
                "firstbox.user": job.user_id,
                "firstbox.request_id": job.request_id,
            },
            error=job.reason,
        )


def _last_of(connection: Connection, job_id: str) -> int:
    """The slice that ended last of those that a worker had: others ended with one of them."""
    had = [row for row in get_slices(connection, job_id) if row.worker is not None]
    return max(had, key=_end).slice_index if had else -1


def _end(part: Row[object]) -> tuple[float, int]:
    return part.finish_time or 0.0, part.slice_index


def _record_steps(tracing: Tracing, connection: Connection, run: Run, parent: str) -> None:
    for step in get_slice_steps(connection, run.job_id, run.slice_index):
        if step.start_time is not None and step.finish_time is not None:
            tracing.record(
                step.name,
                begin=step.start_time,
                end=step.finish_time,
                parent=parent,
                facts={"firstbox.step": step.step_index},
                error=step.error or ("failed" if step.status == WorkStatus.FAILED else ""),
            )
