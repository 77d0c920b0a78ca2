"""Finds out who answers as a BMC, in ranges of addresses or of registered machines, without a login.

First all are asked by UDP for IPMI, then by TCP for Redfish, where it is not known yet that nobody has
the address.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from api.bmc.found import Answering
from api.bmc.pace import MOST, open_neighbours
from api.bmc.roll_call import Answer, RollCall
from api.bmc.service_roots import find_service_roots
from api.bmc.stretches import Span, Stretches, number_of, span
from api.bmc.target import Kind
from api.bmc.ways import read_routes

_INTERVAL = 0.5  # least seconds between two reports

Told = Callable[[int, int, int], None]  # how many of how many were asked, how many answer
Place = tuple[str, int]  # address and port
Answers = Mapping[Kind, Mapping[Place, Answer]]


@dataclass(frozen=True, slots=True)
class Registered:
    """A machine whose BMC is looked for where it is said to be."""

    node: str
    address: str
    kind: Kind
    port: int


def sweep(
    ranges: Iterable[tuple[str, str]],
    kinds: Sequence[Kind],
    ports: Mapping[Kind, int],
    *,
    silence: float,
    told: Told,
    note: Callable[[str], None],
) -> list[Answering]:
    """Who answers in the ranges, in address order; `note` is given sentences for the log.

    Waits `silence` seconds for answers each time everybody was asked.
    """
    spans = list(ranges)
    asked = {kind: [span(*ends, ports[kind]) for ends in spans] for kind in kinds}
    answers = _ask(asked, silence=silence, told=told, note=note)
    found: dict[str, dict[Kind, Answer]] = {}
    for kind in kinds:  # in order of preference
        for (address, _), answer in answers[kind].items():
            found.setdefault(address, {})[kind] = answer
    answering = [_answering(address, "", ports, found[address]) for address in found]
    return sorted(answering, key=lambda one: _order(one.address))


def sweep_registered(
    machines: Sequence[Registered],
    *,
    silence: float,
    told: Told,
    note: Callable[[str], None],
) -> list[Answering]:
    """Which of the machines' BMCs answer, in the machines' order."""
    asked: dict[Kind, list[Span]] = {}
    for one in machines:
        asked.setdefault(one.kind, []).append(span(one.address, one.address, one.port))
    answers = _ask(asked, silence=silence, told=told, note=note)
    return [
        _answering(one.address, one.node, {one.kind: one.port}, {one.kind: answer})
        for one in machines
        if (answer := answers[one.kind].get((str(ip_address(one.address)), one.port)))
    ]


def _ask(
    asked: Mapping[Kind, Sequence[Span]],
    *,
    silence: float,
    told: Told,
    note: Callable[[str], None],
) -> Answers:
    routes = read_routes()
    ipmi, redfish = (Stretches(asked.get(kind, ()), routes) for kind in ("ipmi", "redfish"))
    report = _Report(told, len(ipmi) + len(redfish))
    call = RollCall(ipmi, silence=silence, told=report.asked, note=note)
    call.run()
    by_ipmi = {ipmi.address(place): answer for place, answer in call.answers.items()}
    report.goes_on(len(ipmi), len(by_ipmi))
    most = min(open_neighbours(version) if redfish.on_link(version) else MOST for version in (4, 6))
    ports = {port for _, port, _, _ in asked.get("ipmi", ())}
    left = _left(redfish, call, ports, report)
    by_redfish = find_service_roots(left, most=most, told=report.asked)
    report.ends(len({address for address, _ in (*by_ipmi, *by_redfish)}))
    return {"ipmi": _canonical(by_ipmi), "redfish": _canonical(by_redfish)}


def _left(
    redfish: Stretches, call: RollCall, ports: set[int], report: "_Report"
) -> Iterator[Place]:
    """Where Redfish may be, after what came of asking for IPMI."""
    for stretch in redfish:
        for number in range(stretch.first, stretch.last + 1):
            if any(call.has_nobody(stretch.version, port, number) for port in ports):
                report.skipped += 1
            else:
                yield stretch.address(stretch.offset + number - stretch.first), stretch.port


class _Report:
    """Tells how far we are, not too often. An address that is asked for two kinds counts twice."""

    def __init__(self, told: Told, total: int) -> None:
        self.skipped = 0
        self._told = told
        self._total = total
        self._before = (0, 0)  # asked and answering, in what is over
        self._last = time.monotonic()

    def asked(self, asked: int, answering: int) -> None:
        """So many of those that are asked now."""
        if time.monotonic() - self._last >= _INTERVAL:
            self._last = time.monotonic()
            before = self._before
            self._told(before[0] + self.skipped + asked, self._total, before[1] + answering)

    def goes_on(self, asked: int, answering: int) -> None:
        """So many are over; others follow."""
        self._before = (asked, answering)

    def ends(self, answering: int) -> None:
        """All is over."""
        self._told(self._total, self._total, answering)


def _canonical(answers: Mapping[Place, Answer]) -> dict[Place, Answer]:
    return {(str(ip_address(address)), port): it for (address, port), it in answers.items()}


def _answering(
    address: str, node: str, ports: Mapping[Kind, int], answers: Mapping[Kind, Answer]
) -> Answering:
    return Answering(
        address=address,
        node=node,
        kinds={kind: ports[kind] for kind in answers},
        seconds=round(max(answer.seconds for answer in answers.values()), 3),
        said=" and ".join(answer.said for answer in answers.values()),
    )


def _order(address: str) -> tuple[int, int]:
    return ip_address(address).version, number_of(address)
