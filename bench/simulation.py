"""An installation of many machines, second by second: who waits for what, and what is used of it.

Each slice of a job is one run of a worker, and its machines take each step together, as they do in the
service. In a zone, slices share the boot servers' links and the workers' processors; all zones share the
API's answers to booting machines, the limit of machines installed at a time, and the database.
All machines of a slice do everything in the same moment, which is the worst that can happen. Zones take
turns when slices are let in.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Shared = Literal["processor", "answers", "link"]
"""What slices share: their workers' processors, the API's answers to booting machines, boot servers' links."""


@dataclass(frozen=True)
class Costs:
    """What one thing costs, as it was measured; seconds, MB, a second."""

    start: float  # of a playbook, until its first task; a processor
    machine: float  # of a worker's processor for one machine, all steps together
    own: float  # seconds of an installation that Firstbox takes besides the machine, whatever the number
    boots: float  # machines a second whose boot one API process answers
    boot_looks: float  # transactions of one machine's boot
    run_looks: float  # transactions a second of a run that waits
    writes: float  # transactions a second that the database bears if they write
    looks: float  # and if they only read
    idle_looks: float  # a second, of an API with a worker
    worker_looks: float  # of each further worker of one zone
    zone_looks: float  # of each further zone of a worker
    run_writes: float = 4.0  # a second; a run's events are written four times a second, at most


@dataclass(frozen=True)
class Hardware:
    """What the machines are like, which no bench of ours can tell: assumed, and said so."""

    self_test: float = 150.0  # seconds from power-on to the network, twice an installation
    ramdisk: float = 98.0  # MB of kernel and initrd, with firmware for cards
    ramdisk_start: float = 20.0  # seconds until its hello
    image: float = 500.0  # MB, compressed
    intake: float = 100.0  # MB a second of the image that one machine takes, unpacks and writes
    card: float = 117.0  # MB a second of one machine's network card
    system_start: float = 30.0  # seconds from the loader to the SSH server


@dataclass(frozen=True)
class Plan:
    """A fleet, and what is to serve it."""

    machines: int
    zones: int = 1
    boot_servers: int = 1  # of each zone
    link: float = 1.0  # Gbit/s of each boot server
    workers: int = 1  # of each zone
    concurrency: int = 2  # slices of one worker
    cores: int = 2  # of one worker's host
    apis: int = 1  # all zones together; those behind the boot servers
    database: float = 1.0  # as many times what was measured
    slice_nodes: int = 200
    at_once: int = 200  # FIRSTBOX_PROVISION_AT_ONCE


@dataclass
class Course:
    """How it went: what was used each second, all zones together."""

    seconds: int = 0
    installed: list[int] = field(default_factory=list)  # machines, up to this second
    megabytes: list[float] = field(default_factory=list)  # a second, out of all boot servers
    writes: list[float] = field(default_factory=list)  # a second, of runs
    looks: list[float] = field(
        default_factory=list
    )  # a second, of workers and of machines that boot
    full: dict[str, int] = field(
        default_factory=dict
    )  # what was shared -> seconds all of it was used

    @property
    def slowest(self) -> str:
        """What was used up for the longest time; "" if there was always some left."""
        most = max(self.full, key=lambda name: self.full[name], default="")
        return most if self.full.get(most) else ""


_Place = tuple[str, int]  # something shared, and the zone that shares it
_ANSWERS: _Place = ("answers", 0)  # of all zones
_OF_A_LINK = 0.94  # what TCP leaves of it


@dataclass
class _Phase:
    """One thing a slice does: a time to wait, or an amount of something shared."""

    left: float
    shared: Shared | None = None
    most: float = math.inf  # a second, however much there is


@dataclass
class _Slice:
    zone: int
    machines: int
    phases: list[_Phase]


def simulate(plan: Plan, costs: Costs, hardware: Hardware) -> Course:
    """Install all machines of a plan, beginning at the same moment."""
    there = _what_there_is(plan, costs)
    waiting = _slices(plan, costs, hardware)
    working: list[_Slice] = []
    course = Course()
    done = 0
    while waiting or working:
        _let_in(waiting, working, plan)
        used = _second(working, there)
        done += sum(one.machines for one in working if not one.phases)
        working = [one for one in working if one.phases]
        _note(course, used, there, done)
        course.writes.append(len(working) * costs.run_writes)
        busy = used.get(_ANSWERS, 0.0) * costs.boot_looks + len(working) * costs.run_looks
        course.looks.append(idle_looks(plan, costs) + busy)
    return course


def alone(costs: Costs, hardware: Hardware) -> float:
    """Seconds one machine takes when it has everything for itself."""
    return simulate(Plan(1, link=10), costs, hardware).seconds


def _what_there_is(plan: Plan, costs: Costs) -> dict[_Place, float]:
    link = plan.boot_servers * plan.link * 1000 / 8 * _OF_A_LINK
    # Half of the database for machines that boot: the rest is for everybody else.
    asked_at_most = plan.database * costs.looks / 2 / costs.boot_looks
    there = {_ANSWERS: min(costs.boots * plan.apis, asked_at_most)}
    for zone in range(plan.zones):
        there["processor", zone] = float(plan.workers * plan.cores)
        there["link", zone] = link
    return there


def _slices(plan: Plan, costs: Costs, hardware: Hardware) -> list[_Slice]:
    """In the order they go: zones take turns."""
    most = min(plan.slice_nodes, plan.at_once)
    left = [len(range(zone, plan.machines, plan.zones)) for zone in range(plan.zones)]
    slices = []
    while any(left):
        for zone, machines in enumerate(left):
            size = min(most, machines)
            left[zone] -= size
            if size:
                slices.append(_Slice(zone, size, _phases(size, costs, hardware)))
    return slices


def _phases(machines: int, costs: Costs, hardware: Hardware) -> list[_Phase]:
    work = costs.machine * machines
    intake = min(hardware.intake, hardware.card)
    return [
        _Phase(costs.start, "processor", 1),
        _Phase(work / 2, "processor", 1),  # BMCs asked, boots opened, power on
        _Phase(hardware.self_test),
        _Phase(machines, "answers"),
        _Phase(machines * hardware.ramdisk, "link", machines * hardware.card),
        _Phase(hardware.ramdisk_start),
        _Phase(machines * hardware.image, "link", machines * intake),
        _Phase(costs.own),
        _Phase(hardware.self_test + hardware.system_start),
        _Phase(work / 2, "processor", 1),  # logins, verification
    ]


def _let_in(waiting: list[_Slice], working: list[_Slice], plan: Plan) -> None:
    """Begin slices in their order, as far as there are workers and the limit allows."""
    places = Counter(one.zone for one in working)
    room = plan.at_once - sum(one.machines for one in working)
    for one in list(waiting):
        if one.machines > room:
            return
        if places[one.zone] < plan.workers * plan.concurrency:
            waiting.remove(one)
            working.append(one)
            places[one.zone] += 1
        room -= one.machines  # who waits for a worker counts as well


def _second(working: Sequence[_Slice], there: dict[_Place, float]) -> dict[_Place, float]:
    """Let a second pass for every slice; what was used of each thing shared."""
    asking: dict[_Place, list[_Slice]] = defaultdict(list)
    for one in working:
        shared = one.phases[0].shared
        if shared is None:
            one.phases[0].left -= 1
        else:
            asking[shared, 0 if shared == "answers" else one.zone].append(one)
    used = {place: _share(those, there[place]) for place, those in asking.items()}
    for one in working:
        if one.phases[0].left <= 1e-9:
            one.phases.pop(0)
    return used


def _share(those: Sequence[_Slice], amount: float) -> float:
    """Each gets what its machines ask for, and all the same part of it if there is too little."""
    asked = [min(one.phases[0].most, one.phases[0].left) for one in those]
    part = min(1.0, amount / sum(asked))
    for one, wanted in zip(those, asked, strict=True):
        one.phases[0].left -= wanted * part
    return sum(asked) * part


def _note(course: Course, used: dict[_Place, float], there: dict[_Place, float], done: int) -> None:
    course.seconds += 1
    course.installed.append(done)
    course.megabytes.append(sum(amount for place, amount in used.items() if place[0] == "link"))
    for name in {place[0] for place, amount in used.items() if amount > 0.95 * there[place]}:
        course.full[name] = course.full.get(name, 0) + 1


def idle_looks(plan: Plan, costs: Costs) -> float:
    """Transactions a second while there is nothing to do: workers look into their queues."""
    return costs.idle_looks + (plan.zones * plan.workers - 1) * costs.worker_looks


def of_database(plan: Plan, costs: Costs, writes: float, looks: float) -> float:
    """Share of the database that so many a second use."""
    return (writes / costs.writes + looks / costs.looks) / plan.database
