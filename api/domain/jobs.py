"""Jobs: long actions, how they begin, and how they are stopped and tried again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.admission import admit_slices
from api.domain.conditions import not_busy
from api.domain.ending import end
from api.domain.kinds import KINDS
from api.domain.queueing import Queue
from api.domain.slicing import cut, whole
from api.errors import Conflict, NotFound
from api.states import (
    BOOTING,
    FINISHED,
    PRIORITIES,
    JobAction,
    JobStatus,
    Priority,
    Reason,
    WorkStatus,
)
from api.store import jobs, nodes, runs
from api.store.audit import Asking, add_audit


def start(
    connection: Connection,
    queue: Queue,
    action: JobAction,
    node_ids: Sequence[str],
    *,
    user_id: str,
    options: Mapping[str, Any] | None = None,
    priority: int | None = None,
    retry_of: str = "",
) -> str:
    """A job that does `action` to these nodes, in the queue or held back for it; its id.

    Raises NotFound, and Conflict for nodes that the action refuses or another job holds.
    """
    asked = dict(options or {})
    if queue.limits.max_failures:
        asked.setdefault("max_failures", queue.limits.max_failures)
    statuses = _admit(connection, action, node_ids, asked)
    zones = nodes.zones_of(connection, node_ids)
    job_id = jobs.create_job(
        connection,
        action,
        cut(action, statuses, zones, asked, queue.limits),
        user_id=user_id,
        retry_of=retry_of,
        priority=priority or PRIORITIES.get(action, Priority.NORMAL),
        options=asked,
    )
    KINDS[action].begin(connection, job_id, node_ids, retry_of=retry_of)
    admit_slices(connection, queue)
    return job_id


def begin(
    connection: Connection,
    action: JobAction,
    node_ids: Sequence[str],
    *,
    user_id: str,
    options: Mapping[str, Any] | None = None,
    command: str = "",
) -> str:
    """A job that a shell runs: it holds these nodes, in one slice and in no queue; its id.

    See `start` for what is refused.
    """
    statuses = _admit(connection, action, node_ids, options or {})
    job_id = jobs.create_job(
        connection,
        action,
        whole(statuses, nodes.zones_of(connection, node_ids)),
        user_id=user_id,
        command=command,
        options=options,
    )
    KINDS[action].begin(connection, job_id, node_ids, retry_of="")
    # Nobody asked the API: this stands in the audit with the job, or not at all.
    asked = json.dumps({"node_ids": list(node_ids), "job_id": job_id})
    add_audit(connection, Asking(user_id, "shell", action), asked, ret_code=0)
    return job_id


def _admit(
    connection: Connection, action: JobAction, node_ids: Sequence[str], options: Mapping[str, Any]
) -> dict[str, str]:
    """Every node's status now. Raises what the action refuses, and Conflict for busy nodes."""
    statuses = KINDS[action].admit(connection, node_ids, options)
    not_busy(connection, node_ids)
    return statuses


def find(connection: Connection, action: str, job_id: str | None) -> Row[Any]:
    """The job with this id and action, or the newest of the action."""
    job = jobs.show_job(connection, job_id) if job_id else jobs.newest_job(connection, action)
    if job is None:
        raise NotFound(
            f"There is no job {job_id}." if job_id else f"There was no {action} job yet."
        )
    if job.action != action:
        raise NotFound(f"Job {job.job_id} is a {job.action} job, not a {action} job.")
    return job


def cancel(connection: Connection, job_id: str) -> None:
    """Ask a job to stop; one that nobody runs yet ends here and now."""
    job = jobs.lock_job(connection, job_id)  # so that no worker claims it meanwhile
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if not jobs.request_cancel(connection, job_id):
        raise Conflict(f"Job {job_id} is over already ({job.status}).")
    # Its entry stays in the queue: the worker that takes it finds nothing left to claim. Of machines
    # that an attempt before left running, a worker takes it, to switch them off.
    for part in runs.unclaimed_slices(connection, job_id):
        if not (job.action in BOOTING and part.attempt > 1):
            end(connection, part, Reason.CANCELLED, "cancelled before it began")


def retry(connection: Connection, queue: Queue, job_id: str, *, user_id: str) -> str:
    """A new job for the nodes that failed in this one; its id."""
    job = jobs.get_job(connection, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if job.status not in FINISHED:
        raise Conflict(f"Job {job_id} is still at work ({job.status}): wait for its end.")
    again = _left_to_do(connection, job)
    # The nodes that failed are not `provisioned` any more, or their caller said `reinstall` then.
    return start(
        connection,
        queue,
        JobAction(job.action),
        again,
        user_id=user_id,
        options=job.options,
        priority=job.priority,
        retry_of=job_id,
    )


def _left_to_do(connection: Connection, job: Row[Any]) -> list[str]:
    """The nodes of a job to try again. Raises Conflict when there is nothing left to do."""
    rows = jobs.get_job_nodes(connection, job.job_id)
    if not rows and job.status == JobStatus.FAILED and job.options:
        return []  # all that it works on is in its options
    if not rows and job.command:
        raise Conflict(f"Job {job.job_id} was run from a shell: run it again there.")
    failed = [row.node_id for row in rows if row.status != WorkStatus.SUCCESSFUL]
    gone = set(failed) - set(nodes.get_nodes(connection, failed))
    again = [node_id for node_id in failed if node_id not in gone]
    if not again:
        raise Conflict(f"No node failed in job {job.job_id} that still exists: nothing to retry.")
    return again
