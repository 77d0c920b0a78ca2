"""What the ramdisk finds in a machine without an operating system, kept with its registration."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from api.errors import Conflict
from api.registration.rules import missing
from api.states import BmNodeStatus
from api.store.bm_nodes import BM_NODE, find_owners, move_bm_nodes, update_bm_node

RAMDISK_SOURCE = "ramdisk"
_DISK_FACTS = ("name", "id", "type", "size", "serial", "model")
_NETWORK_FACTS = ("name", "mac_address", "link", "speed", "lldp")
_ARCHITECTURES = ("x86_64", "aarch64")  # those that anything can be installed on
_BOOT_MODES = ("bios", "uefi")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of it."""

    changed: bool
    is_complete: bool  # nothing is missing any more of a machine of which something was


def record_bare_hardware(
    connection: Connection, node_id: str, found: Mapping[str, Any], *, boot_mode: str
) -> Recorded:
    """Write what a probe found in the ramdisk (`api.hardware.Hardware` as JSON), and fill in what the
    registration leaves open. Raises Conflict, with nothing written, for the serial number of another.
    """
    known = connection.execute(
        select(BM_NODE).where(BM_NODE.c.node_id == node_id).with_for_update()
    ).one()
    _refuse_contradiction(connection, known, found["system"]["serial_number"])
    values = _open_fields(known, found, boot_mode)
    document = orjson.dumps(_document(found)).decode()
    changed = bool(values) or document != known.hardware
    values |= {
        "hardware": document,
        "hardware_source": RAMDISK_SOURCE,
        "hardware_time": time.time(),
    }
    update_bm_node(connection, node_id, values)
    return Recorded(changed, _complete(connection, known, values))


def _refuse_contradiction(connection: Connection, known: Row[Any], serial_number: str) -> None:
    if not serial_number:
        return
    if known.serial_number and known.serial_number != serial_number:
        raise Conflict(
            f"its serial number is {serial_number}, and {known.serial_number} is registered"
        )
    owners = find_owners(connection, "serial number", [serial_number], but=known.node_id)
    if owners:
        raise Conflict(f"node {owners[serial_number]} has the serial number {serial_number} too")


def _open_fields(known: Row[Any], found: Mapping[str, Any], boot_mode: str) -> dict[str, Any]:
    """What was found of what nobody told yet."""
    cpu_arch = found["cpu"]["cpu_arch"]
    shown = {name: found["system"][name] for name in ("brand", "product", "serial_number")}
    shown["cpu_arch"] = cpu_arch if cpu_arch in _ARCHITECTURES else ""
    shown["boot_mode"] = boot_mode if boot_mode in _BOOT_MODES else ""
    return {name: value for name, value in shown.items() if value and not getattr(known, name)}


def _document(found: Mapping[str, Any]) -> dict[str, Any]:
    """As DescribeBMNodes answers it; a network has `lldp` only where its cable's end said who it is."""
    return {
        "cpu": found["cpu"],
        "memory": found["memory"],
        "disks": [{name: disk[name] for name in _DISK_FACTS} for disk in found["disks"]],
        "networks": [
            {name: network[name] for name in _NETWORK_FACTS if name in network}
            for network in found["networks"]
        ],
    }


def _complete(connection: Connection, known: Row[Any], values: Mapping[str, Any]) -> bool:
    is_open = known.status == BmNodeStatus.DISCOVERED
    if not is_open or missing({**known._mapping, **values}):
        return False
    return not move_bm_nodes(connection, {known.node_id: BmNodeStatus.NEW})
