"""What is old goes in small portions, and nothing else does."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, Table, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from api.states import JobAction
from api.store import jobs
from api.store.boots import BOOT, open_boot
from api.store.jobs import JOB, JOB_NODE, JOB_STEP, LOG_LINE, SLICE, Part
from api.store.pruning import (
    AUDIT,
    DELIVERY,
    prune_audit,
    prune_deliveries,
    prune_details,
    prune_job,
)
from api.store.scans import SCAN_RESULT, put_results
from api.store.session import reading, writing
from api.store.tables import Node, Webhook, columns
from tests.jobs import end_job
from tests.nodes import plant_nodes

DAY = 86400.0
GONE = "The log was removed."


@pytest.fixture
def make(any_engine: Engine) -> Callable[..., str]:
    """Makes a job of two nodes with ten lines of log, which ended some days ago; its id."""
    plant_nodes(str(any_engine.url.render_as_string(hide_password=False)), {"node_id": "n-1"})

    def make(days: float | None) -> str:
        nodes = {f"n-{days}a": "available", f"n-{days}b": "available"}
        line = {"time": 1.0, "job_status": "step0", "node_id": "", "is_failure": False, "text": "-"}
        with writing(any_engine) as connection:
            part = Part("default", nodes)
            job_id = jobs.create_job(connection, JobAction.COLLECT_NODES, [part], user_id="u")
            jobs.add_lines(connection, job_id, [line] * 10)
            put_results(connection, job_id, [{"address": "192.0.2.1", "outcome": "new"}])
            about = {"provision_id": "", "method": "image", "image": "", "seconds": 1.0}
            open_boot(connection, node_id="n-1", job_id=job_id, mac="02:00:00:00:00:01", **about)
            if days is not None:
                end_job(connection, job_id, None, "")
                ended = {"finish_time": time.time() - days * DAY}
                connection.execute(update(JOB).where(JOB.c.job_id == job_id).values(ended))
        return job_id

    return make


def count(engine: Engine, table: Table, job_id: str) -> int:
    with reading(engine) as connection:
        query = select(func.count()).where(table.c.job_id == job_id)
        return connection.execute(query).scalar_one()


def all_of(
    prune: Callable[..., int], engine: Engine, days: float, *more: str, most: int = 3
) -> int:
    """Prune to the end; how many portions that were."""
    portions = 0
    while (gone := prune(engine, time.time() - days * DAY, *more, most)) and portions < 100:
        assert gone <= max(most, 3)  # the steps of a slice go together
        portions += 1
    return portions


def test_log_of_a_job_goes_after_its_days_and_says_so(
    any_engine: Engine, make: Callable[..., str]
) -> None:
    old, young, under_way = make(91), make(89), make(None)

    portions = all_of(prune_details, any_engine, 90, GONE)

    with reading(any_engine) as connection:
        job = jobs.get_job(connection, old)
        assert job is not None
        for status in (None, job.status):
            lines = jobs.get_log(connection, old, job_status=status)
            assert [line.text for line in lines] == [GONE]
    assert portions >= 4  # ten lines, three at a time
    assert [count(any_engine, part, old) for part in (SCAN_RESULT, BOOT)] == [0, 0]
    for kept in (young, under_way):
        assert count(any_engine, LOG_LINE, kept) >= 10
        assert count(any_engine, SCAN_RESULT, kept) == 1


def test_job_goes_after_its_days_with_all_that_was_of_it(
    any_engine: Engine, make: Callable[..., str]
) -> None:
    old, young, under_way = make(366), make(364), make(None)
    all_of(prune_details, any_engine, 365, GONE)

    all_of(prune_job, any_engine, 365, most=1)

    for table in (JOB, SLICE, JOB_NODE, JOB_STEP, LOG_LINE):
        assert count(any_engine, table, old) == 0
    for kept in (young, under_way):
        assert [count(any_engine, table, kept) for table in (JOB, SLICE, JOB_NODE)] == [1, 1, 2]


def test_job_stays_until_its_log_went(any_engine: Engine, make: Callable[..., str]) -> None:
    job_id = make(366)

    assert prune_job(any_engine, time.time() - 365 * DAY, 100) == 0

    assert count(any_engine, JOB, job_id) == 1


def test_audit_goes_after_its_days_and_the_database_keeps_the_last_thirty(
    any_engine: Engine,
) -> None:
    row = {
        "user_id": "u",
        "address": "",
        "action": "A",
        "ret_code": 0,
        "text": "",
        "request_id": "",
    }
    ages = (400, 100, 31, 29, 0)
    with writing(any_engine) as connection:
        connection.execute(insert(AUDIT), [row | {"time": time.time() - age * DAY} for age in ages])

    all_of(prune_audit, any_engine, 90)
    with reading(any_engine) as connection:
        times = connection.execute(select(AUDIT.c.time).order_by(AUDIT.c.time)).scalars().all()
    with pytest.raises(DBAPIError, match="30 days"):
        prune_audit(any_engine, time.time() - 10 * DAY, 100)

    assert [round((time.time() - at) / DAY) for at in times] == [31, 29, 0]


def test_what_webhooks_were_told_goes_and_what_waits_stays(any_engine: Engine) -> None:
    webhook = {"webhook_id": "w-1", "url": "", "secret": "", "events": []}
    webhook |= {"description": "", "failures": 0, "error": ""}
    times = {"create_time": 1.0, "next_time": 0.0}
    row = {
        "webhook_id": "w-1",
        "event_id": "",
        "event": "e",
        "body": "",
        "attempts": 1,
        "error": "",
    }
    with writing(any_engine) as connection:
        connection.execute(insert(columns(Webhook)).values(webhook | times))
        for finished in (time.time() - 8 * DAY, time.time() - 6 * DAY, None):
            values = row | times | {"status": "delivered", "finish_time": finished}
            connection.execute(insert(DELIVERY).values(values))

    all_of(prune_deliveries, any_engine, 7)

    with reading(any_engine) as connection:
        left = connection.execute(select(DELIVERY.c.number).order_by(DELIVERY.c.number))
        assert left.scalars().all() == [2, 3]


def test_nodes_stay_when_their_jobs_go(any_engine: Engine, make: Callable[..., str]) -> None:
    make(400)
    all_of(prune_details, any_engine, 365, GONE)
    all_of(prune_job, any_engine, 365)

    with reading(any_engine) as connection:
        assert connection.execute(select(columns(Node).c.node_id)).scalars().all() == ["n-1"]
