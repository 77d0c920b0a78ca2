"""The networks of a machine, in the shape the API answers them."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.hardware.links import Address, Link, Links, make_address, read_links
from api.hardware.lldp import read_neighbours
from api.hardware.model import ManagementNetwork, Neighbour, Network, NetworkType
from api.hardware.sections import MAX_TEXT, Sections

_MAX_NETWORKS = 1024
_MAX_DEPTH = 8  # of a chain such as bridge, VLAN, bond
_TYPES: dict[str, NetworkType] = {
    "bond": "bond",
    "team": "bond",
    "vlan": "vlan",
    "bridge": "bridge",
}
# Kinds that are a wire, or stand on one; "ipoib" is what a plain InfiniBand port says.
_SOLID = {"", "bond", "team", "vlan", "ipoib"}
# Kinds that are a wire when seen from inside a container: kept if they have an address.
_POSSIBLE = {"", "veth", "macvlan", "ipvlan", "dummy"}
_NIC_NAME = re.compile(r"(eth|en[opsx])[0-9a-f]+[0-9a-z]*")
_NOT_REACHED = "0.0.0.0"  # noqa: S104 # a route's "no gateway", nothing is bound to it

Gateways = dict[str, dict[int, str]]
"""Interface -> IP version -> gateway; the best default route's interface comes first."""


@dataclass(frozen=True, slots=True)
class _Around:
    """What is known of the world around the interfaces."""

    gateways: Gateways
    neighbours: Mapping[str, Neighbour]


def read_networks(
    sections: Sections, reached_at: str
) -> tuple[tuple[Network, ...], ManagementNetwork] | None:
    """All networks and the one we manage the machine through, or None if none can be read.

    What a bridge or VLAN stands on is nested in it, and listed by itself only if it
    has an address of its own or nothing listed shows it. Not listed: loopback,
    tunnels, taps and the like; bridges without a port of the outside world; ends of
    veth pairs and other virtual devices unless they have an address of their own (in a
    container that is the wire). What carries the management address is always listed.
    """
    links = read_links(sections)
    if not links:
        return None
    gateways = _read_gateways(sections)
    around = _Around(gateways, read_neighbours(sections))
    managed = _find_managed(links, gateways, reached_at)
    kept = [link for link in links.values() if link is managed or _is_kept(link, links)]
    raw_devices = [(link, raw) for link in kept if (raw := _raw_device(link, links))]
    nested = {raw.name for _, raw in raw_devices if not raw.addresses} - {managed and managed.name}
    shown = {raw.name for link, raw in raw_devices if link.name not in nested} & nested
    listed = [link for link in kept if link.name not in shown]
    networks = (_make_network(link, links, around) for link in listed[:_MAX_NETWORKS])
    return tuple(networks), _make_management(managed, links, gateways, reached_at)


def _is_kept(link: Link, links: Links) -> bool:
    if link.is_loopback or link.name == "lo":
        return False
    if link.kind == "bridge":
        return bool(_ports(link, links))
    if _is_solid(link):
        return True
    own = [a for a in link.addresses if a.network.prefixlen < a.max_prefixlen]
    return link.kind in _POSSIBLE and not link.master and bool(own)


def _is_solid(link: Link) -> bool:
    if link.kind == "veth":
        # Under a NIC's name it is a container's own end of the pair, and as good as a wire; the
        # ends on the host, of its containers, are called otherwise (veth1a2b3c, lxc...).
        return _NIC_NAME.fullmatch(link.name) is not None
    return link.kind in _SOLID and not (link.kind == "" and link.is_virtual)


def _ports(link: Link, links: Links) -> list[Link]:
    """A bridge's ports to the outside: those of virtual machines come and go."""
    return [links[name] for name in link.slaves if _is_solid(links[name])]


def _raw_device(link: Link, links: Links) -> Link | None:
    """What a VLAN or bridge stands on."""
    if link.kind == "vlan":
        return links.get(link.lower)
    if link.kind == "bridge":
        return next(iter(_ports(link, links)), None)
    return None


def _slave_devices(link: Link, links: Links) -> str:
    if link.kind == "bridge":
        ports = _ports(link, links)
        names = [port.name for port in ports] if len(ports) > 1 else []
    else:
        names = link.slaves if _type(link) == "bond" else []
    joined = ",".join(names)
    return joined if len(joined) <= MAX_TEXT else joined[:MAX_TEXT].rpartition(",")[0]


def _type(link: Link) -> NetworkType:
    return _TYPES.get(link.kind, "common")


def _make_network(link: Link, links: Links, around: _Around, *, depth: int = 0) -> Network:
    address = _main_address(link)
    raw = _raw_device(link, links)
    is_nesting = raw is not None and depth == 0
    return Network(
        name=link.name,
        type=_type(link),
        mac_address=link.permanent_mac or link.mac,
        address=str(address.ip) if address else "",
        netmask=_netmask(address),
        network=str(address.network) if address else "",
        gateway=around.gateways.get(link.name, {}).get(address.version, "") if address else "",
        bond_mode=link.bond_mode,
        raw_device=raw.name if raw else "",
        raw_device_type=_type(raw) if raw else "",
        slave_devices=_slave_devices(link, links),
        vlan_id=link.vlan_id,
        mtu=link.mtu,
        speed=link.speed,
        link="up" if link.is_up else "down",
        raw_device_info=_make_network(raw, links, around, depth=1) if raw and is_nesting else None,
        lldp=around.neighbours.get(link.name),
    )


def _find_managed(links: Links, gateways: Gateways, reached_at: str) -> Link | None:
    """The interface with this address, else with the default route, else with an address."""
    usable = [link for link in links.values() if not link.is_loopback]
    for link in usable:
        if _find_address(link, reached_at):
            return link
    for name in gateways:
        if name in links and links[name].addresses:
            return links[name]
    with_address = [link for link in usable if link.addresses]
    kept = [link for link in with_address if _is_kept(link, links)]
    return next(iter(kept), None)


def _make_management(
    link: Link | None, links: Links, gateways: Gateways, reached_at: str
) -> ManagementNetwork:
    if link is None:
        return ManagementNetwork()
    address = _find_address(link, reached_at) or _main_address(link)
    below = list(_walk_down(link, links))
    bond = next((link for link in below if _type(link) == "bond"), None)
    vlan = next((link for link in below if link.kind == "vlan"), None)
    return ManagementNetwork(
        address=str(address.ip) if address else "",
        bond_mode=str(bond.bond_mode) if bond else "",
        bond_name=bond.name if bond else "",
        bond_slaves=_slave_devices(bond, links) if bond else "",
        gateway=gateways.get(link.name, {}).get(address.version, "") if address else "",
        name=link.name,
        netmask=_netmask(address),
        vlan_id=str(vlan.vlan_id or "") if vlan else "",
        vlan_raw_device=vlan.lower if vlan and vlan.lower in links else "",
    )


def _walk_down(link: Link, links: Links) -> Iterable[Link]:
    """The interface and what it stands on, step by step."""
    current: Link | None = link
    for _ in range(_MAX_DEPTH):
        if current is None:
            return
        yield current
        current = _raw_device(current, links)


def _find_address(link: Link, text: str) -> Address | None:
    wanted = make_address(text.partition("%")[0]) if text else None
    return next((a for a in link.addresses if wanted and a.ip == wanted.ip), None)


def _main_address(link: Link) -> Address | None:
    """The first IPv4 address, else the first IPv6 address."""
    return min(link.addresses, key=lambda address: address.version, default=None)


def _netmask(address: Address | None) -> str:
    if address is None:
        return ""
    is_ipv4 = address.version == 4
    return str(address.netmask) if is_ipv4 else str(address.network.prefixlen)


def _read_gateways(sections: Sections) -> Gateways:
    routes = []
    for path, line in sections.files("procnet"):
        words = line.split()
        if path == "/proc/net/route" and len(words) >= 8 and words[1] == words[7] == "0" * 8:
            routes.append((4, _metric(words[6], 10), words[0], _ipv4(words[2])))
        elif path == "/proc/net/ipv6_route" and len(words) >= 10:
            routes.append((6, _metric(words[5], 16), words[9], _ipv6(words[4])))
    gateways: Gateways = {}
    for version, _, name, gateway in sorted(routes, key=lambda route: route[:2]):
        if name != "lo":
            gateways.setdefault(name, {}).setdefault(version, gateway)
    return gateways


def _metric(text: str, base: int) -> int:
    try:
        return int(text[:12], base)
    except ValueError:
        return 2**32


def _ipv4(text: str) -> str:
    """The kernel prints the address's bytes as one number of its own byte order."""
    try:
        address = str(ipaddress.IPv4Address(bytes.fromhex(text)[::-1]))
    except ValueError:
        return ""
    return "" if address == _NOT_REACHED else address


def _ipv6(text: str) -> str:
    try:
        address = str(ipaddress.IPv6Address(bytes.fromhex(text)))
    except ValueError:
        return ""
    return "" if address == "::" else address
