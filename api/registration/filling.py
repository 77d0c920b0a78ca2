"""What is written about a machine that a scan found: a new registration, or what is empty in one.

Pure rules. What is found, expected or in the profile is taken as far as it makes sense and nobody
else has it; what is left out is said.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from api.bmc.found import Identity
from api.bmc.target import PORTS
from api.registration.attributes import checked
from api.registration.expected import Expected
from api.registration.logins import REGISTERED
from api.registration.matching import Known, Match
from api.registration.patterns import place_in, rendered
from api.registration.plan import Login, Plan
from api.registration.rules import (
    NETWORKS,
    NOTHING,
    OWNED,
    Fault,
    Values,
    faults,
    missing,
)
from api.states import BmNodeStatus

_OF_NODE = ("zone_id", "description")
_MOST_TOLD = 3  # things left out, in one sentence


@dataclass(frozen=True, slots=True)
class Filling:
    """What is written about one machine, and what is not."""

    values: Mapping[str, Any]  # columns to set, and zone_id and description of a new machine
    status: str  # of the registration afterwards
    left_out: Sequence[Fault] = ()
    missing: Sequence[str] = ()  # that keep it `discovered`


@dataclass(slots=True)
class Owners:
    """Who has what no two machines may have; it grows with the machines of a scan."""

    known: dict[tuple[str, str], str] = field(default_factory=dict)  # (kind, value) -> node id

    def taken(self, values: Values, who: str) -> Iterator[Fault]:
        """What of these values somebody else has."""
        for name, kind in OWNED.items():
            owner = self.known.get((kind, values[name]), who) if values[name] else who
            if owner != who:
                yield name, f"{owner} has the {kind} {values[name]} already"

    def give(self, values: Values, who: str) -> None:
        """Remember that these values have an owner now."""
        self.known |= {
            (kind, values[name]): who for name, kind in OWNED.items() if values.get(name)
        }


def wanted(
    identity: Identity, plan: Plan, expected: Expected | None
) -> tuple[dict[str, Any], list[Fault]]:
    """What the machine is and becomes: the profile, over it what was found, then what is expected.

    And what the profile says of it that makes no sense.
    """
    place = place_in(plan.ranges, identity.address)
    profile, wrong = rendered(plan.profile, place) if place else ({}, [])
    said = {name: value for name, value in (expected or {}).items() if name != "mac"}
    return profile | _found_fields(identity) | said, wrong


def new_machine(
    match: Match,
    want: Values,
    login: Login,
    owners: Owners,
    allowed: Sequence[IPv4Network | IPv6Network],
    zone_id: str,
    wrong: Sequence[Fault] = (),
) -> Filling:
    """The registration of a machine that had none; what was `wrong` with it before is left out too."""
    who = name_of(match)
    base = NOTHING | _bmc(match.identity, login)
    added, left_out = _fitting(base, _fields(want), owners, allowed, who)
    left_out = [*wrong, *left_out]
    values = base | added
    owners.give(values, who)
    lacking = missing(values)
    is_whole = not lacking and not left_out
    of_node = {"zone_id": zone_id, "description": ""} | {
        name: want[name] for name in _OF_NODE if name in want
    }
    return Filling(
        values
        | of_node
        | _learnt(match.identity, values["bmc_type"])
        | _hardware(match.identity, {}),
        BmNodeStatus.NEW if is_whole else BmNodeStatus.DISCOVERED,
        left_out,
        lacking,
    )


def changes(
    match: Match,
    known: Known,
    want: Values,
    login: Login | None,
    owners: Owners,
    allowed: Sequence[IPv4Network | IPv6Network],
    wrong: Sequence[Fault] = (),
) -> Filling:
    """What becomes of a registration: what was empty is filled, nothing else is touched."""
    is_open = known.status == BmNodeStatus.DISCOVERED
    before = {name: known.values[name] for name in NOTHING}
    base = before | _bmc_changes(match, known, login)
    # What becomes of a machine was decided when it was registered.
    fills = _empty(base, want if is_open else _found_fields(match.identity))
    added, left_out = _fitting(base, fills, owners, allowed, name_of(match))
    left_out = [*wrong, *left_out] if is_open else left_out
    after = base | added
    owners.give(after, name_of(match))
    learnt = {
        name: value
        for name, value in _learnt(match.identity, after["bmc_type"]).items()
        if value and not known.values[name]
    }
    changed = {name: after[name] for name in after if after[name] != before[name]}
    lacking = missing(after) if is_open else []
    is_whole = is_open and changed and not lacking and not left_out
    return Filling(
        changed | learnt | _hardware(match.identity, known.values),
        BmNodeStatus.NEW if is_whole else known.status,
        left_out,
        lacking,
    )


def name_of(match: Match) -> str:
    """What a machine is called in sentences about others: its node, or where it was found."""
    return (
        f"node {match.known.node_id}" if match.known else f"the machine of {match.identity.address}"
    )


def told(left_out: Sequence[Fault]) -> str:
    """A sentence's end about what was left out."""
    if not left_out:
        return ""
    parts = [
        f"its {network} network ({name}: {message})"
        if (network := _network_of(name))
        else f"{name} ({message})"
        for name, message in left_out[:_MOST_TOLD]
    ]
    more = len(left_out) - _MOST_TOLD
    return f"; without {', '.join(parts)}" + (f" and {more} more" if more > 0 else "")


def _found_fields(identity: Identity) -> dict[str, Any]:
    """Fields of a registration, as the BMC told them."""
    arch = str(identity.hardware.get("cpu", {}).get("cpu_arch", ""))
    told_by_bmc = {
        "brand": identity.brand,
        "serial_number": identity.serial_number,
        "pxe_network_mac_addr": identity.boot_macs[0] if identity.boot_macs else "",
        "cpu_arch": arch if arch in ("x86_64", "aarch64") else "",
    }
    found: dict[str, Any] = {}
    for name, value in told_by_bmc.items():
        if value:
            found |= checked({name: value})[0]
    return found


def _learnt(identity: Identity, bmc_type: str) -> dict[str, Any]:
    """What a registration keeps beside its fields; a certificate where it is talked to that way."""
    return {
        "product": identity.product,
        "bmc_mac": identity.bmc_mac,
        "bmc_certificate": identity.certificate if identity.bmc_type == bmc_type else "",
    }


def _hardware(identity: Identity, known: Mapping[str, Any]) -> dict[str, Any]:
    """The hardware, where it is news; what the ramdisk saw is more than a BMC tells."""
    if not identity.hardware or known.get("hardware_source") == "ramdisk":
        return {}
    text = json.dumps(identity.hardware, sort_keys=True)
    if text == known.get("hardware"):
        return {}
    return {"hardware": text, "hardware_source": "bmc"}


def _bmc(identity: Identity, login: Login) -> dict[str, Any]:
    port = identity.bmc_port
    return {
        "bmc_type": identity.bmc_type,
        "bmc_port": 0 if port == PORTS[identity.bmc_type] else port,
        "ipmi_network_address": identity.address,
        "ipmi_username": login.username,
        "ipmi_password": login.password,
    }


def _bmc_changes(match: Match, known: Known, login: Login | None) -> dict[str, Any]:
    """Where the BMC is now; and another login where the registered one did not let us in."""
    identity, registered = match.identity, known.values
    if login is not None and (
        not (registered["ipmi_username"] and registered["ipmi_password"])
        # At another address nobody knew whose login to try: it may still be right.
        or (identity.credential != REGISTERED and not match.is_moved)
    ):
        return _bmc(identity, login)
    return {"ipmi_network_address": identity.address}


def _fields(want: Values) -> dict[str, Any]:
    return {name: value for name, value in want.items() if name in NOTHING}


def _empty(base: Values, want: Values) -> dict[str, Any]:
    """What of this is empty; of a network that has an address, nothing is."""
    closed = {net for net in NETWORKS if base[f"{net}_network_address"]}
    return {
        name: value
        for name, value in _fields(want).items()
        if base[name] == NOTHING[name] != value and _network_of(name) not in closed
    }


def _fitting(
    base: dict[str, Any],
    added: dict[str, Any],
    owners: Owners,
    allowed: Sequence[IPv4Network | IPv6Network],
    who: str,
) -> tuple[dict[str, Any], list[Fault]]:
    """What may be added, and what may not, with the reason; of a network, all or nothing."""
    left_out: list[Fault] = []
    while True:
        values = base | added
        wrong = itertools.chain(owners.taken(values, who), faults(values, allowed))
        # A fault that nothing added has to do with was there before.
        fault = next((one for one in wrong if _with(one[0], added)), None)
        if fault is None:
            return added, left_out
        gone = _with(fault[0], added)
        added = {name: value for name, value in added.items() if name not in gone}
        left_out.append(fault)


def _with(name: str, added: Values) -> set[str]:
    """What of the fields added stands and falls with this one."""
    network = _network_of(name)
    return {one for one in added if one == name or (network and _network_of(one) == network)}


def _network_of(name: str) -> str:
    return next((net for net in NETWORKS if f"{net}_" in name), "")
