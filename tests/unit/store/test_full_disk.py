"""A database that has no room left says so, loses nothing, and goes on when there is room."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from api.errors import Busy
from api.states import JobAction
from api.store import jobs
from api.store.jobs import Part
from api.store.nodes import add_nodes
from api.store.session import reading, writing
from tests.jobs import the_slice


@contextmanager
def no_room(engine: Engine) -> Iterator[None]:
    """SQLite's file may grow by ten pages and no more, as on a full disk: its error is the same."""

    def limit(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with reading(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 10
    event.listen(engine, "checkout", limit)
    try:
        yield
    finally:
        pages = 1_000_000
        with reading(engine):
            event.remove(engine, "checkout", limit)


def job_with_log(engine: Engine, lines: int) -> str:
    line = {
        "time": 1.0,
        "job_status": "step0",
        "node_id": "",
        "is_failure": False,
        "text": "x" * 99,
    }
    with writing(engine) as connection:
        (node_id,) = add_nodes(connection, ["192.0.2.1"], "default")
        parts = [Part("default", {node_id: "pending"})]
        job_id = jobs.create_job(connection, JobAction.COLLECT_NODES, parts, user_id="u")
        jobs.add_lines(connection, job_id, [line] * lines)
    return job_id


def test_writer_is_told_that_the_disk_is_full_and_half_of_a_job_is_not_written(
    engine: Engine,
) -> None:
    with no_room(engine), pytest.raises(Busy, match="disk is full") as caught:
        job_with_log(engine, 10_000)

    assert caught.value.ret_code == 5100
    with reading(engine) as connection:
        found = connection.execute(jobs.JOB.select()).all()
    assert found == []
    job_id = job_with_log(engine, 10_000)
    with reading(engine) as connection:
        assert the_slice(connection, job_id).status == "waiting"
