"""What jobs about power ask of machines; they change no status, but nobody else may have them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import registered


def admit(
    connection: Connection, node_ids: Sequence[str], _options: Mapping[str, Any]
) -> dict[str, str]:
    """Every machine's status now. Raises NotFound for those without a registered BMC."""
    rows = registered(connection, node_ids)
    return {node_id: row.status for node_id, row in rows.items()}


def begin(connection: Connection, job_id: str, node_ids: Sequence[str], *, retry_of: str) -> None:
    """Nothing changes: switching a machine on or off is no step of its life."""


def end(connection: Connection, _job: Row[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Nothing changes."""
