"""Sixteen clients at work while nodes are collected: `python -m bench.load` measures it for ten minutes.

10,000 nodes in a PostgreSQL that is written durably. Three CollectNodes jobs of 300 hosts each are at work
all the time: when one ends, the next begins with the same hosts. Each client asks five times a second for
one thing or another (`Client.run` in bench/clients.py has the mixture), so that a minute is 4,800 requests.

- `--seconds 60` measures for a shorter time, `--pace 10` has each client ask ten times a second.
- Everything runs on the machine that measures: API, worker, database and clients, which share the processors
  as units of systemd do, and the hosts of the farm, which get a quarter of such a share, since they are
  other machines in truth. What the clients take themselves is told, and how long an answer takes that costs
  the service nothing (`/healthz`).
- Memory is what a process holds for itself (RssAnon). "Grown" is the median of the last quarter of the time
  less that of the second quarter.

Ends with code 1 if a goal is not met.
"""

import argparse
import math
import os
import re
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.settings import Settings
from bench.clients import Asker, Client, Place, lost
from bench.collect import MeasuredService
from bench.cpu import cpu_of
from bench.memory import Growth, Process, Sample, Watch
from bench.report import Line, below, say, table, told
from bench.requests import plant, reference_hardware
from bench.shares import started, units
from tests.lab import SshFarm
from tests.nodes import plant_nodes
from tests.postgres import Postgres
from tests.service import children, command_line

CLIENTS = 16
PACE = 5.0  # requests a second of each client
SECONDS = 600.0
NODES = 10_000
JOBS = 3
HOSTS = 300  # of each job
PORT = 2386
# With hosts that share our processors: a probe gives a tool that it calls some seconds, no more.
PATIENCE = {"reach_deadline": 180, "probe_deadline": 300, "probe_concurrency": 10}
GOAL = 0.1  # seconds in which 99 of 100 GetStatus are answered
FLAT = 8.0  # MB that a server may grow by, its caches included
_ENOUGH = 6  # runs before and after, to compare them
_LAST_JOBS = 180.0  # seconds that jobs have to end after the clients went home
_ROLES = {
    "api.cli serve": "API",
    "api.cli worker": "worker",
    "guard.py": "guard",
    "api.jobs.run": "run",
    "ansible-playbook": "ansible-playbook",
    "postgres: firstbox": "connection of the database",
    "postgres": "rest of the database",
}


def main() -> None:
    """Measure as the command line says, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--pace", type=float, default=PACE, help="requests a second of a client")
    parser.add_argument("--hosts", type=int, default=HOSTS, help="of each collect job")
    asked = parser.parse_args()
    lines = measure(asked.seconds, asked.pace, asked.hosts)
    print(table(lines))
    if any(line.is_met is False for line in lines):
        raise SystemExit(1)


def measure(seconds: float = SECONDS, pace: float = PACE, hosts: int = HOSTS) -> list[Line]:
    """All lines of this part."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        running_service(Path(scratch), hosts) as (service, place),
    ):
        return list(load(service, place, seconds, pace, hosts))


@contextmanager
def running_service(scratch: Path, hosts: int) -> Iterator[tuple[MeasuredService, Place]]:
    """The service over 10,000 nodes, of which those that are collected exist."""
    with ExitStack() as stack:
        place = stack.enter_context(units(api=1, worker=1, database=1, hosts=0.25))
        cluster = stack.enter_context(Postgres(is_durable=True)).url
        place.add("database", databases()[0])
        url = f"{cluster}/postgres".replace("postgresql://", "postgresql+psycopg://")
        say(f"load: starting {JOBS * hosts} hosts")
        hosts_of_all = SshFarm(scratch / "farm", JOBS * hosts, first="127.0.84.1", port=PORT)
        farm = stack.enter_context(started(hosts_of_all, place))
        say(f"load: planting {NODES:,} nodes")
        home = scratch / "home"
        home.mkdir()
        node_ids, busy = plant_all(Settings(home=home, database_url=url), farm)
        limits = {"worker_concurrency": JOBS, "slice_nodes": hosts}
        service = MeasuredService(home, farm, database_url=url, **limits, **PATIENCE)
        stack.enter_context(service)
        worker = service.worker()
        place.add("api", service.pid)
        place.add("worker", worker)
        yield service, Place(service.port, service.token, node_ids, busy)


def plant_all(settings: Settings, farm: SshFarm) -> tuple[list[str], list[str]]:
    """Nodes in the database: the ids of all, and of those that answer."""
    hardware = reference_hardware(settings)
    node_ids = [f"n-{number:08}" for number in range(NODES)]
    busy = node_ids[: len(farm.addresses)]
    plant(settings, node_ids[len(busy) :], hardware)
    rows = [
        {"node_id": node_id, "address": address, "hardware": hardware}
        for node_id, address in zip(busy, farm.addresses, strict=True)
    ]
    plant_nodes(settings.database, *rows)
    return node_ids, busy


def load(
    service: MeasuredService, place: Place, seconds: float, pace: float, hosts: int
) -> Iterator[Line]:
    """Sixteen clients and three jobs for so long, and what became of them."""
    over = threading.Event()
    clients = [Client(number, place, pace, over) for number in range(CLIENTS)]
    lots = [place.busy_ids[number * hosts :][:hosts] for number in range(JOBS)]
    collectors = [Collector(place, lot, over) for lot in lots]
    say(f"load: {CLIENTS} clients for {seconds:g} s")
    with Watch(lambda: [service.pid, *databases()]) as watch:
        own, served = time.process_time(), cpu_of(service.pid)
        for thread in [*collectors, *clients]:
            thread.start()
        progress(over, seconds, clients, collectors)
        over.set()
        for thread in clients:
            thread.join()
        own, served = time.process_time() - own, cpu_of(service.pid) - served
        yield from latencies(clients)
        yield told("the clients' own processor time", own / seconds, " of a core")
        yield told("the service's, with its jobs", served / seconds, " of a core")
        say("load: waiting for the last jobs")
        for collector in collectors:
            collector.join(_LAST_JOBS)
    yield from memory(watch)
    yield from truth(service, place, clients, collectors)


def progress(
    over: threading.Event, seconds: float, clients: Sequence[Client], jobs: "Sequence[Collector]"
) -> None:
    """Wait, and say each minute how far we are."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and not over.wait(min(60.0, left)):
        asked = sum(len(times) for client in clients for times in client.asker.seconds.values())
        failed = sum(len(client.asker.failures) for client in clients)
        ended = sum(len(job.ended) for job in jobs)
        say(f"load: {asked:,} requests, {failed} failed, {ended} jobs ended")


class Collector(threading.Thread):
    """Has the same hosts collected again and again until it is told to stop."""

    def __init__(self, place: Place, node_ids: Sequence[str], over: threading.Event) -> None:
        super().__init__(name="collector", daemon=True)
        self.asker = Asker(place)
        self.started: list[str] = []
        self.ended: dict[str, str] = {}  # job id -> status
        self.lasted: list[float] = []
        self._place = place
        self._node_ids = node_ids
        self._over = over

    def run(self) -> None:
        while not self._over.is_set():
            asked = {"node_ids": self._node_ids}
            answer = self.asker.ask("CollectNodes of 300", "CollectNodes", **asked)
            if answer is None:
                time.sleep(1)
                continue
            job_id, began = answer["job_id"], time.monotonic()
            self.started.append(job_id)
            self._place.jobs.append(job_id)
            self.ended[job_id] = self._end_of(job_id)
            self.lasted.append(time.monotonic() - began)
            self._place.jobs.remove(job_id)

    def _end_of(self, job_id: str) -> str:
        give_up = time.monotonic() + 600
        while time.monotonic() < give_up:
            asked = {"job_action": "CollectNodes", "job_id": job_id}
            answer = self.asker.ask("GetStatus of the collector", "GetStatus", **asked)
            if answer and answer["status"] in ("successful", "failed"):
                failed = [node for node in answer["nodes"] if node["status"] != "successful"]
                if not failed:
                    return "successful"
                first = failed[0]
                return f"failed for {len(failed)} nodes: {first['reason']}, {first['message']}"
            time.sleep(0.5)
        return "without an end"


def latencies(clients: Sequence[Client]) -> Iterator[Line]:
    """What clients waited for answers."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for client in clients:
        for name, times in client.asker.seconds.items():
            seconds[name] += times
    p99, more = _p99(seconds["GetStatus"]), _more(seconds["GetStatus"])
    yield below("GetStatus of a job of 300, 99 of 100 within", p99 * 1e3, GOAL * 1e3, " ms", more)
    for name in [*sorted(seconds.keys() - {"GetStatus", "/healthz"}), "/healthz"]:
        p99, more = _p99(seconds[name]), _more(seconds[name])
        yield told(f"{name}, 99 of 100 within", p99 * 1e3, " ms", more)


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


def _more(seconds: Sequence[float]) -> str:
    half, worst = statistics.median(seconds) * 1e3, max(seconds) * 1e3
    return f" (half of {len(seconds):,} within {half:.3g} ms, all within {worst:,.0f} ms)"


def memory(watch: Watch) -> Iterator[Line]:
    """Whether servers grow, and whether later runs hold more than earlier ones."""
    servers: dict[str, list[Growth]] = defaultdict(list)
    for process, growth in watch.servers().items():
        servers[role(process)].append(growth)
    for name, each in sorted(servers.items()):
        worst = max(each, key=lambda one: one.after - one.before)
        more = f" (from {worst.before:.0f} MB to {worst.after:.0f} MB; {len(each)} of them)"
        what = f"memory of the {name}, grown"
        yield below(what, max(0.0, worst.after - worst.before), FLAT, " MB", more)
    for name, samples in sorted(by_role(watch.runs()).items()):
        ordered = [sample.megabytes for sample in sorted(samples)]
        half = len(ordered) // 2
        if name in ("guard", "run", "ansible-playbook") and half >= _ENOUGH:
            early, late = statistics.median(ordered[:half]), statistics.median(ordered[half:])
            more = f" (from {early:.0f} MB to {late:.0f} MB; {len(ordered)} of them)"
            what = f"memory of the {name} at its most, grown from job to job"
            yield below(what, max(0.0, late - early), FLAT, " MB", more)


def by_role(runs: Mapping[Process, Sample]) -> dict[str, list[Sample]]:
    """Samples of those that came and went, by what they were."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for process, sample in runs.items():
        found[role(process)].append(sample)
    return found


def role(process: Process) -> str:
    """What a process is here."""
    return next((name for part, name in _ROLES.items() if part in process.command), "others")


def truth(
    service: MeasuredService,
    place: Place,
    clients: Sequence[Client],
    collectors: Sequence[Collector],
) -> Iterator[Line]:
    """Whether everything was answered well, and everything written is there."""
    asker = Asker(place)
    askers = [one.asker for one in (*clients, *collectors)]
    failures = [text for one in askers for text in one.failures]
    failures += [f"{client.name} broke" for client in clients if not client.went_home]
    asked = sum(len(times) for client in clients for times in client.asker.seconds.values())
    yield _none(f"requests refused, broken or answered with 5xx, of {asked:,}", failures)
    written = sum(len(client.written) + len(client.registered) for client in clients)
    yield _none(f"writes lost, of {written:,}", lost(clients, asker, len(place.node_ids)))
    yield _none("faults in the service's log", faults(service))
    started = [job_id for one in collectors for job_id in one.started]
    ends = {job_id: status for one in collectors for job_id, status in one.ended.items()}
    bad = [f"{id_}: {ends.get(id_)}" for id_ in started if ends.get(id_) != "successful"]
    yield _none(f"jobs that did not end well, of {len(started)}", bad)
    answer = asker.ask("DescribeJobs, to compare", "DescribeJobs", limit=10_000) or {"job_set": []}
    there = Counter(job["job_id"] for job in answer["job_set"])
    wrong = [id_ for id_ in {*started, *there} if there[id_] != 1 or id_ not in started]
    yield _none("jobs lost or doubled", wrong)
    asker.close()


def faults(service: MeasuredService) -> list[str]:
    """Lines of the service's log that speak of a fault of its own."""
    lines = (service.home / "serve.log").read_text(errors="replace").splitlines()
    return [line for line in lines if re.search(r"\bfault\b|Traceback|ended with code", line)]


def databases() -> list[int]:
    """The server process of the database that we started."""
    return [pid for pid in children(os.getpid()) if "postgres" in command_line(pid)]


def _none(what: str, bad: Sequence[str]) -> Line:
    for text in bad[:20]:
        say(f"load: {text}")
    return below(what, len(bad), 0)


if __name__ == "__main__":
    main()
