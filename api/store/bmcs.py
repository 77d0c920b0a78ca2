"""BMCs of registered machines, as those who talk to them need them, and what they said."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from api.bmc.target import PORTS, BmcResult, BmcTarget, Kind
from api.settings import Settings
from api.states import PowerState
from api.store.bm_nodes import BM_NODE, get_bm_nodes
from api.store.ids import chunks
from api.store.sealing import Seal


def bmc_targets(
    connection: Connection, settings: Settings, node_ids: Sequence[str]
) -> dict[str, BmcTarget]:
    """The BMC of each machine, password opened; machines without a login are left out.

    Raises FirstboxError when the sealing key is not the one the passwords were sealed with.
    """
    seal = Seal(settings.keys)
    rows = get_bm_nodes(connection, node_ids)
    return {
        node_id: _target(rows[node_id], seal, settings.bmc_interval)
        for node_id in node_ids
        if node_id in rows and has_login(rows[node_id])
    }


def has_login(machine: Row[Any]) -> bool:
    """Whether the registration says where its BMC is, and how to log in there."""
    return bool(machine.ipmi_network_address and machine.ipmi_username and machine.ipmi_password)


def machines_at(connection: Connection, addresses: Sequence[str]) -> dict[str, str]:
    """Which machines are registered with BMCs at these addresses: address -> node id."""
    column = BM_NODE.c.ipmi_network_address
    found: dict[str, str] = {}
    for chunk in chunks(addresses):
        query = select(column, BM_NODE.c.node_id).where(column.in_(chunk))
        found.update((address, node_id) for address, node_id in connection.execute(query))
    return found


def record_answers(connection: Connection, answers: Iterable[BmcResult]) -> None:
    """Remember power states that were read, and certificates that were shown for the first time."""
    by_state: dict[PowerState, list[str]] = {}
    for answer in answers:
        if answer.power:
            by_state.setdefault(answer.power, []).append(answer.node)
        if answer.certificate:
            connection.execute(
                update(BM_NODE)
                .where(BM_NODE.c.node_id == answer.node, BM_NODE.c.bmc_certificate == "")
                .values(bmc_certificate=answer.certificate)
            )
    for state, node_ids in by_state.items():
        for chunk in chunks(node_ids):
            connection.execute(
                update(BM_NODE)
                .where(BM_NODE.c.node_id.in_(chunk))
                .values(power_state=state, power_time=time.time())
            )


def _target(row: Row[Any], seal: Seal, interval: float) -> BmcTarget:
    kind: Kind = "redfish" if row.bmc_type == "redfish" else "ipmi"
    return BmcTarget(
        node=row.node_id,
        address=row.ipmi_network_address,
        port=row.bmc_port or PORTS[kind],
        kind=kind,
        username=row.ipmi_username,
        password=seal.open(row.ipmi_password),
        boot_mode=row.boot_mode,
        certificate=row.bmc_certificate,
        interval=interval,
    )
