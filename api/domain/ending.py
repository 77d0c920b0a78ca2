"""How slices end, and with the last of them their job."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.counting import count_job, count_slice
from api.domain.kinds import KINDS
from api.states import ADVICE, JobAction, JobStatus, Reason, WorkStatus, step_status
from api.store import jobs, runs

logger = logging.getLogger("firstbox.jobs")


def end(
    connection: Connection,
    part: Row[Any],
    reason: Reason | None,
    message: str,
    changes: runs.Changes | None = None,
) -> None:
    """End a slice: successful if there is no reason against it and every node succeeded.

    Nodes that nothing was heard of fail with the slice's reason; what becomes of every node is the
    action's to say. The job ends with its last slice; after too many failures, the slices that did
    not begin end too.
    """
    _end_slice(connection, part, reason, message, changes or runs.Changes())
    most = part.options.get("max_failures")
    is_cancelled = reason == Reason.CANCELLED  # who cancels ends the others himself
    if most and not is_cancelled and (failed := jobs.count_failed(connection, part.job_id)) >= most:
        why = f"{failed} nodes had failed, and the job allows less than {most}"
        for other in runs.unclaimed_slices(connection, part.job_id):
            if other.attempt == 1:  # one that was at work has machines to see to
                _end_slice(connection, other, Reason.TOO_MANY_FAILURES, why, runs.Changes())
    _end_job(connection, part)


def _end_slice(
    connection: Connection,
    part: Row[Any],
    reason: Reason | None,
    message: str,
    changes: runs.Changes,
) -> None:
    of_slice = runs.get_slice_nodes(connection, part.job_id, part.slice_index)
    rows = {row.node_id: row._asdict() for row in of_slice}
    for node_id, values in changes.nodes.items():
        rows[node_id] |= values
    left = {
        "status": WorkStatus.FAILED,
        "reason": reason or Reason.RUN_ENDED,
        "message": message or "the playbook said nothing about this node",
    }
    for row in rows.values():
        if row["status"] in (WorkStatus.WAITING, WorkStatus.RUNNING):
            row |= left
            changes.nodes[row["node_id"]] = changes.nodes.get(row["node_id"], {}) | left
    failed = [row for row in rows.values() if row["status"] == WorkStatus.FAILED]
    if failed and reason is None:
        reason, message = Reason.NODES_FAILED, _failed_nodes(failed, len(rows))
    changes.status = WorkStatus.FAILED if reason else WorkStatus.SUCCESSFUL
    _end_steps(connection, part, reason, changes)
    runs.finish_slice(
        connection,
        part.job_id,
        part.slice_index,
        changes,
        reason=str(reason or ""),
        message=message,
    )
    KINDS[JobAction(part.action)].end(connection, part, list(rows.values()))
    count_slice(connection, part, list(rows.values()))


def _end_steps(
    connection: Connection, part: Row[Any], reason: Reason | None, changes: runs.Changes
) -> None:
    for step in runs.get_slice_steps(connection, part.job_id, part.slice_index):
        if step.status == WorkStatus.RUNNING:
            changes.steps[step.step_index] = {
                "status": WorkStatus.FAILED if reason else WorkStatus.SUCCESSFUL,
                "finish_time": time.time(),
                "error": str(reason or ""),
            }


def _end_job(connection: Connection, part: Row[Any]) -> None:
    """End the job if this slice was its last; else say how the slice ended."""
    slices = jobs.get_slices(connection, part.job_id)
    left = [row for row in slices if row.status in (WorkStatus.WAITING, WorkStatus.RUNNING)]
    total = sum(jobs.count_nodes(connection, [part.job_id])[part.job_id].values())
    if len(slices) > 1:
        ended = next(row for row in slices if row.slice_index == part.slice_index)
        what = f"slice {part.slice_index + 1} of {len(slices)} (zone {part.zone_id})"
        _say_end(connection, part, what, ended.reason, ended.message, step_status(part.step_index))
    if left:
        return
    reason, message = _verdict(connection, part, slices, total)
    status = JobStatus.FAILED if reason else JobStatus.SUCCESSFUL
    whom = f" for all {total} nodes" if total and not reason else ""
    _say_end(connection, part, part.action, reason, message, status, whom=whom)
    jobs.finish_job(connection, part.job_id, status, reason=reason, message=message)
    count_job(connection, part.action, status, {row.zone_id for row in slices})


def _verdict(
    connection: Connection, part: Row[Any], slices: Sequence[Row[Any]], total: int
) -> tuple[str, str]:
    """Why the job failed: its one slice's reason, or what its slices have in common."""
    if len(slices) == 1:
        return slices[0].reason, slices[0].message
    reasons = {row.reason: row.message for row in slices if row.reason}
    for first in (Reason.CANCELLED, Reason.TOO_MANY_FAILURES):
        if first in reasons:
            return first, reasons[first]
    others = [reason for reason in reasons if reason != Reason.NODES_FAILED]
    if len(reasons) == 1 and others:
        return others[0], reasons[others[0]]
    if reasons:
        rows = jobs.get_job_nodes(connection, part.job_id)
        failed = [row._asdict() for row in rows if row.status == WorkStatus.FAILED]
        return Reason.NODES_FAILED, _failed_nodes(failed, total)
    return "", ""


def _failed_nodes(failed: Sequence[Mapping[str, Any]], total: int) -> str:
    names = ", ".join(f"{row['node_id']} ({row['reason']})" for row in failed[:20])
    more = f" and {len(failed) - 20} more" if len(failed) > 20 else ""
    return f"{len(failed)} of {total} nodes failed: {names}{more}"


def _say_end(
    connection: Connection,
    part: Row[Any],
    what: str,
    reason: str,
    message: str,
    job_status: str,
    *,
    whom: str = "",
) -> None:
    text = (
        f"{what}: failed: {message}. {ADVICE[Reason(reason)]}"
        if reason
        else f"{what}: successful{whom}"
    )
    line = {
        "time": time.time(),
        "job_status": job_status,
        "node_id": "",
        "is_failure": bool(reason),
        "text": text,
    }
    jobs.add_lines(connection, part.job_id, [line])
    logger.log(logging.WARNING if reason else logging.INFO, "%s", text)
