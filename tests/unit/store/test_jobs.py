import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Row, inspect

from api.errors import Conflict
from api.states import JobAction, WorkStatus
from api.store import jobs
from api.store.jobs import Changes, Run, RunLost
from api.store.session import reading, writing

LEASE = 30.0
NODES = {"n-00000001": "pending", "n-00000002": "available"}
EVERYTHING = Changes(
    status="step2",
    steps={1: {"status": WorkStatus.RUNNING, "start_time": 1.0, "deadline": 61.0}},
    nodes={"n-00000001": {"status": WorkStatus.RUNNING, "step_index": 1}},
    lines=[
        {
            "time": 1.0,
            "job_status": "step2",
            "node_id": "n-00000001",
            "is_failure": False,
            "text": "n-00000001: hello",
        }
    ],
)


@pytest.fixture
def job_id(any_engine: Engine) -> str:
    return create(any_engine, NODES)


@pytest.fixture
def run(any_engine: Engine, job_id: str) -> Run:
    """The first attempt at the job, by worker w1, which holds it."""
    run = Run(job_id, 1, "w1")
    with writing(any_engine) as connection:
        assert jobs.claim(connection, run, LEASE)
    return run


def other_worker(engine: Engine, run: Run) -> Run:
    return Run(run.job_id, run.attempt, "w2")


def old_attempt(engine: Engine, run: Run) -> Run:
    with writing(engine) as connection:
        assert jobs.start_over(connection, found(connection, run.job_id))
        assert jobs.claim(connection, Run(run.job_id, 2, run.worker), LEASE)
    return run


def unclaimed_attempt(engine: Engine, run: Run) -> Run:
    with writing(engine) as connection:
        assert jobs.start_over(connection, found(connection, run.job_id))
    return Run(run.job_id, 2, run.worker)


def finished(engine: Engine, run: Run) -> Run:
    with writing(engine) as connection:
        jobs.finish(connection, run.job_id, Changes(status="failed"), reason="", message="")
    return run


@pytest.mark.parametrize("lose", [other_worker, old_attempt, unclaimed_attempt, finished])
def test_a_run_that_lost_its_job_writes_nothing(
    lose: Callable[[Engine, Run], Run], any_engine: Engine, run: Run
) -> None:
    lost = lose(any_engine, run)
    before = dump(any_engine)

    with pytest.raises(RunLost), writing(any_engine) as connection:
        jobs.write_changes(connection, lost, EVERYTHING)
    with pytest.raises(RunLost), writing(any_engine) as connection:
        jobs.renew(connection, lost, LEASE)
    with pytest.raises(RunLost), writing(any_engine) as connection:
        jobs.lock_run(connection, lost)

    assert dump(any_engine) == before


def test_the_run_that_holds_the_job_writes(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        jobs.write_changes(connection, run, EVERYTHING)

    with reading(any_engine) as connection:
        job = found(connection, run.job_id)
        assert (job.status, job.pre_status) == ("step2", "step0")
        assert [row.status for row in jobs.get_steps(connection, run.job_id)] == [
            "waiting",
            "running",
            "waiting",
        ]
        nodes = jobs.get_job_nodes(connection, run.job_id)
        assert [(row.status, row.step_index) for row in nodes] == [("running", 1), ("waiting", 0)]
        assert [row.text for row in jobs.get_log(connection, run.job_id)] == ["n-00000001: hello"]


def test_every_change_a_caller_would_see_raises_the_version(
    any_engine: Engine, job_id: str
) -> None:
    run, versions = Run(job_id, 1, "w1"), []
    for change in (
        lambda connection: jobs.claim(connection, run, LEASE),
        lambda connection: jobs.write_changes(connection, run, EVERYTHING),
        lambda connection: jobs.request_cancel(connection, job_id),
        lambda connection: jobs.start_over(connection, found(connection, job_id)),
        lambda connection: jobs.finish(
            connection, job_id, Changes(status="failed"), reason="", message=""
        ),
    ):
        with writing(any_engine) as connection:
            change(connection)
            versions.append(found(connection, job_id).version)

    assert versions == [1, 2, 3, 4, 5]


def test_an_attempt_is_claimed_once(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        assert not jobs.claim(connection, Run(run.job_id, 1, "w2"), LEASE)
        assert not jobs.claim(connection, Run(run.job_id, 2, "w2"), LEASE)
        assert found(connection, run.job_id).worker == "w1"


def test_a_lease_is_renewed_and_tells_of_a_cancel(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        assert not jobs.renew(connection, run, 1000)
        assert found(connection, run.job_id).lease_until > time.time() + 900
        assert jobs.request_cancel(connection, run.job_id)
        assert jobs.renew(connection, run, LEASE)


def test_only_jobs_whose_lease_ran_out_are_abandoned(any_engine: Engine, run: Run) -> None:
    create(any_engine, {"n-00000003": "pending"})  # nobody claimed it
    now = time.time()

    with writing(any_engine) as connection:
        assert jobs.abandoned_jobs(connection, now) == []
        late = jobs.abandoned_jobs(connection, now + LEASE + 5)
        assert [row.job_id for row in late] == [run.job_id]
        jobs.finish(connection, run.job_id, Changes(status="failed"), reason="", message="")
        assert jobs.abandoned_jobs(connection, now + 10 * LEASE) == []


def test_only_jobs_nobody_took_are_unclaimed(any_engine: Engine, run: Run) -> None:
    waiting = create(any_engine, {"n-00000003": "pending"})

    with reading(any_engine) as connection:
        assert jobs.unclaimed_jobs(connection, time.time() - 60) == []
        old = jobs.unclaimed_jobs(connection, time.time() + 60)

    assert [row.job_id for row in old] == [waiting]


def test_a_job_starts_over_once_and_keeps_its_log(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        jobs.write_changes(connection, run, EVERYTHING)
        seen = found(connection, run.job_id)

    with writing(any_engine) as connection:
        assert jobs.start_over(connection, seen)
        assert not jobs.start_over(connection, seen)

    with reading(any_engine) as connection:
        job = found(connection, run.job_id)
        assert (job.attempt, job.worker, job.status, job.pre_status) == (2, None, "step0", "step2")
        nodes = jobs.get_job_nodes(connection, run.job_id)
        assert {(row.status, row.step_index, row.active) for row in nodes} == {("waiting", 0, True)}
        steps = jobs.get_steps(connection, run.job_id)
        assert {(row.status, row.start_time, row.deadline) for row in steps} == {
            ("waiting", None, None)
        }
        assert len(jobs.get_log(connection, run.job_id)) == 1


def test_a_second_active_job_at_a_node_is_refused_by_the_database(
    any_engine: Engine, job_id: str
) -> None:
    before = dump(any_engine)

    with pytest.raises(Conflict):
        create(any_engine, {"n-00000003": "pending", "n-00000002": "available"})

    assert dump(any_engine) == before


def test_a_finished_job_lets_go_of_its_nodes(any_engine: Engine, run: Run) -> None:
    finished(any_engine, run)

    assert create(any_engine, NODES) != run.job_id


def test_log_lines_are_numbered_over_all_batches(any_engine: Engine, run: Run) -> None:
    for _ in range(3):
        with writing(any_engine) as connection:
            jobs.write_changes(connection, run, Changes(lines=EVERYTHING.lines * 400))

    with reading(any_engine) as connection:
        numbers = [row.number for row in jobs.get_log(connection, run.job_id)]
        page = [row.number for row in jobs.get_log(connection, run.job_id, after=998, limit=3)]

    assert numbers == list(range(1, 1201))
    assert page == [999, 1000, 1001]


def test_a_log_is_kept_apart_by_status_and_by_failure(any_engine: Engine, run: Run) -> None:
    [line] = EVERYTHING.lines
    lines = [
        line | {"job_status": "step1", "text": "reached"},
        line | {"job_status": "step2", "text": "refused", "is_failure": True},
        line | {"job_status": "step2", "text": "probed"},
        line | {"job_status": "failed", "text": "over", "is_failure": True},
    ]
    with writing(any_engine) as connection:
        jobs.write_changes(connection, run, Changes(lines=lines))

    def texts(job_status: str) -> list[str]:
        with reading(any_engine) as connection:
            rows = jobs.get_log(connection, run.job_id, job_status=job_status)
        return [row.text for row in rows]

    assert texts("step1") == ["reached"]
    assert texts("step2") == ["refused", "probed"]
    assert texts("failed") == ["refused", "over"]
    assert texts("successful") == []


def test_jobs_are_found_by_what_they_are_and_had(any_engine: Engine, run: Run) -> None:
    other = create(any_engine, {"n-00000003": "pending"})
    finished(any_engine, run)

    assert ids(any_engine) == [other, run.job_id]
    assert ids(any_engine, job_ids=[other, "j-00000000"]) == [other]
    assert ids(any_engine, job_ids=[]) == []
    assert ids(any_engine, status="running") == [other]
    assert ids(any_engine, status="failed") == [run.job_id]
    assert ids(any_engine, node_id="n-00000002") == [run.job_id]
    assert ids(any_engine, action="ScanBMNodes") == []
    assert ids(any_engine, node_id="n-00000003", status="failed") == []


def test_nodes_of_very_many_jobs_are_counted(any_engine: Engine, job_id: str) -> None:
    others = [f"j-{number:08}" for number in range(70_000)]  # more than one statement can take

    with reading(any_engine) as connection:
        counts = jobs.count_nodes(connection, [*others, job_id])

    assert counts[job_id] == {"waiting": 2}
    assert counts[others[0]] == {}


def renew(connection: Connection, run: Run) -> None:
    jobs.renew(connection, run, LEASE + 1)


def take_over(connection: Connection, run: Run) -> None:
    assert jobs.start_over(connection, found(connection, run.job_id))


def finish(connection: Connection, run: Run) -> None:
    jobs.finish(connection, run.job_id, Changes(status="failed"), reason="timeout", message="")


@pytest.mark.parametrize("change", [renew, take_over, finish])
def test_a_job_that_changed_since_it_was_seen_is_not_taken_over(
    any_engine: Engine, run: Run, change: Callable[[Connection, Run], None]
) -> None:
    with writing(any_engine) as connection:
        seen = found(connection, run.job_id)
        assert jobs.lock_unchanged(connection, seen)

        change(connection, run)

        assert not jobs.lock_unchanged(connection, seen)


def create(engine: Engine, nodes: dict[str, str]) -> str:
    with writing(engine) as connection:
        return jobs.create_job(
            connection, JobAction.COLLECT_NODES, nodes, user_id="operator", zone_id="default"
        )


def found(connection: Connection, job_id: str) -> Row[Any]:
    job = jobs.get_job(connection, job_id)
    assert job is not None
    return job


def ids(
    engine: Engine,
    *,
    job_ids: Sequence[str] | None = None,
    action: str | None = None,
    status: str | None = None,
    node_id: str | None = None,
) -> list[str]:
    conditions = jobs.matches(job_ids=job_ids, action=action, status=status, node_id=node_id)
    with reading(engine) as connection:
        total, rows = jobs.find_jobs(
            connection, conditions, sort_key="create_time", reverse=True, limit=None, offset=0
        )
    assert total == len(rows)
    return [row.job_id for row in rows]


def dump(engine: Engine) -> dict[str, list[Any]]:
    """Every row there is."""
    with reading(engine) as connection:
        return {
            name: sorted(connection.exec_driver_sql(f"SELECT * FROM {name}").all(), key=repr)  # noqa: S608  # our own names
            for name in inspect(engine).get_table_names()
        }
