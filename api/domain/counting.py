"""What is counted of jobs when they end, for `/metrics`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.states import BMC_REASONS, JobAction, WorkStatus
from api.store.runs import get_slice_steps
from api.store.scans import count_reasons
from api.store.tallies import add, observe


def count_slice(connection: Connection, part: Row[Any], nodes: Sequence[Mapping[str, Any]]) -> None:
    """Count the steps of a slice that ended, and why its nodes failed."""
    for step in get_slice_steps(connection, part.job_id, part.slice_index):
        if step.start_time is not None and step.finish_time is not None:
            labels = {"action": part.action, "step": step.name}
            observe(connection, "step_seconds", labels, step.finish_time - step.start_time)
    reasons = Counter(row["reason"] for row in nodes if row["status"] == WorkStatus.FAILED)
    for reason, number in reasons.items():
        labels = {"action": part.action, "reason": str(reason)}
        add(connection, "node_failures", labels, number)
    if part.action == JobAction.SCAN_BM_NODES and not nodes:
        reasons = Counter(count_reasons(connection, part.job_id))
    for reason in BMC_REASONS & set(reasons):
        add(connection, "bmc_errors", {"reason": str(reason)}, reasons[reason])


def count_job(connection: Connection, action: str, status: str, zones: Iterable[str]) -> None:
    """Count a job that ended, in each of its zones."""
    for zone in set(zones):
        labels = {"action": action, "status": status, "zone": zone}
        add(connection, "jobs_finished", labels)


def count_lost_run(connection: Connection, action: str) -> None:
    """Count a run that died and is begun again."""
    add(connection, "runs_lost", {"action": action})
