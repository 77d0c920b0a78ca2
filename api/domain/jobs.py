"""Jobs: long actions, what they show while they run, and how they end."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Row

from api.domain import collecting, inspecting, power, provisioning, scanning
from api.domain.conditions import not_busy
from api.domain.queueing import Queue
from api.errors import Conflict, NotFound
from api.states import (
    ADVICE,
    BOOTING,
    DEFAULT_ZONE,
    FINISHED,
    JobAction,
    JobStatus,
    Reason,
    WorkStatus,
)
from api.store import jobs, nodes


class _Kind(Protocol):
    """What an action asks of its nodes, and what it makes of them; a module each."""

    def admit(
        self, connection: Connection, node_ids: Sequence[str], options: Mapping[str, Any], /
    ) -> dict[str, str]: ...

    def begin(self, connection: Connection, node_ids: Sequence[str], *, retry_of: str) -> None: ...

    def end(
        self, connection: Connection, job: Row[Any], rows: Sequence[Mapping[str, Any]], /
    ) -> None: ...


_KINDS: dict[JobAction, _Kind] = {
    JobAction.COLLECT_NODES: collecting,
    JobAction.PROVISION_BM_NODES: provisioning,
    JobAction.POWER_ON_BM_NODES: power,
    JobAction.POWER_OFF_BM_NODES: power,
    JobAction.REBOOT_BM_NODES: power,
    JobAction.GET_BM_NODES_POWER: power,
    JobAction.SCAN_BM_NODES: scanning,
    JobAction.INSPECT_BM_NODES: inspecting,
}


def start(
    connection: Connection,
    queue: Queue,
    action: JobAction,
    node_ids: Sequence[str],
    *,
    user_id: str,
    options: Mapping[str, Any] | None = None,
    retry_of: str = "",
) -> str:
    """A job that does `action` to these nodes, in the queue; its id.

    Raises NotFound, and Conflict for nodes that the action refuses or another job holds.
    """
    job_id = begin(
        connection, action, node_ids, user_id=user_id, options=options, retry_of=retry_of
    )
    job = jobs.get_job(connection, job_id)
    assert job is not None  # noqa: S101  # made three lines above, in this transaction
    queue.enqueue(connection, job_id, job.attempt, job.zone_id)
    return job_id


def begin(
    connection: Connection,
    action: JobAction,
    node_ids: Sequence[str],
    *,
    user_id: str,
    options: Mapping[str, Any] | None = None,
    command: str = "",
    retry_of: str = "",
) -> str:
    """A job that holds these nodes, not queued yet; its id. See `start` for what is refused."""
    kind = _KINDS[action]
    statuses = kind.admit(connection, node_ids, options or {})
    not_busy(connection, node_ids)
    job_id = jobs.create_job(
        connection,
        action,
        statuses,
        user_id=user_id,
        zone_id=DEFAULT_ZONE,
        command=command,
        retry_of=retry_of,
        options=options,
    )
    kind.begin(connection, node_ids, retry_of=retry_of)
    return job_id


def find(connection: Connection, action: str, job_id: str | None) -> Row[Any]:
    """The job with this id and action, or the newest of the action."""
    job = jobs.get_job(connection, job_id) if job_id else jobs.newest_job(connection, action)
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
    # An attempt before left machines running, which a worker switches off.
    stands_down = job.action in BOOTING and job.attempt > 1
    if job.worker is None and not stands_down:
        # Its entry stays in the queue: the worker that takes it finds nothing left to claim.
        end(connection, job, Reason.CANCELLED, "cancelled before it began")


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


def end(
    connection: Connection,
    job: Row[Any],
    reason: Reason | None,
    message: str,
    changes: jobs.Changes | None = None,
) -> None:
    """End a job: successful if there is no reason against it and every node succeeded.

    Nodes that nothing was heard of fail with the job's reason; what becomes of every node is the
    action's to say.
    """
    changes = changes or jobs.Changes()
    now = time.time()
    rows = {row.node_id: row._asdict() for row in jobs.get_job_nodes(connection, job.job_id)}
    for node_id, values in changes.nodes.items():
        rows[node_id] |= values
    for row in rows.values():
        if row["status"] in (WorkStatus.WAITING, WorkStatus.RUNNING):
            left = {
                "status": WorkStatus.FAILED,
                "reason": reason or Reason.RUN_ENDED,
                "message": message or "the playbook said nothing about this node",
            }
            row |= left
            changes.nodes[row["node_id"]] = changes.nodes.get(row["node_id"], {}) | left
    failed = [row for row in rows.values() if row["status"] == WorkStatus.FAILED]
    if failed and reason is None:
        reason, message = Reason.NODES_FAILED, _failed_nodes(failed, len(rows))
    changes.status = JobStatus.FAILED if reason else JobStatus.SUCCESSFUL
    for step in jobs.get_steps(connection, job.job_id):
        if step.status == WorkStatus.RUNNING:
            changes.steps[step.step_index] = {
                "status": WorkStatus.FAILED if reason else WorkStatus.SUCCESSFUL,
                "finish_time": now,
                "error": str(reason or ""),
            }
    changes.lines.append(_last_line(job, reason, message, len(rows), now))
    jobs.finish(connection, job.job_id, changes, reason=str(reason or ""), message=message)
    _KINDS[JobAction(job.action)].end(connection, job, list(rows.values()))


def _failed_nodes(failed: Sequence[Mapping[str, Any]], total: int) -> str:
    names = ", ".join(f"{row['node_id']} ({row['reason']})" for row in failed[:20])
    more = f" and {len(failed) - 20} more" if len(failed) > 20 else ""
    return f"{len(failed)} of {total} nodes failed: {names}{more}"


def _last_line(
    job: Row[Any], reason: Reason | None, message: str, total: int, now: float
) -> dict[str, Any]:
    whom = f" for all {total} nodes" if total else ""
    text = (
        f"{job.action}: failed: {message}. {ADVICE[reason]}"
        if reason
        else f"{job.action}: successful{whom}"
    )
    return {
        "time": now,
        "job_status": JobStatus.FAILED if reason else JobStatus.SUCCESSFUL,
        "node_id": "",
        "is_failure": reason is not None,
        "text": text,
    }
