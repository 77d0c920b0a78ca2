"""What a CollectNodes job asks of its nodes, and what it makes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import known, not_in_use
from api.states import UNREACHABLE_REASONS, NodeStatus, WorkStatus
from api.store import nodes
from api.store.outbox import Cause, causes


def admit(
    connection: Connection, node_ids: Sequence[str], _options: Mapping[str, Any]
) -> dict[str, str]:
    """Every node's status now. Raises NotFound, and Conflict for nodes in use."""
    rows = known(connection, node_ids)
    not_in_use(rows.values())
    return {node_id: row.status for node_id, row in rows.items()}


def begin(connection: Connection, job_id: str, node_ids: Sequence[str], *, retry_of: str) -> None:
    """A job is at them now."""
    moves = dict.fromkeys(node_ids, NodeStatus.COLLECTING)
    nodes.move_nodes(connection, moves, dict.fromkeys(node_ids, Cause(job_id)))


def end(connection: Connection, job: Row[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Every node leaves `collecting`; `rows` say what came of each."""
    moves = {row["node_id"]: _status_after(row) for row in rows}
    nodes.move_nodes(connection, moves, causes(job.job_id, rows))


def _status_after(row: Mapping[str, Any]) -> NodeStatus:
    if row["status"] == WorkStatus.SUCCESSFUL:
        return NodeStatus.AVAILABLE
    if row["reason"] in UNREACHABLE_REASONS:
        return NodeStatus.UNREACHABLE
    return NodeStatus(row["node_status"] or NodeStatus.PENDING)  # nothing new is known
