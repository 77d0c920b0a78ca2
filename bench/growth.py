"""What requests and workers wait for as machines, jobs and logs grow: `python -m bench.growth` prints a table.

In process, on databases of 1,000, 10,000 and 100,000 machines, which have a tenth as many jobs and ten
lines of log each. A cell is the median of some rounds in milliseconds of wall time, a size each.
`python -m bench.growth 1000 10000` measures fewer sizes.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, insert, select

from api.actions.bm_node import DescribeBMNodesRequest, describe_bm_nodes
from api.actions.envelope import Context
from api.actions.job import (
    DescribeJobsRequest,
    GetLogRequest,
    GetStatusRequest,
    describe_jobs,
    get_log,
    get_status,
)
from api.actions.node import DescribeNodesRequest, describe_nodes
from api.actions.scan import GetScanBMNodesStatusRequest, get_scan_bm_nodes_status
from api.domain import jobs as rules
from api.jobs.chore import Means
from api.jobs.pruning import prune
from api.jobs.queue import JobQueue, prepare
from api.settings import Settings
from api.states import JobAction, WorkStatus
from api.store import jobs, runs
from api.store.session import migrate, open_database, reading, writing
from bench.events import postgres
from bench.grown import fill, machine
from bench.report import Line, say, table
from bench.requests import context_of
from tests.queries import counted

SIZES = (1_000, 10_000, 100_000)
PAGE = 100
RUNNING = 200  # nodes of the job under way
ROUNDS = 15
MOST = 100.0  # milliseconds that anything may take on the largest database
ABOUT = (
    "Median milliseconds with 1,000 · 10,000 · 100,000 machines in the database, a tenth as many jobs, "
    "ten lines of log for each machine, and as many again in the running job. A search for a word looks "
    "at every machine, and is what grows. The longest wait has the pauses of the measuring process in "
    "it, up to 0.12 s of garbage collection."
)
Cell = tuple[float, int]  # milliseconds, queries


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    print(table(measure(tuple(int(size) for size in arguments) or SIZES)))


def measure(sizes: Sequence[int] = SIZES) -> list[Line]:
    """All lines of this part."""
    return [*_both("SQLite", sizes), *_both("PostgreSQL", sizes)]


def _both(name: str, sizes: Sequence[int]) -> Iterator[Line]:
    cells: dict[str, list[Cell]] = {}
    for size in sizes:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            url = stack.enter_context(postgres()) if name == "PostgreSQL" else ""
            if name == "PostgreSQL" and not url:
                yield Line(name, "not installed")
                return
            settings = Settings(home=home, database_url=url)
            say(f"growth: {size:,} machines in {name}")
            for what, cell in _measured(settings, size):
                cells.setdefault(what, []).append(cell)
    for what, row in cells.items():
        yield _line(f"{name}: {what}", row)


def _line(what: str, cells: list[Cell]) -> Line:
    times = " · ".join(f"{milliseconds:.3g}" for milliseconds, _ in cells)
    queries = {count for _, count in cells if count}
    more = f"; {min(queries)} queries" if queries else ""
    if len(queries) > 1:
        more = f"; queries: {' · '.join(str(count) for _, count in cells)}"
    # One less where the page is the last one, and says by itself how many there are.
    is_same = not queries or max(queries) - min(queries) <= 1
    goal = f"≤ {MOST:g} ms" + (", as many queries" if queries else "")
    return Line(what, f"{times} ms{more}", goal, cells[-1][0] <= MOST and is_same)


def _measured(settings: Settings, size: int) -> Iterator[tuple[str, Cell]]:
    migrate(settings.database)
    prepare(settings)
    engine = open_database(settings.database)
    try:
        fill(engine, size)
        context = context_of(settings, engine)
        yield from _pages(context, size)
        yield from _filters(context, size)
        yield from _of_jobs(context, size)
        yield from _work(context, size)
        waits = _pruning(context)
        what = "a lease is renewed while logs are pruned"
        yield f"{what}, 99 of 100 times within", (waits[len(waits) * 99 // 100], 0)
        yield f"{what}, the longest wait", (waits[-1], 0)
    finally:
        engine.dispose()


def _pages(context: Context, size: int) -> Iterator[tuple[str, Cell]]:
    engine = context.engine
    for name, offset in (("first", 0), ("last", size - PAGE)):
        asked = DescribeNodesRequest(limit=PAGE, offset=offset)
        yield f"{name} page of {PAGE} nodes", cost(engine, describe_nodes, context, asked)
    for name, offset in (("first", 0), ("last", size - PAGE)):
        of_bm = DescribeBMNodesRequest(limit=PAGE, offset=offset)
        yield (
            f"{name} page of {PAGE} bare machines",
            cost(engine, describe_bm_nodes, context, of_bm),
        )
    of_jobs = DescribeJobsRequest(limit=PAGE)
    yield f"first page of {PAGE} jobs", cost(engine, describe_jobs, context, of_jobs)


def _filters(context: Context, size: int) -> Iterator[tuple[str, Cell]]:
    engine = context.engine
    of_nodes: dict[str, dict[str, Any]] = {
        "by status": {"status": "unreachable"},
        "by zone": {"zone_id": "z4"},
        "by role": {"role": "storage"},
        "by a word": {"search_word": f"host-{size // 2}"},
        "by name": {"sort_key": "hostname"},
    }
    for name, values in of_nodes.items():
        asked = DescribeNodesRequest(limit=PAGE, **values)
        yield f"{PAGE} nodes {name}", cost(engine, describe_nodes, context, asked)
    of_bm_nodes: dict[str, dict[str, Any]] = {
        "by status": {"status": "failed"},
        "by product": {"product": "PowerEdge R640"},
        "by a word": {"search_word": f"host-{size // 2}"},
        "by zone": {"zone_id": "z4"},
        "by name": {"sort_key": "hostname"},
    }
    for name, values in of_bm_nodes.items():
        of_bm = DescribeBMNodesRequest(limit=PAGE, **values)
        yield f"{PAGE} bare machines {name}", cost(engine, describe_bm_nodes, context, of_bm)
    of_jobs: dict[str, dict[str, Any]] = {
        "that failed": {"status": "failed"},
        "under way": {"status": "running"},
        "of a node": {"node_id": machine(7)},
        "by end": {"sort_key": "finish_time"},
    }
    for name, values in of_jobs.items():
        jobs_asked = DescribeJobsRequest(limit=PAGE, **values)
        yield f"{PAGE} jobs {name}", cost(engine, describe_jobs, context, jobs_asked)


def _of_jobs(context: Context, size: int) -> Iterator[tuple[str, Cell]]:
    engine = context.engine
    node_ids = [machine(number) for number in range(1, RUNNING + 1)]
    run = under_way(engine, JobAction.COLLECT_NODES, node_ids)
    lines = size * 10
    long_log(engine, run.job_id, lines, node_ids)
    asked = GetStatusRequest(job_action="CollectNodes", job_id=run.job_id)

    def changed() -> None:
        changes = runs.Changes(nodes={node_ids[0]: {"status": WorkStatus.RUNNING}})
        with writing(engine) as connection:
            runs.write_changes(connection, run, changes)

    what = f"GetStatus of a job of {RUNNING} nodes"
    yield f"{what}, changed", cost(engine, get_status, context, asked, before=changed)
    yield f"{what}, unchanged", cost(engine, get_status, context, asked)
    what = f"GetLog of a running job, {PAGE} lines"
    for name, values in (
        ("the newest", {"after": lines - PAGE}),
        ("of those that failed", {"job_status": "failed"}),
        ("of a step", {"job_status": "step2"}),
    ):
        of_log = GetLogRequest(job_action="CollectNodes", job_id=run.job_id, limit=PAGE, **values)
        yield f"{what}, {name}", cost(engine, get_log, context, of_log)
    yield "events of a second into that job", cost(engine, write_lines, engine, run, node_ids)
    scan = under_way(engine, JobAction.SCAN_BM_NODES, [], options=large_plan())
    of_scan = GetScanBMNodesStatusRequest(job_id=scan.job_id)
    what = "GetScanBMNodesStatus of a request of 1 MB"
    yield what, cost(engine, get_scan_bm_nodes_status, context, of_scan)


def _work(context: Context, size: int) -> Iterator[tuple[str, Cell]]:
    engine, settings = context.engine, context.settings
    queue = JobQueue(engine, settings)
    free = iter(range(RUNNING + 1, RUNNING + 1 + 10 * 2 * (ROUNDS + 1)))
    made: list[str] = []

    def enqueue() -> None:
        node_ids = [machine(next(free)) for _ in range(10)]
        with writing(engine) as connection:
            made.append(
                rules.start(connection, queue, JobAction.COLLECT_NODES, node_ids, user_id="bench")
            )

    def claim() -> None:
        with writing(engine) as connection:
            assert runs.claim(connection, runs.Run(made.pop(), 1, "bench"), lease=3600)

    yield "enqueue 10 nodes", cost(engine, enqueue)
    yield "claim", cost(engine, claim)
    yield "a worker's look after others", cost(engine, look_after, engine)


def _pruning(context: Context) -> list[float]:
    """Milliseconds that a worker's renewals took while another pruned for 10 s, the longest last."""
    engine, stop = context.engine, threading.Event()
    free = [machine(number) for number in range(RUNNING + 400, RUNNING + 402)]
    run = under_way(engine, JobAction.COLLECT_NODES, free)
    waits: list[float] = []

    def renew() -> None:
        while not stop.wait(0.01):
            began = time.perf_counter()
            with writing(engine) as connection:
                runs.renew(connection, run, 3600)
            waits.append((time.perf_counter() - began) * 1000)

    before = log_lines(engine)
    means = Means(context.settings, engine, threading.Event())
    worker = threading.Thread(target=renew)
    worker.start()
    began = time.monotonic()
    try:
        while prune(means) and time.monotonic() < began + 10:
            continue
    finally:
        seconds = time.monotonic() - began
        stop.set()
        worker.join()
    rate = (before - log_lines(engine)) / seconds
    median = statistics.median(waits)
    say(f"growth: {rate:,.0f} lines a second pruned; {len(waits)} renewals, median {median:.1f} ms")
    return sorted(waits)


def log_lines(engine: Engine) -> int:
    """How many there are."""
    with reading(engine) as connection:
        count = select(func.count()).select_from(jobs.LOG_LINE)
        return connection.execute(count).scalar_one()


def look_after(engine: Engine) -> None:
    """What each worker asks every 5 seconds."""
    with reading(engine) as connection:
        runs.slices_under_way(connection)
        runs.held_slices(connection)
        runs.waiting_zones(connection)


def write_lines(engine: Engine, run: runs.Run, node_ids: list[str]) -> None:
    """A batch as the recorder writes it."""
    line = {"time": time.time(), "job_status": "step1", "node_id": "", "is_failure": False}
    changes = runs.Changes(
        nodes={node_id: {"step_index": 1} for node_id in node_ids[:50]},
        lines=[line | {"text": f"{node_id}: answered"} for node_id in node_ids[:50]],
    )
    with writing(engine) as connection:
        runs.write_changes(connection, run, changes)


def under_way(
    engine: Engine, action: JobAction, node_ids: list[str], options: dict[str, Any] | None = None
) -> runs.Run:
    """A job that we hold ourselves, so that no worker takes it."""
    with writing(engine) as connection:
        job_id = rules.begin(connection, action, node_ids, user_id="bench", options=options)
        run = runs.Run(job_id, 1, "bench")
        assert runs.claim(connection, run, lease=3600)
    return run


def long_log(engine: Engine, job_id: str, lines: int, node_ids: list[str]) -> None:
    """So many lines, one in a thousand about a failure, the last ones of the second step."""
    with writing(engine) as connection:
        for start in range(1, lines + 1, 10_000):
            rows = [
                {
                    "job_id": job_id,
                    "number": number,
                    "time": 1.0,
                    "job_status": "step1" if number < lines - PAGE else "step2",
                    "node_id": node_ids[number % RUNNING],
                    "is_failure": number % 1000 == 0,
                    "text": f"host-{number}: has 16 processors, 63.0 GiB, 4 disks, 3 networks",
                }
                for number in range(start, start + 10_000)
            ]
            connection.execute(insert(jobs.LOG_LINE), rows)


def large_plan() -> dict[str, Any]:
    """The options of a scan that expects 2,000 machines."""
    expected = [{"bmc_mac": f"02:{number:012x}", "hostname": "h" * 470} for number in range(2_000)]
    return {"ranges": [], "logins": [], "expected": expected, "dry_run": True}


def cost(
    engine: Engine,
    do: Callable[..., Any],
    *arguments: Any,
    before: Callable[[], None] = lambda: None,
) -> Cell:
    """Median milliseconds, and how many queries it asks."""
    before()
    with counted(engine) as queries:
        do(*arguments)
    return statistics.median(_once(do, arguments, before) for _ in range(ROUNDS)), len(queries)


def _once(do: Callable[..., Any], arguments: Sequence[Any], before: Callable[[], None]) -> float:
    before()
    started = time.perf_counter()
    do(*arguments)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(sys.argv[1:])
