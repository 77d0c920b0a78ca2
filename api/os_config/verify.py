"""Whether an installed system is what was asked for; every difference is a sentence."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_interface

from api.hardware.model import Hardware, Network
from api.os_config.layout import Placed
from api.os_config.wanted import Wanted, WantedNetwork

_BOND_MODES = (
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
)


def differences(wanted: Wanted, placed: Sequence[Placed], found: Hardware) -> list[str]:
    """What is not as asked; [] when all is."""
    return [
        *_name(wanted, found),
        *_release(wanted, found),
        *(text for one in placed for text in _network(one, found)),
    ]


def _name(wanted: Wanted, found: Hardware) -> Iterator[str]:
    if found.hostname.lower().partition(".")[0] != wanted.hostname.partition(".")[0]:
        yield f"its hostname is {found.hostname}, not {wanted.hostname}"


def _release(wanted: Wanted, found: Hardware) -> Iterator[str]:
    # One may say more than the other: 12 is 12.11, and 14.04.5 shows up as 14.04.
    asked, is_ = wanted.os_version.split("."), found.os.os_version.split(".")
    if any(one != other for one, other in zip(asked, is_, strict=False)):
        yield f"its OS is {found.os.os_name} {found.os.os_version}, not {wanted.os_version}"


def _network(placed: Placed, found: Hardware) -> Iterator[str]:
    wanted = placed.network
    holder = next((net for net in found.networks if net.address == wanted.address), None)
    if holder is None:
        yield f"no interface has the {wanted.title} address {wanted.address}"
        return
    prefix = ip_interface(f"{holder.address}/{holder.netmask}").network.prefixlen
    if prefix != wanted.prefix:
        yield f"{holder.name} has {holder.address}/{prefix}, not /{wanted.prefix}"
    if wanted.vlan_id:
        if holder.type != "vlan" or holder.vlan_id != wanted.vlan_id:
            yield f"{wanted.address} is on {holder.name}, not in VLAN {wanted.vlan_id}"
            return
        holder = _below(holder, found) or holder
    elif holder.type == "vlan":
        yield f"{wanted.address} is on {holder.name}, and should not be in a VLAN"
    yield from _carrier(wanted, placed, holder, found)


def _below(network: Network, found: Hardware) -> Network | None:
    listed = (net for net in found.networks if net.name == network.raw_device)
    return next(listed, network.raw_device_info)


def _carrier(
    wanted: WantedNetwork, placed: Placed, carrier: Network, found: Hardware
) -> Iterator[str]:
    macs = {nic.mac for nic in placed.nics}
    # A VLAN may stand on the bond that the management network has.
    if not placed.device.startswith("bond"):
        if carrier.mac_address not in macs:
            yield f"{wanted.address} is on the card {carrier.mac_address}, not {min(macs)}"
        return
    if carrier.type != "bond":
        yield f"{carrier.name} is not a bond"
        return
    mode = _BOND_MODES[carrier.bond_mode] if carrier.bond_mode < len(_BOND_MODES) else "?"
    if wanted.has_bond and mode != wanted.bond_mode:
        yield f"{carrier.name} is a bond of mode {mode}, not {wanted.bond_mode}"
    slaves = set(carrier.slave_devices.split(","))
    joined = {net.mac_address for net in found.networks if net.name in slaves}
    if macs - joined:
        yield f"{carrier.name} lacks {', '.join(sorted(macs - joined))}"
