"""What a machine is to become, out of its registration."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any


@dataclass(frozen=True, slots=True)
class WantedNetwork:
    """One network of the installed system: an address on a NIC, a bond or a VLAN of either."""

    title: str  # mgmt or public, for messages
    address: str
    prefix: int
    gateway: str
    has_bond: bool
    bond_mode: str
    members: tuple[str, ...]  # MACs the network is on; () leaves the choice to the rule
    vlan_id: int  # 0 for untagged

    @property
    def interface(self) -> str:
        """Address with prefix, `10.0.0.5/24`."""
        return f"{self.address}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of it: name, networks, and the card it boots from."""

    hostname: str
    os_version: str
    boot_mac: str
    networks: tuple[WantedNetwork, ...]  # management first

    @property
    def reached_at(self) -> str:
        """Where the installed system's SSH server is to answer."""
        return self.networks[0].address


def wanted_of(row: Any) -> Wanted:
    """What a registration (a row of `bm_node`) asks for."""
    networks = (_network(row, "mgmt"), _network(row, "public"))
    return Wanted(
        hostname=row.hostname or "",
        os_version=row.os_version,
        boot_mac=row.pxe_network_mac_addr or "",
        networks=tuple(network for network in networks if network is not None),
    )


def _network(row: Any, title: str) -> WantedNetwork | None:
    address = getattr(row, f"{title}_network_address")
    if not address:
        return None
    netmask = getattr(row, f"{title}_network_netmask")
    prefix = ip_interface(f"{address}/{netmask}" if netmask else address).network.prefixlen
    members: Sequence[str] = getattr(row, f"{title}_bond_members")
    has_vlan = getattr(row, f"is_{title}_config_vlan")
    return WantedNetwork(
        title=title,
        address=address,
        prefix=prefix,
        gateway=getattr(row, f"{title}_network_gateway"),
        has_bond=bool(getattr(row, f"is_{title}_config_bond")),
        bond_mode=getattr(row, f"{title}_bond_mode") or "active-backup",
        members=tuple(members),
        vlan_id=getattr(row, f"{title}_network_vlan_id") if has_vlan else 0,
    )
