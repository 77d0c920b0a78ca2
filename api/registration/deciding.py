"""What becomes of each BMC that a scan identified: new, updated, unchanged, or a conflict. Pure rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from api.bmc.found import Identity
from api.registration.expected import Expected, by_identity, find
from api.registration.filling import Filling, Owners, changes, name_of, new_machine, told, wanted
from api.registration.logins import REGISTERED
from api.registration.matching import Known, Match, match
from api.registration.plan import Login, Plan
from api.registration.rules import OWNED
from api.states import ScanOutcome

_FEW = 6  # names in one sentence
_UNTOLD = ("ipmi_network_address", "hardware_source")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written about one BMC's machine, and what is said of it."""

    identity: Identity
    outcome: ScanOutcome
    message: str  # of what was decided: why, or what it is about
    known: Known | None = None
    status: str = ""  # of its registration afterwards
    values: Mapping[str, Any] = field(default_factory=dict)  # columns; the password in clear
    is_moved: bool = False

    @property
    def node_id(self) -> str:
        """The machine's node; "" for one that nobody knew."""
        return self.known.node_id if self.known else self.identity.node


class Scan:
    """All that one scan found, and what was known before."""

    def __init__(
        self,
        identities: Sequence[Identity],
        plan: Plan,
        allowed: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        self._plan = plan
        self._allowed = allowed
        index = by_identity(plan.expected)
        self._expected = {one.address: find(index, one) for one in identities}
        self._want = {
            one.address: wanted(one, plan, self._expected[one.address]) for one in identities
        }
        # What somebody expects is given away before what a pattern makes, and then by address.
        self._identities = sorted(
            identities, key=lambda one: (self._expected[one.address] is None, _order(one))
        )

    def claims(self) -> dict[str, set[str]]:
        """By kind, what of the things no two machines may have somebody may get."""
        found: dict[str, set[str]] = {kind: set() for kind in OWNED.values()}
        for identity in self._identities:
            found["address"].add(identity.address)
            want, _ = self._want[identity.address]
            for name, kind in OWNED.items():
                if want.get(name):
                    found[kind].add(want[name])
        return found

    def decide(
        self, known: Sequence[Known], owners: Mapping[tuple[str, str], str]
    ) -> list[Decision]:
        """What becomes of each, in order of the addresses.

        `owners` are the nodes that have what is claimed: (kind, value) -> node id.
        """
        at = {address: node_id for (kind, address), node_id in owners.items() if kind == "address"}
        matches = match(self._identities, known, at, self._unexpected())
        given = Owners({key: f"node {node_id}" for key, node_id in owners.items()})
        for one in matches:
            given.known["address", one.identity.address] = name_of(one)
        logins = {one.address: _own_login(one) for one in known if one.address}
        decisions = [self._decide(one, given, logins) for one in matches]
        return sorted(decisions, key=lambda one: _order(one.identity))

    def _decide(self, match: Match, owners: Owners, logins: Mapping[str, Login]) -> Decision:
        identity, known = match.identity, match.known
        if match.conflict:
            return Decision(identity, ScanOutcome.CONFLICT, match.conflict, known)
        if match.twin:
            message = f"is the BMC that answers at {match.twin} too"
            return Decision(identity, ScanOutcome.UNCHANGED, message)
        login = self._plan.logins.get(identity.credential) or logins.get(identity.address)
        if known is None or not known.status:
            return self._new(match, login, owners)
        want, wrong = self._want[identity.address]
        filling = changes(match, known, want, login, owners, self._allowed, wrong)
        is_same = not filling.values and filling.status == known.status
        about = "is as it was known" if is_same else ", ".join(_changed(match, known, filling))
        return Decision(
            identity,
            ScanOutcome.UNCHANGED if is_same else ScanOutcome.UPDATED,
            about + _lacking(filling),
            known,
            filling.status,
            filling.values,
            match.is_moved,
        )

    def _new(self, match: Match, login: Login | None, owners: Owners) -> Decision:
        if login is None:
            message = (
                f"let us in with {match.identity.credential}, a login that nobody knows any more"
            )
            return Decision(match.identity, ScanOutcome.CONFLICT, message, match.known)
        want, wrong = self._want[match.identity.address]
        zone_id = self._plan.zone_id
        filling = new_machine(match, want, login, owners, self._allowed, zone_id, wrong)
        return Decision(
            match.identity,
            ScanOutcome.NEW,
            _about(match.identity) + _lacking(filling),
            match.known,
            filling.status,
            filling.values,
        )

    def _unexpected(self) -> dict[str, str]:
        """Where a machine is expected by its MAC, and is not what it says of itself."""
        found = {}
        for identity in self._identities:
            expected: Expected = self._expected[identity.address] or {}
            serial = expected.get("serial_number", "")
            if serial and identity.serial_number not in ("", serial):
                said = f"has the serial number {identity.serial_number}"
                message = f"{said}, but {serial} is expected with the MAC {expected.get('mac')}"
                found[identity.address] = message
        return found


def sentence(decision: Decision, node_id: str, *, is_done: bool) -> str:
    """What is said of one BMC, of what was done or would be."""
    verb, about = "is" if is_done else "would be", decision.message
    # Lines about a node begin with it; those about an address do not.
    node = "" if decision.identity.node else f"node {node_id} "
    match decision.outcome:
        case ScanOutcome.NEW:
            whose = f", node {node_id}" if node_id else ""
            return f"{verb} registered as {decision.status}{whose}: {about}"
        case ScanOutcome.UPDATED:
            return f"{node}{verb} updated: {about}"
        case ScanOutcome.UNCHANGED if decision.known:
            return f"{node}{about}"
        case _:
            return about


def _about(identity: Identity) -> str:
    names = " ".join(filter(None, (identity.brand, identity.product))) or "a machine of no name"
    serial = f"serial number {identity.serial_number}" if identity.serial_number else ""
    login = f"let us in with {identity.credential}" if identity.credential else ""
    return ", ".join(filter(None, (names, serial, login)))


def _lacking(filling: Filling) -> str:
    """A sentence's end about what is left to do before the machine may be provisioned."""
    missing = f"; still missing: {', '.join(filling.missing)}" if filling.missing else ""
    return told(filling.left_out) + missing


def _changed(match: Match, known: Known, filling: Filling) -> Iterator[str]:
    if filling.status != known.status:
        yield f"it is {filling.status} now"
    if match.is_moved:
        yield f"its BMC was at {known.address}"
    names = [name for name in filling.values if name not in _UNTOLD]
    yield from names[:_FEW]
    if len(names) > _FEW:
        yield f"{len(names) - _FEW} more"


def _order(identity: Identity) -> tuple[int, int]:
    address = ip_address(identity.address)
    return address.version, int(address)


def _own_login(known: Known) -> Login:
    values = known.values
    return Login(REGISTERED, values["ipmi_username"], values["ipmi_password"])
