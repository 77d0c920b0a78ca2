"""What tests do to a job without a worker."""

from typing import Any

from sqlalchemy import Connection, Row

from api.domain.ending import end
from api.states import Reason
from api.store import runs


def the_slice(connection: Connection, job_id: str) -> Row[Any]:
    """The one slice of a small job."""
    part = runs.get_slice(connection, job_id, 0)
    assert part is not None
    return part


def end_job(
    connection: Connection,
    job_id: str,
    reason: Reason | None,
    message: str,
    nodes: dict[str, dict[str, Any]] | None = None,
) -> None:
    """End a small job, as its run or a worker does."""
    end(connection, the_slice(connection, job_id), reason, message, runs.Changes(nodes=nodes or {}))
