"""Which registered machine each BMC of a scan belongs to: by serial number, then BMC MAC, then a card's
MAC, then address. Pure rules, with the whole scan in view.

What contradicts a registration is a conflict, and nothing is written then. A BMC may take an address
that is registered to another machine only when that machine is found elsewhere in the same scan.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from api.bmc.found import Identity


@dataclass(frozen=True, slots=True)
class Known:
    """A machine as the database has it, registered or only added."""

    node_id: str
    status: str = ""  # of its registration; "" where there is none
    values: Mapping[str, Any] = field(
        default_factory=dict
    )  # columns, "" for NULL, password in clear
    system_serial: str = ""  # as its operating system told, when it was collected
    job_id: str = ""  # that holds it now

    @property
    def address(self) -> str:
        """Where its BMC is registered to be."""
        return str(self.values.get("ipmi_network_address", ""))

    @property
    def serial_number(self) -> str:
        """As registered, else as collected."""
        return str(self.values.get("serial_number", "")) or self.system_serial


@dataclass(frozen=True, slots=True)
class Match:
    """What machine a BMC belongs to, or why that cannot be said."""

    identity: Identity
    known: Known | None = None  # None for a machine that nobody knew
    conflict: str = ""  # why nothing may be written
    twin: str = ""  # where the same BMC answers too, which is what counts

    @property
    def is_settled(self) -> bool:
        """Whether something may be written about it."""
        return not self.conflict and not self.twin

    @property
    def is_moved(self) -> bool:
        """Whether the machine's BMC was registered elsewhere."""
        return bool(self.known and self.known.address not in ("", self.identity.address))


def match(
    identities: Sequence[Identity],
    known: Sequence[Known],
    owners: Mapping[str, str],
    conflicts: Mapping[str, str] = MappingProxyType({}),
) -> list[Match]:
    """What each BMC belongs to, in order.

    `owners` are the nodes that have one of the BMCs' addresses now, whatever for: address -> node id.
    `conflicts` are found already: address -> what is wrong.
    """
    at = {one.address: one for one in known if one.address}
    matches = [Match(one, conflict=conflicts.get(one.address, "")) for one in identities]
    matches = _told_apart(matches, at)
    counts = Counter(mac for identity in identities for mac in identity.boot_macs)
    shared = {mac for mac, count in counts.items() if count > 1}
    matches = _each(matches, _Index(known, shared).find)
    matches = _once_each(matches)
    matches = _by_address(matches, at)
    matches = _each(matches, _not_busy)
    return _with_free_addresses(matches, owners)


def contradiction(identity: Identity, known: Known) -> str:
    """What the BMC says of its machine that is not as registered; "" where nothing is."""
    pairs = (
        ("serial number", identity.serial_number, known.values.get("serial_number", "")),
        ("BMC MAC", identity.bmc_mac, known.values.get("bmc_mac", "")),
    )
    for what, said, is_registered in pairs:
        if said and is_registered and said != is_registered:
            return f"has the {what} {said}, but node {known.node_id} has {is_registered}"
    # Who answers at another address with another certificate may only say that it is this machine.
    pinned = known.values.get("bmc_certificate", "")
    if pinned and identity.certificate and pinned != identity.certificate:
        return f"shows another certificate than node {known.node_id} did before"
    return ""


class _Index:
    """Known machines by what tells them."""

    def __init__(self, known: Sequence[Known], shared: set[str]) -> None:
        """`shared` are MACs of cards that several BMCs tell, and that tell nobody therefore."""
        self._by_id = {one.node_id: one for one in known}
        self._by_serial = _grouped(known, lambda one: one.serial_number)
        self._by_bmc_mac = _grouped(known, lambda one: one.values.get("bmc_mac", ""))
        cards = _grouped(known, lambda one: one.values.get("pxe_network_mac_addr", ""))
        self._by_card = {mac: cards[mac] for mac in cards.keys() - shared}

    def find(self, match: Match) -> Match:
        """The machine that has what the BMC says of it; a node's own scan is about that node."""
        identity = match.identity
        found = self._named(match)
        if not identity.node or not found.is_settled:
            return found
        own = self._by_id.get(identity.node)
        if own is None or not own.status:
            return replace(match, conflict=f"node {identity.node} is not registered any more")
        if found.known is None:
            return replace(match, known=own, conflict=contradiction(identity, own))
        if found.known is not own:
            other = f"is the BMC of node {found.known.node_id}, and not of node {own.node_id}"
            return replace(found, known=own, conflict=other)
        return found

    def _named(self, match: Match) -> Match:
        identity = match.identity
        registered = _registered_first(self._by_serial.get(identity.serial_number, []))
        if len(registered) > 1:
            names = " and ".join(one.node_id for one in registered)
            message = f"has the serial number {identity.serial_number}, and so have nodes {names}"
            return replace(match, conflict=message)
        told = [*registered, *self._by_bmc_mac.get(identity.bmc_mac, [])]
        if told:
            return replace(match, known=told[0], conflict=contradiction(identity, told[0]))
        for mac in identity.boot_macs:
            for one in self._by_card.get(mac, []):
                # A card may have been put into another machine.
                if not contradiction(identity, one):
                    return replace(match, known=one)
        return match


def _registered_first(known: Sequence[Known]) -> list[Known]:
    """The registered ones if there are any, else the others."""
    return [one for one in known if one.status] or list(known)


def _told_apart(matches: Sequence[Match], at: Mapping[str, Known]) -> list[Match]:
    """Two machines may not say that they are one; but one BMC may answer at two addresses."""
    found = list(matches)
    for serial, group in _same(found, lambda one: one.serial_number):
        macs = {found[place].identity.bmc_mac for place in group}
        if len(macs) > 1 or "" in macs:
            _conflict(found, group, f"has the serial number {serial}")
    for mac, group in _same(found, lambda one: one.bmc_mac):
        serials = {found[place].identity.serial_number for place in group} - {""}
        registered = [place for place in group if found[place].identity.address in at]
        is_unclear = any(found[place].conflict for place in group)
        if is_unclear or len(serials) > 1 or len(registered) > 1:
            _conflict(found, group, f"has the BMC MAC {mac}")
            continue
        first = (registered or group)[0]
        for place in set(group) - {first}:
            found[place] = replace(found[place], twin=found[first].identity.address)
    return found


def _same(matches: Sequence[Match], key: Callable[[Identity], str]) -> list[tuple[str, list[int]]]:
    """Places of BMCs that say the same of themselves, where there are several."""
    places = _grouped(range(len(matches)), lambda place: key(matches[place].identity))
    return [(value, group) for value, group in places.items() if len(group) > 1]


def _conflict(matches: list[Match], group: Sequence[int], what: str) -> None:
    for place in group:
        if not matches[place].conflict:
            other = next(matches[one].identity.address for one in group if one != place)
            matches[place] = replace(matches[place], conflict=f"{what}, and so has {other}")


def _once_each(matches: Sequence[Match]) -> list[Match]:
    """No machine has two BMCs."""
    found = list(matches)
    places = _grouped(
        [place for place, one in enumerate(found) if one.is_settled],
        lambda place: _node_of(found[place]),
    )
    for node_id, group in places.items():
        if len(group) > 1:
            _conflict(found, group, f"seems to be the BMC of node {node_id}")
    return found


def _node_of(match: Match) -> str:
    return match.known.node_id if match.known else ""


def _by_address(matches: Sequence[Match], at: Mapping[str, Known]) -> list[Match]:
    """What is not known by what it says is known by where it is, unless that machine is elsewhere."""
    elsewhere = {one.known.node_id for one in matches if one.known is not None and one.is_settled}

    def find(match: Match) -> Match:
        known = at.get(match.identity.address)
        if match.known is not None or known is None or known.node_id in elsewhere:
            return match
        return replace(match, known=known, conflict=contradiction(match.identity, known))

    return _each(matches, find)


def _not_busy(match: Match) -> Match:
    if match.known is None or not match.known.job_id:
        return match
    busy = f"node {match.known.node_id} is busy in job {match.known.job_id}"
    return replace(match, conflict=f"is left alone: {busy}")


def _with_free_addresses(matches: Sequence[Match], owners: Mapping[str, str]) -> list[Match]:
    """An address is free, the machine's own, or that of one that moves away: until nothing changes."""
    found: list[Match] = []
    now = list(matches)
    while found != now:
        found = now
        left = {one.known.address for one in found if one.known and one.is_settled and one.is_moved}
        now = [_with_address(one, owners, left) if one.is_settled else one for one in found]
    return found


def _with_address(match: Match, owners: Mapping[str, str], left: Iterable[str]) -> Match:
    address = match.identity.address
    owner = owners.get(address, "")
    if owner in ("", _node_of(match)) or address in left:
        return match
    who = f"node {match.known.node_id}" if match.known else "a machine that nobody knew"
    return replace(
        match, conflict=f"is the BMC of {who}, but node {owner} has the address {address} already"
    )


def _each(matches: Sequence[Match], rule: Callable[[Match], Match]) -> list[Match]:
    return [rule(one) if one.is_settled else one for one in matches]


def _grouped(things: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = defaultdict(list)
    for thing in things:
        if key(thing):
            groups[key(thing)].append(thing)
    return dict(groups)
