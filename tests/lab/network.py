"""Network interfaces of a test machine, described as data and made by `ip -batch`.

A NIC is one end of a veth pair whose other end is a port of the lab's switch, a network
namespace of its own. No traffic leaves the lab; unplugging the cable is `cable=False`.
"""

import functools
import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

SWITCH = "SWITCH"
"""Stands in `ip` lines for the process whose network namespace is the switch."""


@dataclass(frozen=True)
class Nic:
    """A network card. Without `mac` it gets one derived from the machine's name."""

    name: str
    addresses: tuple[str, ...] = ()
    mac: str | None = None
    mtu: int = 1500
    cable: bool = True


@dataclass(frozen=True)
class Bond:
    """Several NICs as one. The kernel must have bonding: ask `kernel_has("bond")`."""

    name: str
    members: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    mode: str = "active-backup"


@dataclass(frozen=True)
class Vlan:
    """A tagged network on another interface. Ask `kernel_has("vlan")` first."""

    name: str
    parent: str
    vlan_id: int
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bridge:
    """A bridge over other interfaces."""

    name: str
    ports: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


Interface = Nic | Bond | Vlan | Bridge


@functools.cache
def kernel_has(kind: str) -> bool:
    """Say whether this kernel can make interfaces of a kind that not every kernel has."""
    options = {"vlan": (("link", "lo"), ("id", "5"))}
    before, after = options.get(kind, ((), ()))
    tried = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", *before, "name", "try0", "type", kind, *after],
        capture_output=True,
        timeout=30,
    )
    return tried.returncode == 0


def ip_lines(
    machine: str, port_prefix: str, interfaces: Sequence[Interface], gateway: str | None
) -> list[str]:
    """Return the `ip` lines that make a machine's interfaces inside its own namespace."""
    lines = ["link set lo up"]
    for number, interface in enumerate(interfaces):
        lines += _creation(machine, f"{port_prefix}e{number}", interface)
        lines.append(f"link set {interface.name} up")
        lines += [_address_line(interface.name, address) for address in interface.addresses]
    if gateway is not None:
        lines.append(f"route add default via {gateway}")
    return lines


def switch_lines(port_prefix: str, interfaces: Sequence[Interface]) -> list[str]:
    """Return the `ip` lines that plug a machine's cables in, run inside the switch."""
    return [
        f"link set {port_prefix}e{number} up"
        for number, interface in enumerate(interfaces)
        if isinstance(interface, Nic) and interface.cable
    ]


def _creation(machine: str, port: str, interface: Interface) -> list[str]:
    name = interface.name
    match interface:
        case Nic(mac=mac, mtu=mtu):
            mac = mac or _made_up_mac(machine, name)
            return [
                f"link add {name} address {mac} mtu {mtu} type veth"
                f" peer name {port} mtu {mtu} netns {SWITCH}"
            ]
        case Bond(members=members, mode=mode):
            lines = [f"link add {name} type bond mode {mode} miimon 100"]
            for member in members:  # a member must be down while it joins
                lines += [f"link set {member} down", f"link set {member} master {name}"]
            return lines
        case Vlan(parent=parent, vlan_id=vlan_id):
            return [f"link add link {parent} name {name} type vlan id {vlan_id}"]
        case Bridge(ports=ports):
            lines = [f"link add {name} type bridge"]
            return lines + [f"link set {port} master {name}" for port in ports]


def _address_line(name: str, address: str) -> str:
    # Duplicate address detection would keep an IPv6 address "tentative" for a second.
    return f"address add {address} dev {name}" + (" nodad" if ":" in address else "")


def _made_up_mac(machine: str, name: str) -> str:
    digest = hashlib.sha256(f"{machine}/{name}".encode()).digest()
    return "02:" + ":".join(f"{byte:02x}" for byte in digest[:5])
