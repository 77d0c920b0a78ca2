"""Registrations and cards for these tests."""

from types import SimpleNamespace
from typing import Any

from api.os_config.layout import Nic
from api.os_config.wanted import Wanted, wanted_of

BOOT = "52:54:00:00:00:01"
SECOND = "52:54:00:00:00:02"
THIRD = "52:54:00:00:00:03"

NICS = [Nic("ens3", BOOT, True), Nic("ens4", SECOND, True), Nic("ens5", THIRD, False)]


def registered(**values: Any) -> SimpleNamespace:
    """A registration: management 10.0.0.5/24 on one card, unless told otherwise."""
    row: dict[str, Any] = {
        "hostname": "r01n01",
        "os_version": "12",
        "pxe_network_mac_addr": BOOT,
        "mgmt_network_address": "10.0.0.5",
        "mgmt_network_netmask": "255.255.255.0",
        "mgmt_network_gateway": "10.0.0.1",
        "public_network_address": "",
        "public_network_netmask": "",
        "public_network_gateway": "",
    }
    for title in ("mgmt", "public"):
        row |= {
            f"is_{title}_config_bond": 0,
            f"is_{title}_config_vlan": 0,
            f"{title}_network_vlan_id": 0,
            f"{title}_bond_members": [],
            f"{title}_bond_mode": "",
        }
    return SimpleNamespace(**(row | values))


def wanted(**values: Any) -> Wanted:
    """What such a registration asks for."""
    return wanted_of(registered(**values))


PUBLIC = {
    "public_network_address": "192.0.2.5",
    "public_network_netmask": "255.255.255.128",
    "public_network_gateway": "192.0.2.1",
}
BOND_AND_VLAN = {
    "is_mgmt_config_bond": 1,
    **PUBLIC,
    "is_public_config_vlan": 1,
    "public_network_vlan_id": 100,
}
