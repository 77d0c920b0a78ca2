"""Nodes that have an operating system: what may be done to them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from api.domain import jobs
from api.domain.conditions import known, not_busy
from api.domain.queueing import Queue
from api.errors import Conflict, NotFound
from api.states import JobAction
from api.store import bm_nodes, hardware, nodes
from api.times import wire_time

NO_HARDWARE = orjson.dumps(hardware.NO_HARDWARE).decode()


def add(
    connection: Connection, queue: Queue, addresses: Sequence[str], *, user_id: str, zone_id: str
) -> tuple[list[str], dict[str, str], str]:
    """Pending nodes for addresses not known yet, and a job that collects them.

    A registered machine that is to be reached at one of the addresses, and was not until now, is
    added under its own id. Returns the ids added, the nodes that have the other addresses already
    (address -> id), and the job's id ("" when there is nothing new).
    """
    known = bm_nodes.find_owners(connection, "address", addresses)
    new = [address for address in addresses if address not in known]
    added = bm_nodes.find_bare(connection, addresses)
    for address, node_id in added.items():
        nodes.set_address(connection, node_id, address, "")
    added |= zip(new, nodes.add_nodes(connection, new, zone_id), strict=True)
    node_ids = [added[address] for address in addresses if address in added]
    existing = {
        address: known[address]
        for address in addresses
        if address in known and address not in added
    }
    if not node_ids:
        return [], existing, ""
    job_id = jobs.start(connection, queue, JobAction.COLLECT_NODES, node_ids, user_id=user_id)
    return node_ids, existing, job_id


def delete(connection: Connection, node_ids: Sequence[str]) -> None:
    """Remove nodes, all or nothing; refused while a job is at one of them.

    A machine that is registered keeps its id and its registration, but has no operating system to
    us any more.
    """
    known(connection, node_ids)
    not_busy(connection, node_ids)
    machines = bm_nodes.get_bm_nodes(connection, node_ids)
    nodes.forget_systems(connection, list(machines))
    nodes.delete_nodes(connection, [node_id for node_id in node_ids if node_id not in machines])


def change(
    connection: Connection,
    node_id: str,
    values: Mapping[str, Any],
    *,
    data_disks: Sequence[str],
    disk_type: str | None,
    disk_status: int | None,
) -> None:
    """Set attributes of a node, and type and status of some of its data disks."""
    known(connection, [node_id])
    if "hostname" in values:
        hostname = values["hostname"].lower()
        others = bm_nodes.find_owners(connection, "hostname", [hostname], but=node_id)
        if others:
            raise Conflict(f"Node {others[hostname]} has the hostname {hostname} already.")
    if data_disks:
        unknown = hardware.decide_disks(
            connection, node_id, data_disks, disk_type=disk_type, status=disk_status
        )
        if unknown:
            raise NotFound(f"Node {node_id} has no data disk {', '.join(unknown)}.")
    if values:
        nodes.update_node(connection, node_id, values)


def view(row: Row[Any], fields: Collection[str] | None = None) -> orjson.Fragment | dict[str, Any]:
    """A node as DescribeNodes shows it; the hardware document is passed on unread."""
    own = {
        "create_time": wire_time(row.create_time),
        "description": row.description,
        "hostname": row.hostname,
        "node_id": row.node_id,
        "pre_status": row.pre_status,
        "product_name": row.product_name,
        "product_type": row.product_type,
        "role": row.role,
        "status": row.status,
        "sub_roles": row.sub_roles,
        "update_time": wire_time(row.update_time),
        "zone_id": row.zone_id,
        "address": row.address or "",
        "serial_number": row.serial_number,
    }
    document = row.hardware or NO_HARDWARE
    if fields is None:
        return orjson.Fragment(orjson.dumps(own)[:-1] + b"," + document[1:].encode())
    whole = own | orjson.loads(document)
    return {name: whole[name] for name in whole if name in fields or name == "node_id"}
