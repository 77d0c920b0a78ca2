"""What an InspectBMNodes job asks of machines: they boot the ramdisk, which looks and writes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import named, registered
from api.errors import Conflict
from api.store import boots, images, installations, nodes

# What a network boot needs to know of a machine.
_NEEDED = ("ipmi_network_address", "ipmi_username", "ipmi_password", "pxe_network_mac_addr")


def admit(
    connection: Connection, node_ids: Sequence[str], options: Mapping[str, Any]
) -> dict[str, str]:
    """Every machine's status now.

    Raises NotFound, and Conflict for machines that cannot be booted, or run what must not be
    interrupted. A machine that discovery booted into the ramdisk needs no boot.
    """
    rows = registered(connection, node_ids)
    _refuse_in_use(nodes.get_nodes(connection, node_ids).values())
    if not options.get("interrupt"):
        running = installations.with_systems(connection, node_ids)
        if running:
            what = "an operating system, which an inspection interrupts: ask with interrupt 1"
            raise Conflict(f"Node {named(sorted(running))} runs {what}.")
    up = boots.in_ramdisk(connection, node_ids)
    to_boot = [row for node_id, row in rows.items() if node_id not in up]
    _refuse_incomplete(to_boot)
    _need_ramdisks(connection, to_boot)
    return {node_id: row.status for node_id, row in rows.items()}


def begin(connection: Connection, job_id: str, node_ids: Sequence[str], *, retry_of: str) -> None:
    """Nothing changes: to be looked at is no step of a machine's life."""


def end(connection: Connection, _job: Row[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """None of them is answered any more when it boots; the steps wrote down what they found."""
    boots.close_boots(connection, [row["node_id"] for row in rows])


def _refuse_in_use(rows: Iterable[Row[Any]]) -> None:
    in_use = sorted(f"{row.node_id} (role {row.role})" for row in rows if row.role)
    if in_use:
        raise Conflict(f"Node {named(in_use)} is in use: only nodes without a role are inspected.")


def _refuse_incomplete(rows: Iterable[Row[Any]]) -> None:
    lacks = {row.node_id: [name for name in _NEEDED if not getattr(row, name)] for row in rows}
    wrong = [f"{node_id} ({', '.join(names)})" for node_id, names in sorted(lacks.items()) if names]
    if wrong:
        raise Conflict(f"Fields that a network boot needs are missing of node {named(wrong)}.")


def _need_ramdisks(connection: Connection, rows: Iterable[Row[Any]]) -> None:
    by_arch: dict[str, list[str]] = {}
    for row in rows:
        by_arch.setdefault(row.cpu_arch, []).append(row.node_id)
    for cpu_arch, node_ids in by_arch.items():
        if images.find_ramdisk(connection, cpu_arch) is None:
            which = (
                f"ramdisk for {cpu_arch}" if cpu_arch else "one ramdisk for machines of any kind"
            )
            raise Conflict(
                f"There is no {which}, which node {named(node_ids)} boots: make it with "
                "`firstbox image build`, or give cpu_arch."
            )
