"""Machines with a registered BMC: what may be done to their registrations.

A registration says where a machine's BMC is and what the machine is to become. Its status is about
the machine, so changing a registration changes no status, but for a `discovered` machine, which is
`new` when nothing is missing any more: a `provisioned` one still runs what was installed, and becomes
what is registered now when it is provisioned again.
"""

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from api.domain.conditions import not_busy, registered
from api.errors import Conflict, Malformed
from api.registration import rules as registration
from api.registration.rules import MASK, OWNED, UNIQUE, Fault, Values
from api.states import DEFAULT_ZONE, BmNodeStatus
from api.store import bm_nodes, nodes
from api.store.bm_nodes import stored
from api.store.sealing import Seal
from api.times import wire_time

Networks = Sequence[IPv4Network | IPv6Network]

# What was learnt from a BMC is not known of another one.
_BMC = ("bmc_type", "bmc_port", "ipmi_network_address")
_BMC_UNKNOWN = {"bmc_certificate": "", "bmc_mac": "", "power_state": "", "power_time": None}
# Another of these, and it may be another machine, whose disk holds who knows what.
_MACHINE = ("pxe_network_mac_addr", "serial_number")
# And of another machine nothing is known that was found out about this one.
_MACHINE_UNKNOWN = {
    **dict.fromkeys(("product", "bmc_mac", "hardware", "hardware_source"), ""),
    "hardware_time": None,
}
_OWN = (
    "zone_id", "image", "boot_mode", "protected", "bmc_type", "bmc_port",
    "mgmt_bond_members", "mgmt_bond_mode", "public_bond_members", "public_bond_mode",
    "power_state", "written_disk", "product", "bmc_mac", "hardware_source",
)  # fmt: skip
_GROUPS = {
    "general": ("brand", "cpu_arch", "hostname", "os_version", "serial_number"),
    "os_disk": ("os_disk_name",),
    "pxe": ("pxe_network_address", "pxe_network_interface", "pxe_network_mac_addr"),
    **{
        f"{network}_network": (
            f"is_{network}_config_bond",
            f"is_{network}_config_vlan",
            f"{network}_network_address",
            f"{network}_network_gateway",
            f"{network}_network_netmask",
            f"{network}_network_vlan_id",
        )
        for network in registration.NETWORKS
    },
}


def register(
    connection: Connection, seal: Seal, allowed: Networks, given: Mapping[str, Values]
) -> list[str]:
    """New machines, all or nothing; their ids, in order.

    `given` is what the caller says of each, by where it stands in the request (`bm_nodes.3.`).
    Raises Malformed and Conflict, which name every field at fault.
    """
    machines = {
        place: registration.NOTHING | registration.with_consequences(values)
        for place, values in given.items()
    }
    wrong = [
        (f"{place}{field}", message)
        for place, values in machines.items()
        for field, message in _faults_of_new(values, allowed)
    ]
    _refuse(Malformed, wrong)
    _refuse(Conflict, [*_twice(machines), *_taken(connection, machines)])
    rows = [
        {"zone_id": DEFAULT_ZONE, "description": ""} | stored(values, seal)
        for values in machines.values()
    ]
    return bm_nodes.add_bm_nodes(connection, rows)


def change(
    connection: Connection,
    seal: Seal,
    allowed: Networks,
    node_id: str,
    given: Values,
    *,
    forget_bmc: bool = False,
) -> None:
    """Set fields of a registration, under the rules of a new one; refused while a job is at it.

    `forget_bmc` takes the BMC for another one from now on, at the same address.
    """
    row = registered(connection, [node_id])[node_id]
    not_busy(connection, [node_id])
    before = {name: value or "" if name in UNIQUE else value for name, value in _asked(row).items()}
    if "ipmi_password" not in given:
        before["ipmi_password"] = seal.open(row.ipmi_password)
    changes = registration.with_consequences(given)
    after = before | changes
    needs_all = row.status != BmNodeStatus.DISCOVERED
    missing = registration.missing(after)
    gone = [(field, "must not be empty") for field in missing if needs_all]
    _refuse(Malformed, [*gone, *registration.faults(after, allowed)])
    _refuse(Conflict, _taken(connection, {"": _different(before, changes)}, but=node_id))
    forgotten = _forgotten(before, after) | (_BMC_UNKNOWN if forget_bmc else {})
    _write(connection, node_id, stored(changes, seal) | forgotten)
    if not needs_all and not missing:
        bm_nodes.move_bm_nodes(connection, {node_id: BmNodeStatus.NEW})


def delete(connection: Connection, node_ids: Sequence[str]) -> None:
    """Remove registrations, all or nothing; refused while a job is at one of the machines.

    A machine whose operating system we reach stays a node; of the others nothing is left.
    """
    registered(connection, node_ids)
    not_busy(connection, node_ids)
    bm_nodes.delete_registrations(connection, node_ids)


def view(row: Row[Any], seal: Seal | None, fields: Collection[str] | None = None) -> dict[str, Any]:
    """A machine as DescribeBMNodes shows it; the password is in clear if a seal opens it."""
    values = row._asdict()
    whole = {
        "create_time": wire_time(row.create_time),
        "description": row.description,
        "node_id": row.node_id,
        "pre_status": row.pre_status,
        "status": row.status,
        "update_time": wire_time(row.update_time),
        "power_time": wire_time(row.power_time),
        "hardware_time": wire_time(row.hardware_time),
        "hardware": orjson.Fragment(row.hardware or "{}"),  # passed on unread
        **{name: values[name] for name in _OWN},
        **{
            group: {name: "" if values[name] is None else values[name] for name in names}
            for group, names in _GROUPS.items()
        },
    }
    if fields is None or "ipmi" in fields:
        whole["ipmi"] = {
            "ipmi_network_address": row.ipmi_network_address or "",
            "ipmi_password": seal.open(row.ipmi_password) if seal else MASK,
            "ipmi_username": row.ipmi_username,
        }
    if fields is None:
        return whole
    return {name: whole[name] for name in whole if name in fields or name == "node_id"}


def power(connection: Connection, node_ids: Sequence[str]) -> list[dict[str, str]]:
    """Whether these machines run, as their BMCs said last. Raises NotFound."""
    rows = registered(connection, node_ids, lock=False)
    return [
        {
            "node_id": node_id,
            "power_state": rows[node_id].power_state,
            "power_time": wire_time(rows[node_id].power_time),
        }
        for node_id in node_ids
    ]


def _faults_of_new(values: Values, allowed: Networks) -> list[Fault]:
    missing = [(name, "is missing") for name in registration.missing(values)]
    return [*missing, *registration.faults(values, allowed)]


def _twice(machines: Mapping[str, Values]) -> list[Fault]:
    """What two machines of one request both have."""
    first: dict[tuple[str, str], str] = {}
    found = []
    for place, values in machines.items():
        for field, kind in OWNED.items():
            value = values[field]
            if value and first.setdefault((kind, value), f"{place}{field}") != f"{place}{field}":
                message = f"the {kind} {value} is in {first[kind, value]} already"
                found.append((f"{place}{field}", message))
    return found


def _taken(connection: Connection, machines: Mapping[str, Values], *, but: str = "") -> list[Fault]:
    """What another machine has already."""
    owners = {}
    for kind in dict.fromkeys(OWNED.values()):
        names = [field for field in OWNED if OWNED[field] == kind]
        values = {
            machine[name] for machine in machines.values() for name in names if machine.get(name)
        }
        owners[kind] = bm_nodes.find_owners(connection, kind, sorted(values), but=but)
    too = f", {but} cannot have it too" if but else ""
    return [
        (
            f"{place}{field}",
            f"node {owners[kind][values[field]]} has the {kind} {values[field]} already{too}",
        )
        for place, values in machines.items()
        for field, kind in OWNED.items()
        if values.get(field) in owners[kind]
    ]


def _refuse(error: type[Malformed | Conflict], wrong: Sequence[Fault]) -> None:
    if wrong:
        field, message = wrong[0]
        errors = [{"field": field, "message": message} for field, message in wrong[:100]]
        raise error(f"{field}: {message}", errors)


def _asked(row: Row[Any]) -> dict[str, Any]:
    """What was asked for a machine, of all that is stored."""
    return {name: value for name, value in row._asdict().items() if name in registration.NOTHING}


def _different(before: Values, changes: Values) -> Values:
    return {name: value for name, value in changes.items() if before.get(name) != value}


def _forgotten(before: Values, after: Values) -> dict[str, Any]:
    """What is not known any more after a change."""
    unknown: dict[str, Any] = {}
    if any(before[name] != after[name] for name in _BMC):
        unknown |= _BMC_UNKNOWN
    if any(before[name] and before[name] != after[name] for name in _MACHINE):
        unknown["written_disk"] = ""
    if before["serial_number"] not in ("", after["serial_number"]):
        unknown |= _MACHINE_UNKNOWN
    return unknown


def _write(connection: Connection, node_id: str, values: Values) -> None:
    of_node = {name: value for name, value in values.items() if name in ("zone_id", "description")}
    if of_node:
        nodes.update_node(connection, node_id, of_node)
    rest = {name: value for name, value in values.items() if name not in of_node}
    bm_nodes.update_bm_node(connection, node_id, rest)
