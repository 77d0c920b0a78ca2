"""A worker prunes what the settings say, in turn with others, and lets them write meanwhile."""

import threading
import time

import pytest
from sqlalchemy import Engine, event, func, insert, select, update

from api.domain.queueing import Entry
from api.jobs.chore import Means
from api.jobs.pruning import prune
from api.jobs.queue import JobQueue, prepare
from api.settings import Settings
from api.states import JobAction
from api.store import jobs
from api.store.jobs import JOB, LOG_LINE, Part
from api.store.session import reading, writing
from api.store.turns import TURN, take_turn
from tests.jobs import end_job

DAY = 86400.0
LINES = 4000


@pytest.fixture
def means(any_engine: Engine, settings: Settings) -> Means:
    """What a worker's chores work with, the job engine's tables among it."""
    url = any_engine.url.render_as_string(hide_password=False)
    here = settings.model_copy(update={"database_url": url})
    prepare(here)
    return Means(here, any_engine, threading.Event())


def job(engine: Engine, days: float, lines: int = 1) -> str:
    """A job that ended so many days ago."""
    line = {"time": 1.0, "job_status": "step0", "node_id": "", "is_failure": False, "text": "-"}
    with writing(engine) as connection:
        parts = [Part("default", {f"n-{days}": "available"})]
        job_id = jobs.create_job(connection, JobAction.COLLECT_NODES, parts, user_id="u")
        jobs.add_lines(connection, job_id, [line] * lines)
        end_job(connection, job_id, None, "")
        ended = {"finish_time": time.time() - days * DAY}
        connection.execute(update(JOB).where(JOB.c.job_id == job_id).values(ended))
    return job_id


def kept(engine: Engine) -> dict[str, int]:
    """The jobs there are, and how many lines each has."""
    query = select(JOB.c.job_id, func.count(LOG_LINE.c.number)).join_from(
        JOB, LOG_LINE, isouter=True
    )
    with reading(engine) as connection:
        rows = connection.execute(query.group_by(JOB.c.job_id)).all()
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize(
    ("log_days", "job_days", "left"),
    [(90, 365, [5, 5, 1]), (0, 0, [5, 5, 5, 5]), (0, 365, [5, 5, 5]), (300, 60, [5])],
)
def test_settings_say_how_long_logs_and_jobs_are_kept(
    log_days: float, job_days: float, left: list[int], means: Means
) -> None:
    for days in (1, 61, 200, 400):
        job(means.engine, days, lines=4)
    days = {"log_days": log_days, "job_days": job_days}
    settings = means.settings.model_copy(update=days)

    spells = (prune(Means(settings, means.engine, means.stop)) for _ in range(20))
    assert not all(spells)  # a slow machine needs more than one

    assert sorted(kept(means.engine).values(), reverse=True) == left


def test_worker_does_not_prune_while_another_does(means: Means) -> None:
    job_id = job(means.engine, 400)
    with writing(means.engine) as connection:
        take_turn(connection, "prune", 60)
    prune(means)
    assert job_id in kept(means.engine)

    with writing(means.engine) as connection:
        connection.execute(update(TURN).values(until=0.0))
    prune(means)

    assert kept(means.engine) == {}


def test_long_log_goes_in_portions_between_which_others_write(means: Means) -> None:
    job_id = job(means.engine, 100, lines=LINES)
    largest, waits, done = 0, [], threading.Event()

    def note(_connection: object, cursor: object, statement: str, *_rest: object) -> None:
        nonlocal largest
        if statement.startswith("DELETE"):
            largest = max(largest, cursor.rowcount)  # type: ignore[attr-defined]

    def write() -> None:
        while not done.wait(0.01):
            began = time.monotonic()
            with writing(means.engine) as connection:
                values = {"user_id": "", "address": "", "action": "A", "time": 1.0}
                audit = jobs.JOB.metadata.tables["audit"]
                connection.execute(insert(audit).values(**values, ret_code=0, text=""))
            waits.append(time.monotonic() - began)

    event.listen(means.engine, "after_cursor_execute", note)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        while prune(means):
            continue
    finally:
        done.set()
        writer.join()

    assert kept(means.engine) == {job_id: 1}
    assert 0 < largest <= 500
    assert len(waits) > LINES / 500  # a write between any two portions
    assert sorted(waits)[len(waits) // 2] < 0.1, waits


def test_pruning_stops_with_the_worker(means: Means) -> None:
    job_id = job(means.engine, 100, lines=LINES)
    means.stop.set()

    assert prune(means) is False

    assert kept(means.engine)[job_id] > 1


def test_entries_of_the_queue_go_a_day_after_they_are_over(means: Means) -> None:
    queue = JobQueue(means.engine, means.settings)
    with writing(means.engine) as connection:
        for number in range(3):
            queue.enqueue(connection, Entry("j-00000001", number, 1, "default", 5))
    queue.free("j-00000001", 0, 1)
    queue.free("j-00000001", 1, 1)

    early = queue.forget(time.time() - DAY, 100)
    first, second = (queue.forget(time.time() + 1, 1) for _ in range(2))

    assert (early, first, second) == (0, 1, 1)
    assert queue.forget(time.time() + 1, 100) == 0
    assert queue.waiting(["j-00000001.1.1", "j-00000001.2.1"]) == {"j-00000001.2.1"}
