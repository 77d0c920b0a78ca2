"""What a machine tells of its own BMC from inside, and the login that was made there, written down."""

from sqlalchemy import Connection, select

from api.bmc.target import PORTS, BmcTarget
from api.errors import Conflict
from api.settings import Settings
from api.store.bm_nodes import BM_NODE, find_owners, update_bm_node
from api.store.sealing import Seal


def learn_bmc(connection: Connection, node_id: str, address: str, mac: str) -> str:
    """Write down where a machine's BMC is, where nobody told; a half sentence about it.

    What is registered stays as it is. Raises Conflict for what another machine has.
    """
    known = connection.execute(
        select(BM_NODE).where(BM_NODE.c.node_id == node_id).with_for_update()
    ).one()
    owner = _owner(connection, node_id, address, mac)
    if owner:
        raise Conflict(f"its BMC is at {address} ({mac or 'no MAC'}), and so is node {owner}'s")
    told = {"ipmi_network_address": address, "bmc_mac": mac}
    new = {name: value for name, value in told.items() if value and not getattr(known, name)}
    if new:
        update_bm_node(connection, node_id, new)
    others = [
        f"{getattr(known, name)} is registered"
        for name, value in told.items()
        if value and getattr(known, name) not in (None, "", value)
    ]
    return ", and ".join([f"its BMC is at {address} ({mac or 'no MAC'})", *others])


def store_login(connection: Connection, settings: Settings, target: BmcTarget) -> None:
    """Log in to the machine's BMC in this way from now on."""
    values = {
        "ipmi_network_address": target.address,
        "ipmi_username": target.username,
        "ipmi_password": Seal(settings.keys).close(target.password),
        "bmc_type": target.kind,
        "bmc_port": 0 if target.port == PORTS[target.kind] else target.port,
        "bmc_certificate": "",
    }
    update_bm_node(connection, target.node, values)


def _owner(connection: Connection, node_id: str, address: str, mac: str) -> str:
    """Another machine whose BMC this is."""
    query = select(BM_NODE.c.node_id).where(
        BM_NODE.c.bmc_mac == mac, BM_NODE.c.bmc_mac != "", BM_NODE.c.node_id != node_id
    )
    by_mac = connection.execute(query.limit(1)).scalar_one_or_none()
    owners = find_owners(connection, "address", [address], but=node_id)
    return by_mac or owners.get(address, "")
