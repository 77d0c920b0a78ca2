"""What a ProvisionBMNodes job asks of machines, and what it makes of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import named, registered
from api.errors import Conflict
from api.states import BmNodeStatus, BootMethod, NodeStatus, WorkStatus
from api.store import bm_nodes, boots, nodes
from api.store.ids import new_id
from api.store.images import RAMDISK, find_image


def admit(
    connection: Connection, node_ids: Sequence[str], options: Mapping[str, Any]
) -> dict[str, str]:
    """Every machine's status now.

    Raises NotFound, and Conflict for machines that must not or cannot be installed.
    """
    rows = registered(connection, node_ids)
    _refuse(rows.values(), _is_protected, "protected, and never erased")
    _refuse(rows.values(), _is_discovered, "not registered in full: give the missing fields first")
    if not options.get("reinstall"):
        _refuse(rows.values(), _is_provisioned, "provisioned already: ask with reinstall 1")
    _refuse(rows.values(), _has_no_address, "without a management or public address")
    in_use = nodes.get_nodes(connection, node_ids).values()
    _refuse(in_use, _has_role, "in use (its role is not empty)")
    _need_images(connection, rows.values())
    return {node_id: row.status for node_id, row in rows.items()}


def begin(connection: Connection, node_ids: Sequence[str], *, retry_of: str) -> None:
    """A job is at them now. A retry goes on with the same installation, so that what is proved
    done need not be done again."""
    bm_nodes.move_bm_nodes(connection, dict.fromkeys(node_ids, BmNodeStatus.PROVISIONING))
    nodes.move_nodes(connection, dict.fromkeys(node_ids, NodeStatus.COLLECTING))
    rows = bm_nodes.get_bm_nodes(connection, node_ids)
    for node_id, row in rows.items():
        if not (retry_of and row.provision_id):
            bm_nodes.update_bm_node(connection, node_id, {"provision_id": new_id("p")})


def end(connection: Connection, _job: Row[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Every machine leaves `provisioning`; none is answered any more when it boots."""
    ids = [row["node_id"] for row in rows]
    boots.close_boots(connection, ids)
    bm_nodes.move_bm_nodes(connection, {row["node_id"]: _status_after(row) for row in rows})
    before = nodes.get_nodes(connection, ids)
    nodes.move_nodes(
        connection,
        {
            row["node_id"]: _node_status_after(row, before[row["node_id"]])
            for row in rows
            if row["node_id"] in before
        },
    )


def _was_touched(row: Mapping[str, Any]) -> bool:
    return int(row["step_index"]) > 0  # preflight only looks


def _status_after(row: Mapping[str, Any]) -> BmNodeStatus:
    if row["status"] == WorkStatus.SUCCESSFUL:
        return BmNodeStatus.PROVISIONED
    # What runs goes on to run: it must not lose the protection of having to ask for `reinstall`.
    if not _was_touched(row) and row["node_status"] != BmNodeStatus.FAILED:
        return BmNodeStatus(row["node_status"])
    return BmNodeStatus.FAILED


def _node_status_after(row: Mapping[str, Any], node: Row[Any]) -> NodeStatus:
    if row["status"] == WorkStatus.SUCCESSFUL:
        return NodeStatus.AVAILABLE
    if node.address is None:
        return NodeStatus.PENDING
    return NodeStatus.UNREACHABLE if _was_touched(row) else NodeStatus(node.pre_status)


def _refuse(rows: Iterable[Row[Any]], is_wrong: Any, what: str) -> None:
    wrong = sorted(row.node_id for row in rows if is_wrong(row))
    if wrong:
        raise Conflict(f"Node {named(wrong)} is {what}.")


def _is_protected(row: Row[Any]) -> bool:
    return bool(row.protected)


def _is_discovered(row: Row[Any]) -> bool:
    return bool(row.status == BmNodeStatus.DISCOVERED)


def _is_provisioned(row: Row[Any]) -> bool:
    return bool(row.status == BmNodeStatus.PROVISIONED)


def _has_no_address(row: Row[Any]) -> bool:
    return not (row.mgmt_network_address or row.public_network_address)


def _has_role(row: Row[Any]) -> bool:
    return bool(row.role)


def _need_images(connection: Connection, rows: Iterable[Row[Any]]) -> None:
    """Conflict where there is nothing to install, or nothing to install it with."""
    wanted: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        wanted.setdefault((row.os_version, row.cpu_arch, row.image), []).append(row.node_id)
    for (os_version, cpu_arch, name), node_ids in wanted.items():
        image = find_image(connection, os_version, cpu_arch, name)
        what = f"image {name}" if name else f"image for {os_version} on {cpu_arch}"
        if image is None:
            raise Conflict(f"There is no {what}, which node {named(node_ids)} is to get.")
        needs_ramdisk = image.method == BootMethod.IMAGE
        if needs_ramdisk and find_image(connection, RAMDISK, cpu_arch, "") is None:
            raise Conflict(
                f"There is no ramdisk for {cpu_arch}, which node {named(node_ids)} boots first: "
                "make it with `firstbox image build`."
            )
