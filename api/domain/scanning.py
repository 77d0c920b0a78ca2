"""What a ScanBMNodes job asks of registered machines, and what its results show."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import named, registered
from api.errors import Conflict
from api.states import ADVICE, Reason
from api.store import scans

_SHOWN = (
    "address", "outcome", "node_id", "bmc_type", "bmc_port", "credential", "brand", "product",
    "serial_number", "bmc_mac", "boot_macs", "power_state", "reason", "message",
)  # fmt: skip


def admit(
    connection: Connection, node_ids: Sequence[str], _options: Mapping[str, Any]
) -> dict[str, str]:
    """Every machine's status now; none in a scan of ranges.

    Raises NotFound, and Conflict for machines whose BMC nobody knows.
    """
    rows = registered(connection, node_ids)
    unknown = sorted(
        row.node_id
        for row in rows.values()
        if not (row.ipmi_network_address and row.ipmi_username and row.ipmi_password)
    )
    if unknown:
        raise Conflict(f"Node {named(unknown)} has no BMC address and login to ask with.")
    return {node_id: row.status for node_id, row in rows.items()}


def begin(connection: Connection, job_id: str, node_ids: Sequence[str], *, retry_of: str) -> None:
    """Nothing changes: machines are only asked."""


def end(connection: Connection, _job: Row[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Nothing changes; the last step registered what was found."""


def results(connection: Connection, job_id: str) -> list[dict[str, Any]]:
    """What a scan made of each address that answered, in their order."""
    return [
        {name: getattr(row, name) for name in _SHOWN}
        | {"advice": ADVICE[Reason(row.reason)] if row.reason else ""}
        for row in scans.get_results(connection, job_id)
    ]
