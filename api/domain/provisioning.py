"""What a ProvisionBMNodes job asks of machines, and what it makes of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import named, registered
from api.errors import Conflict
from api.states import RAMDISK, BmNodeStatus, BootMethod, NodeStatus, WorkStatus
from api.store import bm_nodes, boots, nodes
from api.store.ids import new_id
from api.store.images import find_image
from api.store.outbox import Cause, causes


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
    _need_images(connection, list(rows.values()), options)
    return {node_id: row.status for node_id, row in rows.items()}


def begin(connection: Connection, job_id: str, node_ids: Sequence[str], *, retry_of: str) -> None:
    """A job is at them now. A retry goes on with the same installation, so that what is proved
    done need not be done again."""
    why = dict.fromkeys(node_ids, Cause(job_id))
    bm_nodes.move_bm_nodes(connection, dict.fromkeys(node_ids, BmNodeStatus.PROVISIONING), why)
    nodes.move_nodes(connection, dict.fromkeys(node_ids, NodeStatus.COLLECTING), why)
    rows = bm_nodes.get_bm_nodes(connection, node_ids)
    for node_id, row in rows.items():
        if not (retry_of and row.provision_id):
            bm_nodes.update_bm_node(connection, node_id, {"provision_id": new_id("p")})


def end(connection: Connection, job: Row[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Every machine leaves `provisioning`; none is answered any more when it boots."""
    ids = [row["node_id"] for row in rows]
    touched = set(boots.boots_of_nodes(connection, ids))  # before that, a job only looks
    boots.close_boots(connection, ids)
    moves: dict[str, BmNodeStatus] = {}
    node_moves: dict[str, NodeStatus] = {}
    before = nodes.get_nodes(connection, ids)
    for row in rows:
        node_id, is_done = row["node_id"], row["status"] == WorkStatus.SUCCESSFUL
        moves[node_id] = _status_after(row, is_done=is_done, was_touched=node_id in touched)
        if is_done:
            node_moves[node_id] = NodeStatus.AVAILABLE
        elif node_id in before:
            node_moves[node_id] = _node_status_after(
                before[node_id], was_touched=node_id in touched
            )
    why = causes(job.job_id, rows)
    bm_nodes.move_bm_nodes(connection, moves, why)
    nodes.move_nodes(connection, node_moves, why)


def _status_after(row: Mapping[str, Any], *, is_done: bool, was_touched: bool) -> BmNodeStatus:
    if is_done:
        return BmNodeStatus.PROVISIONED
    # What runs goes on to run: it must not lose the protection of having to ask for `reinstall`.
    return BmNodeStatus.FAILED if was_touched else BmNodeStatus(row["node_status"])


def _node_status_after(node: Row[Any], *, was_touched: bool) -> NodeStatus:
    if node.address is None:
        return NodeStatus.PENDING
    return NodeStatus.UNREACHABLE if was_touched else NodeStatus(node.pre_status)


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


def _was_never_written(row: Row[Any]) -> bool:
    return not row.written_disk


def _need_images(
    connection: Connection, rows: Sequence[Row[Any]], options: Mapping[str, Any]
) -> None:
    """Conflict where there is nothing to install, or nothing to install it with."""
    wanted: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        wanted.setdefault((row.os_version, row.cpu_arch, row.image), []).append(row.node_id)
    for (os_version, cpu_arch, name), node_ids in wanted.items():
        image = find_image(connection, os_version, cpu_arch, name)
        what = f"image {name}" if name else f"image for {os_version} on {cpu_arch}"
        if image is None:
            raise Conflict(f"There is no {what}, which node {named(node_ids)} is to get.")
        is_image = image.method == BootMethod.IMAGE
        # An installer takes the disk without a look at it: the question is asked before.
        if not is_image and not options.get("erase"):
            theirs = [row for row in rows if row.node_id in node_ids]
            _refuse(
                theirs,
                _was_never_written,
                f"to get {what}, whose installer overwrites what is on the disk: ask with erase 1",
            )
        if is_image and find_image(connection, RAMDISK, cpu_arch, "") is None:
            raise Conflict(
                f"There is no ramdisk for {cpu_arch}, which node {named(node_ids)} boots first: "
                "make it with `firstbox image build`."
            )
