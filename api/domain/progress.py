"""What a job shows of itself."""

import math
import time
from collections.abc import Sequence
from typing import Any, TypedDict

from sqlalchemy import Connection, Row

from api.states import ADVICE, FINISHED, Priority, Reason, WorkStatus
from api.store import jobs
from api.times import wire_time


class RecentStatuses:
    """Statuses read before, so that many consoles watching one job cost as much as one.

    Events reach the database every 0.25 s: what is younger than that, or of a finished job, is told
    from memory. So is what is older, while the job's version says that nothing changed since.
    """

    _YOUNG = 0.1  # seconds
    _MOST_NODES = 20_000  # in all that is remembered: some 10 MB

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int, dict[str, Any]]] = {}

    def read(self, connection: Connection, job: Row[Any]) -> dict[str, Any]:
        """The job's status; its steps and nodes are read only if it changed since the last time."""
        _, version, known = self._known.get(job.job_id, (0.0, -1, {}))
        # The version was read before the rest: what changes meanwhile is read again the next time.
        present = known if version == job.version else status(connection, job)
        self._remember(present, job.version)
        return present

    def _remember(self, status: dict[str, Any], version: int) -> None:
        nodes = sum(len(status["nodes"]) for _, _, status in list(self._known.values()))
        if nodes + len(status["nodes"]) > self._MOST_NODES or len(self._known) > 1000:
            self._known.clear()
        is_over = status["status"] in FINISHED
        until = math.inf if is_over else time.monotonic() + self._YOUNG
        self._known[status["job_id"]] = (until, version, status)

    def recall(self, job_id: str, action: str) -> dict[str, Any] | None:
        """The job's status, if it is known and young enough."""
        until, _, status = self._known.get(job_id, (0.0, -1, {}))
        if time.monotonic() > until or status["job_action"] != action:
            return None
        return status


def status(connection: Connection, job: Row[Any]) -> dict[str, Any]:
    """A job's status, steps and nodes, as GetStatus answers them."""
    steps = jobs.get_steps(connection, job.job_id)
    nodes = jobs.get_job_nodes(connection, job.job_id)
    return {
        "job_action": job.action,
        "status": job.status,
        "pre_status": job.pre_status,
        "job_id": job.job_id,
        "reason": job.reason,
        "advice": _advice(job.reason),
        "steps": [_step(row) for row in steps],
        "nodes": [_node(row) for row in nodes],
        "progress": _progress(job, steps, nodes),
    }


class Lines(TypedDict):
    """Which lines of a log: of one status, or of what failed; after a number; and how many."""

    job_status: str | None
    after: int
    limit: int | None


def log(
    connection: Connection, job_id: str, *, job_status: str | None, after: int, limit: int | None
) -> list[tuple[int, str]]:
    """Numbered lines of a job's log."""
    rows = jobs.get_log(connection, job_id, job_status=job_status, after=after, limit=limit)
    return [(row.number, row.text) for row in rows]


def describe(
    connection: Connection,
    *,
    job_ids: Sequence[str] | None,
    action: str | None,
    status: str | None,
    node_id: str | None,
    sort_key: str,
    reverse: bool,
    limit: int | None,
    offset: int,
) -> tuple[int, list[dict[str, Any]]]:
    """How many jobs match, and one page of them; all conditions must hold."""
    conditions = jobs.matches(job_ids=job_ids, action=action, status=status, node_id=node_id)
    total, rows = jobs.find_jobs(
        connection, conditions, sort_key=sort_key, reverse=reverse, limit=limit, offset=offset
    )
    found = [row.job_id for row in rows]
    counts = jobs.count_nodes(connection, found)
    slices = jobs.slices_of(connection, found)
    return total, [_job(row, counts[row.job_id], slices[row.job_id]) for row in rows]


def _job(job: Row[Any], counts: dict[str, int], slices: Row[Any]) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "job_action": job.action,
        "status": job.status,
        "pre_status": job.pre_status,
        "reason": job.reason,
        "message": job.message,
        "user_id": job.user_id,
        "command": job.command,
        "retry_of": job.retry_of,
        "zone_id": job.zone_id,
        "priority": Priority(job.priority).name.lower(),
        "slice_count": slices.slices,
        "attempt": slices.attempt,
        "create_time": wire_time(job.create_time),
        "start_time": wire_time(job.start_time),
        "finish_time": wire_time(job.finish_time),
        "node_count": sum(counts.values()),
        "successful_count": counts.get(WorkStatus.SUCCESSFUL, 0),
        "failed_count": counts.get(WorkStatus.FAILED, 0),
    }


def _step(row: Row[Any]) -> dict[str, Any]:
    return {
        "index": row.step_index,
        "name": row.name,
        "status": _step_status(row),
        "started": wire_time(row.start_time),
        "finished": wire_time(None if row.waiting or row.running else row.finish_time),
        "deadline": wire_time(row.deadline),
        "error": row.error,
    }


def _step_status(row: Row[Any]) -> WorkStatus:
    """Of a step over all slices: it runs from the first one's begin to the last one's end."""
    if row.running or (row.waiting and (row.successful or row.failed)):
        return WorkStatus.RUNNING
    if row.waiting:
        return WorkStatus.WAITING
    return WorkStatus.FAILED if row.failed and not row.successful else WorkStatus.SUCCESSFUL


def _node(row: Row[Any]) -> dict[str, Any]:
    return {
        "node_id": row.node_id,
        "status": row.status,
        "step": row.step_index,
        "reason": row.reason,
        "message": row.message,
        "advice": _advice(row.reason),
    }


def _advice(reason: str) -> str:
    return ADVICE[Reason(reason)] if reason else ""


def _progress(job: Row[Any], steps: Sequence[Row[Any]], nodes: Sequence[Row[Any]]) -> float:
    """0 to 1: each node counts the steps it has behind it, a job without nodes its own."""
    if job.status in FINISHED:
        return 1.0
    over = (WorkStatus.SUCCESSFUL, WorkStatus.FAILED)
    if not nodes:
        return round(sum(_step_status(step) in over for step in steps) / len(steps), 3)
    done = sum(len(steps) if row.status in over else row.step_index for row in nodes)
    return round(done / (len(steps) * len(nodes)), 3)
