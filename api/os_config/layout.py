"""Which cards carry which network: the rule behind bonds and addresses.

Management is on the card the machine boots from, public on the first other card with a link, unless
members are named. A bond without named members takes every card with a link that the other network
does not name. Two bonds of the same cards are one bond. A VLAN without members stands on what
carries the management network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api.hardware.model import Hardware
from api.os_config.wanted import Wanted, WantedNetwork


class NicMissing(Exception):
    """The machine has no card for this network; the message names it."""


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card of the machine, as its ramdisk saw it."""

    name: str
    mac: str
    has_link: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A network and what carries it: one card, or the members of a bond."""

    network: WantedNetwork
    device: str  # of the untagged traffic: a card's name, or bond0
    nics: tuple[Nic, ...]

    @property
    def name(self) -> str:
        """The interface that has the address."""
        vlan_id = self.network.vlan_id
        return f"{self.device}.{vlan_id}" if vlan_id else self.device


def nics_of(machine: Hardware) -> list[Nic]:
    """The machine's cards, as the probe found them."""
    return [
        Nic(network.name, network.mac_address, network.link == "up")
        for network in machine.networks
        if network.type == "common" and network.mac_address
    ]


def place(wanted: Wanted, nics: Sequence[Nic]) -> tuple[Placed, ...]:
    """Every wanted network on its cards. Raises NicMissing."""
    by_mac = {nic.mac: nic for nic in nics}
    if wanted.boot_mac not in by_mac:
        raise NicMissing(f"there is no card with the boot MAC {wanted.boot_mac}; {_seen(nics)}")
    placed: list[Placed] = []
    for network in wanted.networks:
        others = [other for other in wanted.networks if other is not network]
        chosen = _cards(network, others, wanted.boot_mac, by_mac, placed)
        placed.append(Placed(network, _device(network, chosen, placed), chosen))
    return tuple(placed)


def _cards(
    network: WantedNetwork,
    others: Iterable[WantedNetwork],
    boot_mac: str,
    by_mac: dict[str, Nic],
    placed: Sequence[Placed],
) -> tuple[Nic, ...]:
    if network.members:
        return tuple(_named(network, mac, by_mac) for mac in network.members)
    shares_bond = network.has_bond and placed and placed[0].network.has_bond
    if placed and (shares_bond or network.vlan_id):
        return placed[0].nics
    claimed = {mac for other in others for mac in other.members}
    claimed |= {nic.mac for one in placed for nic in one.nics}
    free = [nic for nic in by_mac.values() if nic.has_link and nic.mac not in claimed]
    if network.has_bond:
        first = [] if placed else [by_mac[boot_mac]]
        return tuple(dict.fromkeys([*first, *free])) or _none(network, by_mac.values())
    if not placed:
        return (by_mac[boot_mac],)
    return tuple(free[:1]) or _none(network, by_mac.values())


def _named(network: WantedNetwork, mac: str, by_mac: dict[str, Nic]) -> Nic:
    if mac not in by_mac:
        message = f"there is no card {mac}, which {network.title}_bond_members names"
        raise NicMissing(f"{message}; {_seen(by_mac.values())}")
    return by_mac[mac]


def _none(network: WantedNetwork, nics: Iterable[Nic]) -> tuple[Nic, ...]:
    raise NicMissing(f"no card with a link is left for the {network.title} network; {_seen(nics)}")


def _seen(nics: Iterable[Nic]) -> str:
    cards = [f"{nic.name} {nic.mac}{'' if nic.has_link else ' without a link'}" for nic in nics]
    return f"it has {', '.join(cards)}" if cards else "it has none at all"


def _device(network: WantedNetwork, nics: tuple[Nic, ...], placed: Sequence[Placed]) -> str:
    for one in placed:  # what carries the same cards already
        if one.nics == nics and (one.network.has_bond or not network.has_bond):
            return one.device
    if network.has_bond:
        return f"bond{sum(one.network.has_bond for one in placed)}"
    return nics[0].name
