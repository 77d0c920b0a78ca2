"""Pages, statuses, logs, starts and claims ask as many queries of a large database as of a small one."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

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
from api.auth.callers import Caller, Callers
from api.domain import jobs as rules
from api.domain.progress import RecentStatuses
from api.jobs.queue import JobQueue, prepare
from api.settings import Settings
from api.states import JobAction, Role, WorkStatus
from api.store import jobs, runs
from api.store.session import reading, writing
from bench.grown import fill, machine
from tests.queries import counted

SMALL, LARGE = 30, 300  # machines
PAGE = 10
COLLECT = JobAction.COLLECT_NODES


@pytest.fixture
def here(any_engine: Engine, settings: Settings) -> Context:
    """What a handler is given on each kind of database, the job engine's tables among it."""
    url = any_engine.url.render_as_string(hide_password=False)
    settings = settings.model_copy(update={"database_url": url})
    prepare(settings)
    queue, callers = JobQueue(any_engine, settings), Callers(settings, any_engine)
    caller = Caller("operator", Role.OPERATOR)
    return Context(settings, any_engine, queue, caller, callers, RecentStatuses())


def begin(engine: Engine, action: JobAction, numbers: range, **options: object) -> runs.Run:
    """A job at these machines that we hold ourselves."""
    node_ids = [machine(number) for number in numbers]
    with writing(engine) as connection:
        job_id = rules.begin(connection, action, node_ids, user_id="operator", options=options)
        run = runs.Run(job_id, 1, "w")
        assert runs.claim(connection, run, 3600)
    return run


def change(engine: Engine, run: runs.Run, number: int) -> None:
    with writing(engine) as connection:
        nodes = {machine(number): {"status": WorkStatus.RUNNING}}
        runs.write_changes(connection, run, runs.Changes(nodes=nodes))


def describe(context: Context, _run: runs.Run) -> None:
    describe_nodes(context, DescribeNodesRequest(limit=PAGE, offset=PAGE, search_word="host"))


def describe_bare(context: Context, _run: runs.Run) -> None:
    asked = DescribeBMNodesRequest(limit=PAGE, offset=PAGE, zone_id="z1", search_word="host")
    describe_bm_nodes(context, asked)


def describe_them(context: Context, run: runs.Run) -> None:
    describe_jobs(context, DescribeJobsRequest(limit=2, status="successful"))


def status(context: Context, run: runs.Run) -> None:
    change(context.engine, run, 1)
    get_status(context, GetStatusRequest(job_action="CollectNodes", job_id=run.job_id))


def log(context: Context, run: runs.Run) -> None:
    asked = GetLogRequest(job_action="CollectNodes", job_id=run.job_id, after=2, limit=PAGE)
    get_log(context, asked)


def start_and_claim(context: Context, _run: runs.Run) -> None:
    with writing(context.engine) as connection:
        job_id = rules.start(connection, context.queue, COLLECT, [machine(30)], user_id="operator")
    with writing(context.engine) as connection:
        assert runs.claim(connection, runs.Run(job_id, 1, "w"), 30)


@pytest.mark.parametrize(
    "do", [describe, describe_bare, describe_them, status, log, start_and_claim]
)
def test_as_many_queries_are_asked_of_ten_times_as_much(
    do: Callable[[Context, runs.Run], None], here: Context, any_engine: Engine
) -> None:
    counts = []
    for size, nodes in ((SMALL, range(1, 3)), (LARGE, range(1, 21))):
        empty(any_engine)
        fill(any_engine, size)
        run = begin(any_engine, COLLECT, nodes)
        with counted(any_engine) as queries:
            do(here, run)
        counts.append(len(queries))

    assert 0 < counts[0] == counts[1], counts


def empty(engine: Engine) -> None:
    with writing(engine) as connection:
        for table in (jobs.JOB, jobs.JOB.metadata.tables["node"]):
            connection.execute(table.delete())


def test_status_is_read_again_only_when_the_job_changed(here: Context, any_engine: Engine) -> None:
    fill(any_engine, SMALL)
    run = begin(any_engine, COLLECT, range(1, 11))
    asked = GetStatusRequest(job_action="CollectNodes", job_id=run.job_id)
    first = get_status(here, asked)

    with counted(any_engine) as unchanged:
        assert get_status(here, asked) == first
    change(any_engine, run, 3)
    changed = get_status(here, asked)

    assert len(unchanged) == 1
    assert [node["status"] for node in changed["nodes"][1:4]] == ["waiting", "running", "waiting"]


def test_status_of_a_scan_reads_nothing_of_what_it_was_asked(
    here: Context, any_engine: Engine
) -> None:
    run = begin(any_engine, JobAction.SCAN_BM_NODES, range(0), dry_run=True, expected=["x"] * 10)
    with counted(any_engine) as queries:
        answer = get_scan_bm_nodes_status(here, GetScanBMNodesStatusRequest(job_id=run.job_id))

    assert answer["dry_run"] == 1
    assert queries
    assert not any("options" in query for query in queries)


def test_search_of_machines_on_sqlite_reads_no_hardware_documents(engine: Engine) -> None:
    fill(engine, SMALL)
    for table in ("node", "bm_node"):
        query = (
            f"SELECT node_id FROM {table} WHERE hostname || status LIKE '%x%'"  # noqa: S608
            " ORDER BY create_time, node_id LIMIT 10"
        )
        with reading(engine) as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()

        assert "COVERING INDEX" in str(plan)
