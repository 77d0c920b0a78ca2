"""What one thing costs, for plans of many: `python -m bench.units` prints a table.

On a PostgreSQL that is written durably, with everything on this machine:

- how often it commits jobs begun and slices claimed, by our code; and what workers do all the time, by
  pgbench, which costs next to nothing itself: leases renewed, and looks whether a job is cancelled;
- machines that boot, from the script to the hello, against one API process;
- how often an idle service asks the database, and how much a further worker, a further zone, and a run add
  whose hosts say nothing;
- jobs of one and of many hosts, whose difference is what a host costs.

docs/scaling.md plans with these figures; bench/scaling.py reads them by their names.
"""

import http.client
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from sqlalchemy import Engine

from api.domain import jobs as rules
from api.images.manifest import Manifest
from api.jobs.queue import JobQueue, prepare
from api.settings import Settings
from api.states import JobAction
from api.store import runs
from api.store.images import add_image
from api.store.session import open_database, writing
from bench.boot import plant_boots
from bench.collect import MeasuredService, add, collect
from bench.memory import Watch
from bench.report import Line, say, table, told
from bench.shares import started, units
from tests.lab import SshFarm
from tests.lab.segment import end_with_parent
from tests.nodes import plant_nodes
from tests.postgres import Postgres
from tests.service import REPOSITORY, Service

AT_ONCE = 16
JOBS = 400
SECONDS = 5  # of pgbench
_MOST_SCRIPTS = 100  # it takes no more than 128
_RENEW = (
    "UPDATE job_slice SET lease_until = extract(epoch FROM clock_timestamp()) + 30 "
    "WHERE job_id = '{}' AND slice_index = 0 AND attempt = 1 AND worker = 'bench'"
)
_LOOK = "SELECT cancel FROM job WHERE job_id = '{}'"
BOOTS_AT_ONCE = 32
HOSTS = 100
PORT, SILENT_PORT = 2387, 2388
SILENT = ("127.0.89.1", "127.0.89.2", "127.0.89.3", "127.0.89.4")  # hosts that say nothing
ROUNDS = 3
PATIENCE = {"reach_deadline": 60, "probe_deadline": 120}  # with hosts that share our processor
QUIET = 24.0  # seconds of watching an idle service
_FLUSH = 12.0  # seconds after which PostgreSQL has counted what an idle connection did

# Names by which bench/scaling.py finds the figures.
BEGUN = "jobs of one node begun, 16 at a time"
CLAIMED = "slices claimed, 16 at a time"
RENEWED = "leases renewed, 16 connections of pgbench"
LOOKED = "looks whether a job is cancelled, 16 connections of pgbench"
BOOTS = "machines from the boot script to the hello, 32 at a time, one API"
BOOT_COMMITS = "transactions of one machine's boot"
IDLE = "transactions of an idle API with a worker"
WORKER = "transactions of a further idle worker"
ZONE = "transactions of each further zone of that worker"
CONNECTIONS = "connections of an idle API with a worker"
WORKER_CONNECTIONS = "connections of a further worker"
RUN_CONNECTIONS = "connections of a run"
RUN = "transactions of a run that waits for its hosts"
HOST_CPU = "processor time of a host in CollectNodes"
JOB_CPU = "processor time of a job besides its hosts"
JOB_COMMITS = "transactions of a job of 100 hosts"
JOB_SECONDS = "a job of 100 hosts, wall"
API_MEMORY = "memory of the API"
WORKER_MEMORY = "memory of a worker"
RUN_MEMORY = "memory of a run of 100 hosts"


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        Postgres(is_durable=True) as postgres,
    ):
        return [
            *commits(Path(scratch, "jobs"), postgres.create_database()),
            *boots(Path(scratch, "boots"), postgres.create_database()),
            *idle(Path(scratch, "idle"), postgres.create_database()),
            *collected(Path(scratch), postgres.create_database()),
        ]


def commits(home: Path, url: str) -> Iterator[Line]:
    """What workers write most, by 16 threads with a connection each."""
    say(f"units: {JOBS} jobs")
    home.mkdir()
    settings = Settings(home=home, database_url=url)
    node_ids = [f"n-{number:08}" for number in range(JOBS)]
    plant_nodes(url, *({"node_id": id_, "address": f"10.0.{id_[2:]}"} for id_ in node_ids))
    prepare(settings)
    engine = open_database(url, pool_size=AT_ONCE)
    try:
        queue = JobQueue(engine, settings)
        begun, seconds = at_once(node_ids, lambda node_id: begin(engine, queue, node_id))
        yield told(BEGUN, JOBS / seconds, "/s")
        held = [runs.Run(job_id, 1, "bench") for job_id in begun]
        claimed, seconds = at_once(held, lambda run: claim(engine, run))
        assert all(claimed)
        yield told(CLAIMED, JOBS / seconds, "/s")
    finally:
        engine.dispose()
    yield told(RENEWED, pgbench(home, url, [_RENEW.format(run.job_id) for run in held]), "/s")
    yield told(LOOKED, pgbench(home, url, [_LOOK.format(run.job_id) for run in held]), "/s")


def at_once(things: Sequence[Any], do: Callable[[Any], Any]) -> tuple[list[Any], float]:
    """What doing it to each gave, 16 at a time, and how many seconds all took."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        started = time.monotonic()
        done = list(threads.map(do, things))
        return done, time.monotonic() - started


def begin(engine: Engine, queue: JobQueue, node_id: str) -> str:
    """A job of one node, in the queue."""
    action = JobAction.COLLECT_NODES
    with writing(engine) as connection:
        return rules.start(connection, queue, action, [node_id], user_id="bench")


def claim(engine: Engine, run: runs.Run) -> bool:
    """As a worker takes a slice."""
    with writing(engine) as connection:
        return runs.claim(connection, run, 3600)


def pgbench(home: Path, url: str, queries: Sequence[str]) -> float:
    """Transactions a second, each with one of the queries."""
    program = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))[-1]
    command = [str(program), "--no-vacuum", f"--client={AT_ONCE}", "--jobs=2", f"--time={SECONDS}"]
    for number, query in enumerate(queries[:_MOST_SCRIPTS]):
        script = home / f"{number}.sql"
        script.write_text(f"BEGIN;\n{query};\nCOMMIT;\n")
        command += ["--file", str(script)]
    done = subprocess.run(
        [*command, url.replace("+psycopg", "")], check=True, capture_output=True, text=True
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.M)
    assert found, done.stdout
    return float(found[1])


def boots(home: Path, url: str) -> Iterator[Line]:
    """A thousand machines, each on connections of its own."""
    with Service(home, database_url=url) as service:
        boot_url = f"http://127.0.0.1:{service.port}"
        service.stop()
        service.start(boot_url=boot_url)
        settings = Settings(home=home, database_url=url, boot_url=boot_url)
        engine = open_database(url)
        try:
            add_ramdisk(settings, engine)
            tokens = plant_boots(settings, engine)
        finally:
            engine.dispose()
        say(f"units: {len(tokens):,} machines boot")
        before = transactions(url)
        with ThreadPoolExecutor(BOOTS_AT_ONCE) as threads:
            started = time.monotonic()
            list(threads.map(lambda one: boot(service.port, *one), tokens.items()))
            seconds = time.monotonic() - started
        time.sleep(_FLUSH)
        yield told(BOOTS, len(tokens) / seconds, "/s")
        asked = transactions(url) - before - (seconds + _FLUSH) * per_second(url)
        yield told(BOOT_COMMITS, max(0.0, asked) / len(tokens))


def add_ramdisk(settings: Settings, engine: Engine) -> None:
    """One to be named in scripts; nobody fetches it."""
    directory = settings.images / "ramdisk-1"
    directory.mkdir(parents=True)
    manifest = Manifest("ramdisk-1", "ramdisk", "x86_64", "ramdisk", "0", 0)
    (directory / "manifest.json").write_text(manifest.as_json())
    with writing(engine) as connection:
        add_image(connection, manifest, "ramdisk-1", "")


def boot(port: int, token: str, mac: str) -> None:
    """What one machine asks for until its ramdisk has said hello."""
    said = {
        "serial_number": f"SN-{mac}", "product": "Paper", "brand": "Firstbox", "cpu_arch": "x86_64",
        "memory_kib": "16000000", "boot_mode": "uefi", "host_key": f"ssh-ed25519 {'A' * 68}",
        "nic": f"eth0,{mac},1",
    }  # fmt: skip
    for method, name, body, good in (
        ("GET", "script.ipxe", None, 200),
        ("GET", "kernel", None, 302),
        ("GET", "initrd", None, 302),
        ("POST", "hello", urlencode(said), 204),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, f"/boot/{token}/{name}", body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status in (good, 200), (name, answer.status, text)


class Served(Service):
    """A service that gets further workers."""

    @property
    def pid(self) -> int:
        """Of the API; the first worker is its child."""
        assert self._process is not None
        return self._process.pid

    @contextmanager
    def further_worker(self, *zones: str) -> Iterator[None]:
        """One that serves these zones."""
        say(f"units: a worker of {len(zones)} zones")
        words = [word for zone in zones for word in ("--zone", zone)]
        with (self.home / "worker-beside.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "worker", *words],
                env=self._environment,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        try:
            time.sleep(5)  # until it has started
            yield
            assert process.poll() is None, "the worker ended"
        finally:
            process.terminate()
            process.wait(40)


def idle(home: Path, url: str) -> Iterator[Line]:
    """How often the database is asked for nothing, and what processes hold meanwhile."""
    say("units: an idle service")
    told_apart = {"served_zones": '["default"]', "ssh_port": SILENT_PORT, "reach_deadline": 120}
    with Served(home, database_url=url, **told_apart) as service, ExitStack() as stack:
        with Watch(lambda: [service.pid]) as watch:
            alone = per_second(url)
        yield told(IDLE, alone, "/s")
        for process, growth in watch.servers().items():
            name = API_MEMORY if "serve" in process.command else WORKER_MEMORY
            yield told(name, growth.most, " MB")
        connected = connections(url)
        yield told(CONNECTIONS, connected)
        with service.further_worker("z1"):
            one = per_second(url)
            yield told(WORKER_CONNECTIONS, connections(url) - connected)
        with service.further_worker("z1", "z2", "z3", "z4", "z5"):
            five = per_second(url)
        yield told(WORKER, max(0.0, one - alone), "/s")
        yield told(ZONE, max(0.0, five - one) / 4, "/s")
        quiet = per_second(url)
        for address in SILENT:
            stack.enter_context(socket.create_server((address, SILENT_PORT)))
        job_id = service.done("AddNodes", ip_start=SILENT[0], ip_end=SILENT[-1])["job_id"]
        yield told(RUN, max(0.0, per_second(url) - quiet), "/s")
        assert service.status(job_id)["status"].startswith("step"), "the run did not wait"
        service.done("CancelJob", job_id=job_id)
        service.wait_for(job_id, seconds=60)


def collected(scratch: Path, url: str) -> Iterator[Line]:
    """Jobs of one host and of a hundred."""
    say(f"units: jobs of {HOSTS} hosts")
    with (
        units(hosts=0.25) as place,
        started(SshFarm(scratch / "farm", HOSTS, first="127.0.88.1", port=PORT), place) as farm,
        MeasuredService(scratch / "home", farm, database_url=url, **PATIENCE) as service,
    ):
        node_ids = add(service, farm.addresses)
        one = statistics.median(collect(service, node_ids[:1]).cpu for _ in range(ROUNDS))
        with Watch(lambda: [service.pid]) as watch:
            every = [collect(service, node_ids) for _ in range(ROUNDS)]
        many = statistics.median(cost.cpu for cost in every)
        yield told(JOB_CPU, one, " s")
        yield told(HOST_CPU, max(0.0, many - one) / (HOSTS - 1) * 1000, " ms")
        yield told(JOB_SECONDS, statistics.median(cost.seconds for cost in every), " s")
        yield told(JOB_COMMITS, of_a_job(service, node_ids, url))
        yield told(RUN_CONNECTIONS, connections_of_a_run(service, node_ids, url))
        yield told(RUN_MEMORY, memory_of_a_run(watch), " MB")


def of_a_job(service: MeasuredService, node_ids: list[str], url: str) -> float:
    """Transactions of a job, without those of an idle service in the same time."""
    quiet = per_second(url)
    before, began = transactions(url), time.monotonic()
    collect(service, node_ids)
    time.sleep(_FLUSH)
    return max(0.0, transactions(url) - before - quiet * (time.monotonic() - began))


def connections_of_a_run(service: MeasuredService, node_ids: list[str], url: str) -> int:
    """The most of them while a job runs, besides those there were before."""
    before, most = connections(url), 0
    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(collect, service, node_ids)
        while not job.done():
            most = max(most, connections(url))
            time.sleep(0.1)
        job.result()
    return most - before


def memory_of_a_run(watch: Watch) -> float:
    """MB of guard, run and ansible-playbook together, each at its most."""
    most: dict[str, float] = {}
    for process, sample in watch.runs().items():
        for part in ("guard.py", "api.jobs.run", "ansible-playbook"):
            if part in process.command:
                most[part] = max(most.get(part, 0.0), sample.megabytes)
                break
    return sum(most.values())


def per_second(url: str) -> float:
    """Transactions a second, over some time in which nobody asks for anything."""
    time.sleep(_FLUSH)
    before, started = transactions(url), time.monotonic()
    time.sleep(QUIET)
    return (transactions(url) - before) / (time.monotonic() - started)


def transactions(url: str) -> int:
    """How many this database has seen."""
    return _ask(url, "sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname")


def connections(url: str) -> int:
    """How many there are to this database, besides the one that asks."""
    return _ask(url, "count(*) - 1 FROM pg_stat_activity WHERE datname")


def _ask(url: str, what: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(f"SELECT {what} = current_database()".encode()).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    main()
