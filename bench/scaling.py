"""What 10, 1,000 and 100,000 machines need: `python -m bench.scaling` writes the figures of docs/scaling.md.

Nothing is measured here. What one thing costs is read from docs/performance.md, each figure from a line of its
tables; what no machine of ours can tell is assumed, and listed as such; bench/simulation.py puts the two
together. A test compares the page with what this makes of the measurements, so that neither drifts.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

from bench import units
from bench.picture import chart
from bench.report import DOCUMENT
from bench.simulation import Costs, Course, Hardware, Plan, alone, idle_looks, of_database, simulate

PAGE = DOCUMENT.with_name("scaling.md")
PLANS = {
    "10": Plan(10),
    "1,000": Plan(1_000, zones=2, link=10, concurrency=4, cores=4, apis=2, at_once=1_000),
    "100,000": Plan(
        100_000,
        zones=50,
        link=25,
        concurrency=4,
        cores=4,
        apis=8,
        database=2,
        at_once=40_000,
    ),
}
_CONVERSATIONS = (
    3  # with a machine's BMC in an installation: may we, boot and power, off the network again
)
_LOGINS = 4  # to its ramdisk and its system
_API_CONNECTIONS = 26  # at most: 16 threads, and what SQLAlchemy adds to its pool under pressure
_MOST_OF_DATABASE = 0.5  # what may be used of it before answers get slow


class Figure(NamedTuple):
    """A measured figure, and where it stands in docs/performance.md."""

    value: float
    section: str
    line: str
    cell: str


class Measured:
    """The figures of docs/performance.md, by section and line; remembers which were asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.used: list[Figure] = []

    def get(self, section: str, line: str, pattern: str = r"([0-9][0-9.,]*)") -> float:
        """The first number of a line that stands as the pattern says. Raises SystemExit without one."""
        part = re.search(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", self._text, re.M | re.S)
        row = re.search(rf"^\| {re.escape(line)} \| ([^|]+) \|", part[1] if part else "", re.M)
        number = re.search(pattern, row[1]) if row else None
        if row is None or number is None:
            raise SystemExit(f"docs/performance.md has no figure {line!r} under {section!r}")
        figure = Figure(float(number[1].replace(",", "")), section, line, row[1].strip())
        if figure not in self.used:
            self.used.append(figure)
        return figure.value


def main() -> None:
    """Write the page's tables and its pictures."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """The page and its pictures as they should be."""
    measured = Measured(DOCUMENT.read_text(encoding="utf-8"))
    costs, hardware = costs_of(measured), Hardware()
    tables = {
        "plans": plans(measured, costs, hardware),
        "changes": changes(costs, hardware),
        "limits": limits(measured, costs, hardware),
        "assumed": assumed(hardware),
        "measured": used(measured),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = _put(text, name, table)
    return {PAGE: text, **pictures(costs, hardware)}


def costs_of(measured: Measured) -> Costs:
    """What one thing costs."""

    def unit(line: str) -> float:
        return measured.get("Units", line)

    bmc = measured.get("Power", "CPU per BMC, besides the playbook's start") / 1000
    return Costs(
        start=measured.get("Power", "the same for one BMC, wall"),
        machine=_CONVERSATIONS * bmc + _LOGINS * unit(units.HOST_CPU) / 1000,
        own=measured.get("Installing", "of it Firstbox's own"),
        boots=unit(units.BOOTS),
        boot_looks=unit(units.BOOT_COMMITS),
        run_looks=unit(units.RUN),
        writes=unit(units.RENEWED),
        looks=unit(units.LOOKED),
        idle_looks=unit(units.IDLE),
        worker_looks=unit(units.WORKER),
        zone_looks=unit(units.ZONE),
    )


def plans(measured: Measured, costs: Costs, hardware: Hardware) -> str:
    """What serves each fleet, and what that gives."""
    courses = {name: simulate(plan, costs, hardware) for name, plan in PLANS.items()}

    def row(what: str, of: Callable[[Plan, Course], str]) -> list[str]:
        return [what, *(of(plan, courses[name]) for name, plan in PLANS.items())]

    return _table(
        ["machines", *PLANS],
        [
            row("zones", lambda plan, _: f"{plan.zones}"),
            row("workers of a zone", lambda plan, _: f"{plan.workers}"),
            row("slices of a worker at a time", lambda plan, _: f"{plan.concurrency}"),
            row("cores of a worker", lambda plan, _: f"{plan.cores}"),
            row("memory of a worker's host", lambda plan, _: f"{_memory(measured, plan):.1f} GB"),
            row("boot servers of a zone", lambda plan, _: f"{plan.boot_servers}"),
            row("link of a boot server", lambda plan, _: f"{plan.link:g} Gbit/s"),
            row("API replicas", lambda plan, _: f"{plan.apis}"),
            row("database", lambda plan, _: "SQLite" if plan.machines < 100 else "PostgreSQL"),
            row(
                "as many times the measured one",
                lambda plan, _: f"{plan.database:g}" if plan.machines > 99 else "",
            ),
            row("its connections, at most", lambda plan, _: _connections(measured, plan)),
            row("`provision_at_once`", lambda plan, _: f"{plan.at_once:,}"),
            row("**all installed after**", lambda _, course: f"**{_time(course.seconds)}**"),
            row("images out of the boot servers, at most", lambda _, c: _rate(max(c.megabytes))),
            row(
                "transactions that write, at most",
                lambda _, course: f"{max(course.writes):,.0f} a second",
            ),
            row(
                "transactions that read, at most",
                lambda _, course: f"{max(course.looks):,.0f} a second",
            ),
            row(
                "while nothing is to be done", lambda p, _: f"{idle_looks(p, costs):,.0f} a second"
            ),
            row(
                "of what it bears",
                lambda p, course: f"{_of_database(p, costs, course):.0%} at most",
            ),
            row("used up longest", lambda _, course: _longest(course)),
            row("all collected after", lambda plan, _: _time(_collecting(measured, plan))),
        ],
    )


def changes(costs: Costs, hardware: Hardware) -> str:
    """Time for all machines if one thing is different: what is scarce shows."""
    rows = []
    for what, change in CHANGES.items():
        courses = [simulate(change(plan), costs, hardware) for plan in PLANS.values()]
        rows.append([what, *(_time(course.seconds) for course in courses)])
    one = _time(alone(costs, hardware))
    return _table(["all machines installed after", *PLANS], rows) + (
        f"\n\nOne machine that has everything for itself takes {one}."
    )


CHANGES: Mapping[str, Callable[[Plan], Plan]] = {
    "as planned": lambda plan: plan,
    "links half as fast": lambda plan: replace(plan, link=plan.link / 2),
    "twice the boot servers": lambda plan: replace(plan, boot_servers=plan.boot_servers * 2),
    "twice the workers": lambda plan: replace(plan, workers=plan.workers * 2),
    "half the slices at a time": lambda plan: replace(plan, concurrency=max(1, plan.concurrency // 2)),
    "one core for each worker": lambda plan: replace(plan, cores=1),
    "one API replica": lambda plan: replace(plan, apis=1),
    "twice `provision_at_once`": lambda plan: replace(plan, at_once=plan.at_once * 2),
    "`provision_at_once` left at 200": lambda plan: replace(plan, at_once=200),
    "slices of 50 nodes": lambda plan: replace(plan, slice_nodes=50),
}  # fmt: skip


def limits(measured: Measured, costs: Costs, hardware: Hardware) -> str:
    """Where each thing ends."""
    polls_at_most = _MOST_OF_DATABASE * costs.looks - costs.idle_looks
    of_run = costs.run_writes / costs.writes + costs.run_looks / costs.looks
    each = measured.get("Units", units.WORKER_CONNECTIONS)
    link = hardware.card * 8 / 1000
    storm = measured.get("Boot server", "iPXE scripts for 1,000 machines at once, 99 of 100 within")
    asked = "GetStatus of a running job by token, 16 connections / bare route"
    statuses = measured.get("Requests", asked, r"\(([0-9,]+)/s")
    rows = [
        [
            "links of the boot servers",
            f"{10 / link:.0f} machines fill 10 Gbit/s",
            "more boot servers in the zone, faster links; smaller images",
        ],
        [
            "scripts and hellos",
            f"{costs.boots:,.0f} machines a second and API; 1,000 scripts at once within {storm:.2g} s",
            "more API replicas behind the boot servers",
        ],
        [
            "queues looked into",
            f"{polls_at_most / costs.worker_looks:,.0f} workers of one zone each use half of the database; "
            f"one worker of every zone that with {polls_at_most / costs.zone_looks:,.0f} zones",
            "`queue_poll` of 2 s instead of 0.5: a quarter",
        ],
        [
            "runs that write",
            f"{_MOST_OF_DATABASE / of_run:,.0f} runs at the same time use half of the database",
            "a larger database host; fewer and larger slices",
        ],
        [
            "connections",
            f"{(500 - _API_CONNECTIONS) / max(each, 1):,.0f} idle workers on a PostgreSQL of `max_connections = 500`",
            "pgbouncer in session mode; fewer workers with more slices each",
        ],
        [
            "statuses asked for",
            f"{statuses:,.0f} a second and API, of a job whose status was read less than 0.1 s ago",
            "more API replicas",
        ],
    ]
    return _table(["what", "ends at", "what helps"], rows)


def assumed(hardware: Hardware) -> str:
    """What the simulation takes for granted of machines."""
    text = (Path(__file__).with_name("simulation.py")).read_text(encoding="utf-8")
    rows = []
    for one in fields(Hardware):
        said = re.search(rf"^    {one.name}: float = \S+  # (.*)$", text, re.M)
        rows.append(
            [
                one.name.replace("_", " "),
                f"{getattr(hardware, one.name):g}",
                said[1] if said else "",
            ]
        )
    rows += [
        [
            "conversations",
            f"{_CONVERSATIONS}",
            "with a machine's BMC, each as dear as one of Power",
        ],
        [
            "logins",
            f"{_LOGINS}",
            "to its ramdisk and its system, each as dear as a host of CollectNodes",
        ],
    ]
    return _table(["assumed", "", "what it is"], rows)


def used(measured: Measured) -> str:
    """Every line of docs/performance.md that was read."""
    rows = [[figure.line, figure.cell, figure.section] for figure in measured.used]
    return _table(["line of [performance.md](performance.md)", "measured", "part"], rows)


def pictures(costs: Costs, hardware: Hardware) -> dict[Path, str]:
    """How many are installed by when, as planned and with less."""
    drawn = {}
    for name, kept in (
        ("1,000", ("as planned", "links half as fast", "`provision_at_once` left at 200")),
        (
            "100,000",
            ("as planned", "links half as fast", "half the slices at a time", "one API replica"),
        ),
    ):
        courses = {
            what.replace("`", ""): simulate(CHANGES[what](PLANS[name]), costs, hardware)
            for what in kept
        }
        curves = {what: list(_installed(course)) for what, course in courses.items()}
        title = f"{name} machines, all told to be installed at the same moment"
        path = PAGE.with_name(f"scaling-{name.replace(',', '')}.svg")
        drawn[path] = chart(title, "minutes", "installed", curves)
    return drawn


def _installed(course: Course) -> Iterator[tuple[float, float]]:
    yield 0.0, 0.0
    for second, machines in enumerate(course.installed, start=1):
        yield second / 60, float(machines)


def _memory(measured: Measured, plan: Plan) -> float:
    worker = measured.get("Units", units.WORKER_MEMORY)
    run = measured.get("Units", units.RUN_MEMORY)
    return 0.5 + (worker + plan.concurrency * run) / 1000  # 0.5: the system


def _connections(measured: Measured, plan: Plan) -> str:
    workers = plan.zones * plan.workers
    of_worker = measured.get("Units", units.WORKER_CONNECTIONS)
    of_run = measured.get("Units", units.RUN_CONNECTIONS)
    if plan.machines < 100:
        return ""
    most = plan.apis * _API_CONNECTIONS + workers * (of_worker + plan.concurrency * of_run)
    return f"{most:,.0f}"


def _collecting(measured: Measured, plan: Plan) -> float:
    """Seconds until the last of them is collected, with one core for a slice."""
    slices = -(-plan.machines // min(plan.slice_nodes, plan.machines))
    nodes = min(plan.slice_nodes, plan.machines)
    job = measured.get("Units", units.JOB_CPU)
    host = measured.get("Units", units.HOST_CPU) / 1000
    at_once = plan.zones * plan.workers * min(plan.concurrency, plan.cores)
    return -(-slices // at_once) * (job + nodes * host)


def _of_database(plan: Plan, costs: Costs, course: Course) -> float:
    pairs = zip(course.writes, course.looks, strict=True)
    return max(of_database(plan, costs, writes, looks) for writes, looks in pairs)


def _longest(course: Course) -> str:
    words = {
        "link": "links of the boot servers",
        "answers": "answers of the APIs",
        "processor": "processors of the workers",
        "": "nothing",
    }
    name = course.slowest
    return words[name] + (
        f" ({course.full[name] / course.seconds:.0%} of the time)" if name else ""
    )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 3 * 3600 else f"{seconds / 3600:,.1f} h"


def _rate(megabytes: float) -> str:
    gigabits = megabytes * 8 / 1000
    return f"{gigabits:,.0f} Gbit/s" if gigabits >= 10 else f"{gigabits:.2g} Gbit/s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _put(text: str, name: str, table: str) -> str:
    before, begin, rest = text.partition(f"<!-- bench.scaling: {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not begin or not end:
        raise SystemExit(f"{PAGE} has lost its marks for {name!r}")
    return f"{before}{begin}\n{table}\n\n{end}{after}"


if __name__ == "__main__":
    main()
