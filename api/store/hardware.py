"""A node's hardware: lasting ids for its disks and networks, and the document DescribeNodes answers.

The document (`node.hardware`, JSON text) is written whole by every collect, with the ids and an
operator's decisions about disks put in; reading a node is reading one row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, update

from api.store.ids import new_id
from api.store.nodes import NODE, update_node
from api.store.tables import Disk, Network, columns

DISK = columns(Disk)
NETWORK = columns(Network)

NO_DISK: dict[str, Any] = {
    "disk_id": "",
    "id": "",
    "name": "",
    "node_id": "",
    "rest_part": "",
    "rest_size": 0.0,
    "root_part": "",
    "root_size": 0.0,
    "size": 0.0,
    "status": 0,
    "swap_part": "",
    "swap_size": 0.0,
    "type": "",
}

NO_HARDWARE: dict[str, Any] = {
    "cpu": {
        "cpu_arch": "",
        "cpu_cores": 0,
        "cpu_model": "",
        "cpu_processors": 0,
        "cpu_sockets": 0,
    },
    "data_disks": [],
    "memory": {"memory_size": 0.0},
    "mgmt_network": {
        "address": "",
        "bond_mode": "",
        "bond_name": "",
        "bond_slaves": "",
        "gateway": "",
        "name": "",
        "netmask": "",
        "vlan_id": "",
        "vlan_raw_device": "",
    },
    "networks": [],
    "os": {"kernel_version": "", "os_name": "", "os_version": ""},
    "os_disk": NO_DISK,
}

_DISK_FACTS = tuple(name for name in NO_DISK if name not in ("disk_id", "node_id", "status"))
_NETWORK_FACTS = (
    "address",
    "bond_mode",
    "gateway",
    "mac_address",
    "name",
    "netmask",
    "network",
    "raw_device",
    "raw_device_type",
    "slave_devices",
    "type",
)


def record_hardware(connection: Connection, node_id: str, found: Mapping[str, Any]) -> bool:
    """Write what a probe found (`api.hardware.Hardware` as JSON) as the node's hardware.

    True if anything is different from what was known.
    """
    # Locked: an operator's decision about a disk comes wholly before this, or wholly after it.
    known = connection.execute(
        select(NODE).where(NODE.c.node_id == node_id).with_for_update()
    ).one()
    disk_rows = _lasting_ids(
        connection,
        DISK,
        "disk_id",
        "hardware_key",
        node_id,
        [disk["key"] for disk in found["disks"]],
    )
    network_rows = _lasting_ids(
        connection, NETWORK, "network_id", "name", node_id, list(_names(found["networks"]))
    )
    disks = [_disk_view(node_id, disk, disk_rows[disk["key"]]) for disk in found["disks"]]
    os_disks = [view for view, disk in zip(disks, found["disks"], strict=True) if disk["is_os"]]
    document = {
        "cpu": found["cpu"],
        "data_disks": [
            view for view, disk in zip(disks, found["disks"], strict=True) if not disk["is_os"]
        ],
        "memory": found["memory"],
        "mgmt_network": found["mgmt_network"],
        "networks": [
            {
                **_network_view(node_id, net, network_rows),
                "raw_device_info": _network_view(node_id, net["raw_device_info"], network_rows)
                if net.get("raw_device_info")
                else {},
            }
            for net in found["networks"]
        ],
        "os": found["os"],
        "os_disk": os_disks[0] if os_disks else NO_DISK,
    }
    values = {"hardware": orjson.dumps(document).decode(), "hostname": found["hostname"]}
    if found["system"]["serial_number"]:
        values["serial_number"] = found["system"]["serial_number"]
    if all(getattr(known, name) == value for name, value in values.items()):
        return False
    update_node(connection, node_id, values)
    return True


def decide_disks(
    connection: Connection,
    node_id: str,
    names: Sequence[str],
    *,
    disk_type: str | None,
    status: int | None,
) -> list[str]:
    """Set type and status of these data disks, for good; returns the names that are unknown."""
    text = connection.execute(
        select(NODE.c.hardware).where(NODE.c.node_id == node_id).with_for_update()
    ).scalar_one()
    document = orjson.loads(text) if text else {"data_disks": []}
    disks = {disk["name"]: disk for disk in document["data_disks"]}
    unknown = [name for name in names if name not in disks]
    if unknown:
        return unknown
    decision = {
        name: value
        for name, value in (("type", disk_type), ("status", status))
        if value is not None
    }
    for name in names:
        disks[name] |= decision
        connection.execute(
            update(DISK).where(DISK.c.disk_id == disks[name]["disk_id"]).values(**decision)
        )
    update_node(connection, node_id, {"hardware": orjson.dumps(document).decode()})
    return []


def _lasting_ids(
    connection: Connection, table: Any, id_name: str, key_name: str, node_id: str, keys: list[str]
) -> dict[str, Any]:
    """The rows that stand for these parts of the node, by key; made for parts never seen before.

    Parts that are gone keep their row: put back in, they get their old id.
    """
    query = select(table).where(table.c.node_id == node_id)
    known = {getattr(row, key_name): row for row in connection.execute(query)}
    missing = [key for key in dict.fromkeys(keys) if key not in known]
    if missing:
        kind = "d" if table is DISK else "e"
        connection.execute(
            insert(table),
            [{id_name: new_id(kind), "node_id": node_id, key_name: key} for key in missing],
        )
        known = {getattr(row, key_name): row for row in connection.execute(query)}
    return known


def _names(networks: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    raw = [net["raw_device_info"] for net in networks if net.get("raw_device_info")]
    names = [name for net in (*networks, *raw) for name in (net["name"], net["raw_device"])]
    return [name for name in names if name]


def _disk_view(node_id: str, disk: Mapping[str, Any], row: Any) -> dict[str, Any]:
    status = row.status if row.status is not None else int(not disk["is_os"])
    return {
        **{name: disk[name] for name in _DISK_FACTS},
        "disk_id": row.disk_id,
        "node_id": node_id,
        "status": status,
        "type": row.type or disk["type"],
    }


def _network_view(
    node_id: str, network: Mapping[str, Any], rows: Mapping[str, Any]
) -> dict[str, Any]:
    below = network["raw_device"]
    return {
        **{name: network[name] for name in _NETWORK_FACTS},
        "network_id": rows[network["name"]].network_id,
        "node_id": node_id,
        "raw_device_id": rows[below].network_id if below else "",
    }
