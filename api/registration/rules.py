"""What a machine's registration must be like to make sense: pure rules over its fields."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from api.registration.addresses import is_allowed
from api.states import RAMDISK

Values = Mapping[str, Any]
Fault = tuple[str, str]  # field, and what is wrong with it

MASK = "******"  # shown in place of a password
NETWORKS = ("mgmt", "public")
REQUIRED = (
    "os_version",
    "cpu_arch",
    "hostname",
    "ipmi_network_address",
    "ipmi_username",
    "ipmi_password",
    "pxe_network_mac_addr",
)
# Unique in the database, where "" would be a value like any other: there it is NULL.
UNIQUE = (
    "hostname",
    "serial_number",
    "ipmi_network_address",
    "pxe_network_mac_addr",
    "mgmt_network_address",
)
# What no two machines may have, and the kind it is of.
OWNED = {
    "pxe_network_mac_addr": "MAC",
    "serial_number": "serial number",
    "hostname": "hostname",
    "ipmi_network_address": "address",
    "mgmt_network_address": "address",
    "public_network_address": "address",
}
# Most bytes of user name and password; IPMI 2.0 has room for no more.
_LONGEST = {"ipmi": (16, 20), "redfish": (64, 128)}


@dataclass(frozen=True, slots=True)
class _Fields:
    """The names of one network's fields."""

    address: str
    netmask: str
    gateway: str
    bond: str
    bond_members: str
    bond_mode: str
    vlan: str
    vlan_id: str


def _fields(network: str) -> _Fields:
    return _Fields(
        address=f"{network}_network_address",
        netmask=f"{network}_network_netmask",
        gateway=f"{network}_network_gateway",
        bond=f"is_{network}_config_bond",
        bond_members=f"{network}_bond_members",
        bond_mode=f"{network}_bond_mode",
        vlan=f"is_{network}_config_vlan",
        vlan_id=f"{network}_network_vlan_id",
    )


_FIELDS = tuple(_fields(network) for network in NETWORKS)
NOTHING: dict[str, Any] = {
    **dict.fromkeys(REQUIRED, ""),
    **dict.fromkeys(("brand", "serial_number", "image", "boot_mode", "os_disk_name"), ""),
    "bmc_type": "ipmi",
    "bmc_port": 0,
    "protected": 0,
    **{
        name: nothing
        for net in _FIELDS
        for name, nothing in {
            **dict.fromkeys((net.address, net.netmask, net.gateway, net.bond_mode), ""),
            **dict.fromkeys((net.bond, net.vlan, net.vlan_id), 0),
            net.bond_members: [],
        }.items()
    },
}


def with_consequences(given: Values) -> dict[str, Any]:
    """What is given, and what goes along with it unless it is given too.

    A network without an address has nothing else either; without a VLAN or a bond, there are none
    of its details.
    """
    values = dict(given)
    for net in _FIELDS:
        gone: dict[str, Any] = {}
        if values.get(net.address) == "":
            gone |= {net.netmask: "", net.gateway: "", net.vlan: 0, net.bond: 0}
        if (gone | values).get(net.vlan) == 0:
            gone |= {net.vlan_id: 0}
        if (gone | values).get(net.bond) == 0:
            gone |= {net.bond_members: [], net.bond_mode: ""}
        values = gone | values
    return values


def missing(values: Values) -> list[str]:
    """The required fields that are not there yet."""
    return [name for name in REQUIRED if not values[name]]


def faults(values: Values, allowed: Sequence[IPv4Network | IPv6Network]) -> Iterator[Fault]:
    """What is wrong with a registration, besides what is missing; the password is in clear."""
    if values["os_version"] == RAMDISK:
        yield "os_version", f"{RAMDISK} is what machines boot before they have one"
    yield from _credential_faults(values)
    for net in _FIELDS:
        yield from _network_faults(values, net)
    addresses = ["ipmi_network_address", *(net.address for net in _FIELDS)]
    for place, name in enumerate(addresses):
        same = [other for other in addresses[:place] if values[other] == values[name] != ""]
        if same:
            yield name, f"is {values[name]}, and so is {same[0]}"
    for name in _talked_to(values):
        if not is_allowed(values[name], allowed):
            yield name, f"{values[name]} is outside the networks this service may talk to"


def _talked_to(values: Values) -> list[str]:
    reached_at = [net.address for net in _FIELDS if values[net.address]][:1]
    return [name for name in ("ipmi_network_address", *reached_at) if values[name]]


def _credential_faults(values: Values) -> Iterator[Fault]:
    longest = _LONGEST[values["bmc_type"]]
    for name, most in zip(("ipmi_username", "ipmi_password"), longest, strict=True):
        size = len(values[name].encode())
        if size > most:
            yield name, f"has {size} bytes; {values['bmc_type']} takes at most {most}"
    if values["ipmi_password"] == MASK:
        yield "ipmi_password", f"{MASK} is shown in place of the password: leave it out"


def _network_faults(values: Values, net: _Fields) -> Iterator[Fault]:
    if values[net.address]:
        yield from _address_faults(values, net)
    else:
        for name in (net.netmask, net.gateway, net.bond, net.vlan):
            if values[name]:
                yield name, f"needs {net.address}"
    if values[net.vlan] and not values[net.vlan_id]:
        yield net.vlan_id, f"is needed, from 1 to 4094, where {net.vlan} is 1"
    if values[net.vlan_id] and not values[net.vlan]:
        yield net.vlan_id, f"is {values[net.vlan_id]}, but {net.vlan} is 0"
    if values[net.bond_mode] and not values[net.bond]:
        yield net.bond_mode, f"is {values[net.bond_mode]}, but {net.bond} is 0"
    if len(values[net.bond_members]) > 1 and not values[net.bond]:
        yield net.bond_members, f"are several, but {net.bond} is 0"


def _address_faults(values: Values, net: _Fields) -> Iterator[Fault]:
    address, netmask, gateway = (values[name] for name in (net.address, net.netmask, net.gateway))
    network = _network(address, netmask)
    if network is None:
        how = "such as 255.255.255.0" if ip_address(address).version == 4 else "such as 64"
        yield net.netmask, f"{netmask!r} is not the netmask of {address}: give one {how}"
        return
    if not _is_host(address, network):
        yield net.address, f"{address} is not an address of a machine in {network}"
    if gateway and gateway == address:
        yield net.gateway, f"{gateway} is the machine's own address"
    elif gateway and not _is_host(gateway, network):
        yield net.gateway, f"{gateway} is not an address of a machine in {network}"


def _network(address: str, netmask: str) -> IPv4Network | IPv6Network | None:
    """The network; None unless the mask is of the address's family, and a mask."""
    # Alone, ipaddress takes 0.0.0.255 for a mask, and 24 for one of IPv4.
    is_ipv4 = ip_address(address).version == 4
    if not netmask or is_ipv4 != ("." in netmask):
        return None
    try:
        network = ip_network(f"{address}/{netmask}", strict=False)
    except ValueError:
        return None
    is_mask = network.prefixlen and (not is_ipv4 or str(network.netmask) == netmask)
    return network if is_mask else None


def _is_host(address: str, network: IPv4Network | IPv6Network) -> bool:
    parsed = ip_address(address)
    if parsed not in network:
        return False
    if network.prefixlen >= network.max_prefixlen - 1:  # of a pair, both are machines
        return True
    ends = [network.network_address]
    if isinstance(network, IPv4Network):
        ends.append(network.broadcast_address)
    return parsed not in ends
