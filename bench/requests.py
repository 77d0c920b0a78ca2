"""What requests cost: `python -m bench.requests` prints a table.

GetStatus is asked through 16 connections by wrk, beside a bare FastAPI route that returns the same
bytes under the same uvicorn settings; the two take turns, and the median of the ratios counts.
DescribeNodes is measured in process (handler and JSON, CPU time of one core) and over HTTP.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import Engine, event, select

from api.actions.envelope import Context
from api.actions.node import DescribeNodesRequest, describe_nodes
from api.auth.callers import Caller, Callers
from api.auth.credentials import seal
from api.domain import jobs as rules
from api.domain.ending import end
from api.domain.progress import RecentStatuses
from api.settings import Settings
from api.states import STEPS, JobAction, Role, WorkStatus
from api.store import jobs, runs
from api.store.hardware import record_hardware
from api.store.nodes import NODE
from api.store.session import open_database, writing
from bench.report import Line, above, below, say, table
from tests.fakes import RecordingQueue
from tests.nodes import plant_nodes
from tests.service import Service, wait_until

REPOSITORY = Path(__file__).parents[1]
RECORDED = REPOSITORY / "tests/unit/hardware/recorded"
MACHINE = "ubuntu1604_kvm_bridge"  # the machine of the API reference
BARE_PORT = 8282
CONNECTIONS = 16
SECONDS = 3
ROUNDS = 3
PASSWORD = "correct horse battery"
PAGE = 100


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        return [*measure_status(Path(scratch)), *measure_nodes(Path(scratch))]


def measure_status(scratch: Path) -> Iterator[Line]:
    """GetStatus, finished and running, by token and by password."""
    with Service(scratch / "home") as home:
        settings = Settings(home=home.home)
        node_ids = [f"n-{number:08}" for number in range(20)]
        hardware = reference_hardware(settings)
        plant(settings, node_ids, hardware)
        (home.home / "password").write_text(PASSWORD)
        arguments = ("--role", "admin", "--password-file", str(home.home / "password"))
        home.firstbox("user", "add", "bench", *arguments)
        engine = open_database(settings.database)
        over = make_job(engine, node_ids[:10])
        finish(engine, over)
        under_way = make_job(engine, node_ids[10:])
        stop = threading.Event()
        runner = threading.Thread(target=go_on, args=(engine, under_way, node_ids[10:], stop))
        runner.start()
        try:
            for name, run in (("finished", over), ("running", under_way)):
                asked = {
                    "action": "GetStatus",
                    "job_action": "CollectNodes",
                    "job_id": run.job_id,
                }
                yield beside_bare(f"GetStatus of a {name} job by token", home, asked, home.token)
                asked |= {"USER_ID": "bench", "PASSWORD": sealed(home)}
                yield beside_bare(f"GetStatus of a {name} job by password", home, asked, "")
        finally:
            stop.set()
            runner.join()
            engine.dispose()


def beside_bare(what: str, home: Service, asked: dict[str, Any], token: str) -> Line:
    """Requests a second of the service and of the bare route, in turn."""
    say(f"requests: {what}")
    url = f"http://127.0.0.1:{home.port}/api"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.post(url, json=asked, headers=headers, timeout=30)
    assert answer.json()["ret_code"] == 0, answer.text
    script = home.home / "ask.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{json.dumps(asked)}]==]\n'
        + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
    )
    file = home.home / "answer.json"
    file.write_bytes(answer.content)
    with bare_route(file) as bare:
        rates = [(ask(url, script), ask(bare, script)) for _ in range(ROUNDS)]
    ratio = statistics.median(own / peer for own, peer in rates)
    own, peer = (statistics.median(rate[side] for rate in rates) for side in (0, 1))
    more = f" ({own:,.0f}/s / {peer:,.0f}/s)"
    return above(f"{what}, {CONNECTIONS} connections / bare route", ratio, 0.5, more=more)


def ask(url: str, script: Path) -> float:
    """Requests a second; not one of them may fail."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in printed, printed
    rate = next(line for line in printed.splitlines() if line.startswith("Requests/sec:"))
    return float(rate.split()[1])


@contextmanager
def bare_route(file: Path) -> Iterator[str]:
    """A process that answers every POST with this file."""
    command = [sys.executable, "-m", "bench.bare", str(BARE_PORT), str(file)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    url = f"http://127.0.0.1:{BARE_PORT}/api"
    try:
        wait_until(lambda: answers(url), 30, what="the bare route answers")
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Is somebody there?"""
    try:
        return httpx.post(url).status_code == 200
    except httpx.TransportError:
        return False


def sealed(home: Service) -> str:
    """PASSWORD, encrypted for this service."""
    jwks = httpx.get(f"http://127.0.0.1:{home.port}/api/public-key").json()
    return seal(jwks, PASSWORD, time.time())


def make_job(engine: Engine, node_ids: list[str]) -> runs.Run:
    """A job that we hold ourselves, so that no worker takes it."""
    with writing(engine) as connection:
        job_id = rules.begin(connection, JobAction.COLLECT_NODES, node_ids, user_id="bench")
        run = runs.Run(job_id, 1, "bench")
        assert runs.claim(connection, run, lease=3600)
    return run


def finish(engine: Engine, run: runs.Run) -> None:
    """End the job well, for all of its nodes."""
    with writing(engine) as connection:
        node_ids = [row.node_id for row in jobs.get_job_nodes(connection, run.job_id)]
        done = {node_id: {"status": WorkStatus.SUCCESSFUL, "step_index": 2} for node_id in node_ids}
        runs.write_changes(connection, run, runs.Changes(nodes=done))
        part = runs.lock_run(connection, run)
        end(connection, part, None, "")


def go_on(engine: Engine, run: runs.Run, node_ids: list[str], stop: threading.Event) -> None:
    """Events as a run has them: something new every quarter of a second."""
    number = 0
    while not stop.wait(0.25):
        index = number % len(STEPS[JobAction.COLLECT_NODES])
        node_id = node_ids[number % len(node_ids)]
        nodes = {node_id: {"status": WorkStatus.RUNNING, "step_index": index}}
        with writing(engine) as connection:
            changes = runs.Changes(step_index=index, nodes=nodes)
            runs.write_changes(connection, run, changes)
        number += 1


def measure_nodes(scratch: Path) -> Iterator[Line]:
    """DescribeNodes: all of 1,000, and pages of more."""
    for count in (1_000, 10_000, 100_000):
        say(f"requests: DescribeNodes of {count:,} nodes")
        settings = Settings(home=scratch / f"nodes{count}")
        settings.home.mkdir()
        hardware = reference_hardware(settings)
        for start in range(0, count, 10_000):
            numbers = range(start, min(start + 10_000, count))
            plant(settings, [f"n-{number:08}" for number in numbers], hardware)
        engine = open_database(settings.database)
        try:
            yield from pages(settings, engine, count)
        finally:
            engine.dispose()
    yield over_http(scratch)


def pages(settings: Settings, engine: Engine, count: int) -> Iterator[Line]:
    """All of few nodes, and a page at the beginning, in the middle and at the end."""
    context = context_of(settings, engine)
    if count == 1_000:
        milliseconds, queries = cost(context, DescribeNodesRequest())
        more = f" CPU, {queries} queries"
        yield below("DescribeNodes of 1,000 nodes, all fields", milliseconds, 60, " ms", more)
    for name, offset in (("first", 0), ("middle", count // 2), ("last", count - PAGE)):
        request = DescribeNodesRequest(limit=PAGE, offset=offset)
        milliseconds, queries = cost(context, request)
        what = f"DescribeNodes, {name} page of {PAGE} out of {count:,}"
        more = f" CPU, {queries} queries"
        if count == 10_000:
            yield below(what, milliseconds, 10, " ms", more)
        else:
            yield Line(what, f"{milliseconds:.3g} ms{more}")


def cost(context: Context, request: DescribeNodesRequest) -> tuple[float, int]:
    """Median milliseconds of CPU for handler and JSON, and how many queries it asks."""
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    def once() -> None:
        orjson.dumps(describe_nodes(context, request))

    once()
    event.listen(context.engine, "before_cursor_execute", count)
    once()
    event.remove(context.engine, "before_cursor_execute", count)
    queries = sum(statement.startswith("SELECT") for statement in statements)
    return statistics.median(milliseconds(once, time.process_time) for _ in range(21)), queries


def over_http(scratch: Path) -> Line:
    """All of 1,000 nodes, as a client waits for them."""
    source = scratch / "nodes1000/firstbox.db"
    home = scratch / "served"
    with Service(home) as service:
        settings = Settings(home=home)
        plant(settings, [f"n-{number:08}" for number in range(1_000)], reference_text(source))
        url = f"http://127.0.0.1:{service.port}/api/DescribeNodes"
        headers = {"Authorization": f"Bearer {service.token}"}
        with httpx.Client(headers=headers) as client:

            def once() -> None:
                assert client.post(url, json={}).status_code == 200

            once()
            waited = statistics.median(milliseconds(once, time.monotonic) for _ in range(21))
            size = len(client.post(url, json={}).content) / 1e6
    what = "DescribeNodes of 1,000 nodes over HTTP, all fields"
    return below(what, waited, 60, " ms", f" ({size:.1f} MB)")


def milliseconds(do: Callable[[], None], clock: Callable[[], float]) -> float:
    """What doing it once takes by this clock."""
    started = clock()
    do()
    return (clock() - started) * 1000


def context_of(settings: Settings, engine: Engine) -> Context:
    """What a handler is given."""
    from api.auth.keys import make_keys

    make_keys(settings)
    caller = Caller("bench", Role.ADMIN)
    callers = Callers(settings, engine)
    return Context(settings, engine, RecordingQueue(), caller, callers, RecentStatuses())


def plant(settings: Settings, node_ids: list[str], hardware: str) -> None:
    """Nodes that were collected before."""
    plant_nodes(
        settings.database,
        *(
            {
                "node_id": node_id,
                "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                "hostname": f"host-{number}",
                "hardware": hardware,
                "create_time": 1.0 + number,
            }
            for node_id in node_ids
            for number in (int(node_id[2:]),)
        ),
    )


def reference_hardware(settings: Settings) -> str:
    """The reference machine's hardware, as a collect records it; its node is removed again."""
    plant_nodes(settings.database, {"node_id": "n-machine0", "address": "192.0.2.1"})
    engine = open_database(settings.database)
    try:
        with writing(engine) as connection:
            found = json.loads((RECORDED / f"{MACHINE}.json").read_text())
            record_hardware(connection, "n-machine0", found)
            query = select(NODE.c.hardware).where(NODE.c.node_id == "n-machine0")
            text: str = connection.execute(query).scalar_one()
            connection.execute(NODE.delete().where(NODE.c.node_id == "n-machine0"))
    finally:
        engine.dispose()
    return text


def reference_text(database: Path) -> str:
    """The hardware of any node of this database."""
    engine = open_database(f"sqlite:///{database}")
    try:
        with engine.connect() as connection:
            text: str = connection.execute(select(NODE.c.hardware).limit(1)).scalar_one()
    finally:
        engine.dispose()
    return text


if __name__ == "__main__":
    main()
