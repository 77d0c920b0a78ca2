import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Row, inspect

from api.errors import Conflict
from api.states import JobAction, JobStatus, WorkStatus
from api.store import jobs, runs
from api.store.jobs import Part
from api.store.runs import Changes, Run, RunLost
from api.store.session import reading, writing

LEASE = 30.0
NODES = {"n-00000001": "pending", "n-00000002": "available"}
EVERYTHING = Changes(
    step_index=2,
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
        assert runs.claim(connection, run, LEASE)
    return run


def other_worker(engine: Engine, run: Run) -> Run:
    return Run(run.job_id, run.attempt, "w2")


def old_attempt(engine: Engine, run: Run) -> Run:
    with writing(engine) as connection:
        assert runs.start_over(connection, part_of(connection, run.job_id))
        assert runs.claim(connection, Run(run.job_id, 2, run.worker), LEASE)
    return run


def unclaimed_attempt(engine: Engine, run: Run) -> Run:
    with writing(engine) as connection:
        assert runs.start_over(connection, part_of(connection, run.job_id))
    return Run(run.job_id, 2, run.worker)


def finished(engine: Engine, run: Run) -> Run:
    with writing(engine) as connection:
        finish_all(connection, run.job_id)
    return run


@pytest.mark.parametrize("lose", [other_worker, old_attempt, unclaimed_attempt, finished])
def test_a_run_that_lost_its_job_writes_nothing(
    lose: Callable[[Engine, Run], Run], any_engine: Engine, run: Run
) -> None:
    lost = lose(any_engine, run)
    before = dump(any_engine)

    with pytest.raises(RunLost), writing(any_engine) as connection:
        runs.write_changes(connection, lost, EVERYTHING)
    with pytest.raises(RunLost), writing(any_engine) as connection:
        runs.renew(connection, lost, LEASE)
    with pytest.raises(RunLost), writing(any_engine) as connection:
        runs.lock_run(connection, lost)

    assert dump(any_engine) == before


def test_the_run_that_holds_the_job_writes(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        runs.write_changes(connection, run, EVERYTHING)

    with reading(any_engine) as connection:
        job = found(connection, run.job_id)
        assert (job.status, job.pre_status) == ("step2", "step0")
        steps = jobs.get_steps(connection, run.job_id)
        assert [(row.waiting, row.running) for row in steps] == [(1, 0), (0, 1), (1, 0)]
        nodes = jobs.get_job_nodes(connection, run.job_id)
        assert [(row.status, row.step_index) for row in nodes] == [("running", 1), ("waiting", 0)]
        assert [row.text for row in jobs.get_log(connection, run.job_id)] == ["n-00000001: hello"]


def test_every_change_a_caller_would_see_raises_the_version(
    any_engine: Engine, job_id: str
) -> None:
    run, versions = Run(job_id, 1, "w1"), []
    for change in (
        lambda connection: runs.claim(connection, run, LEASE),
        lambda connection: runs.write_changes(connection, run, EVERYTHING),
        lambda connection: jobs.request_cancel(connection, job_id),
        lambda connection: runs.start_over(connection, part_of(connection, job_id)),
        lambda connection: finish_all(connection, job_id),
    ):
        with writing(any_engine) as connection:
            change(connection)
            versions.append(found(connection, job_id).version)

    assert versions == sorted(set(versions))  # each higher than the one before
    assert versions[0] > 0


def test_an_attempt_is_claimed_once(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        assert not runs.claim(connection, Run(run.job_id, 1, "w2"), LEASE)
        assert not runs.claim(connection, Run(run.job_id, 2, "w2"), LEASE)
        assert part_of(connection, run.job_id).worker == "w1"


def test_a_lease_is_renewed_and_tells_of_a_cancel(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        assert not runs.renew(connection, run, 1000)
        assert part_of(connection, run.job_id).lease_until > time.time() + 900
        assert jobs.request_cancel(connection, run.job_id)
        assert runs.renew(connection, run, LEASE)


def test_slices_are_under_way_from_the_queue_to_their_end(any_engine: Engine, run: Run) -> None:
    waiting, _held_back = (create(any_engine, {f"n-0000000{n}": "pending"}) for n in (3, 4))
    with writing(any_engine) as connection:
        runs.set_enqueued(connection, waiting, 0)
        begun = {row.job_id for row in runs.slices_under_way(connection)}
        finish_all(connection, run.job_id)
        left = {row.job_id for row in runs.slices_under_way(connection)}

    assert begun == {run.job_id, waiting}
    assert left == {waiting}


def test_every_renewal_changes_what_is_seen_of_a_slice(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        before = runs.slices_under_way(connection)
        runs.renew(connection, run, LEASE)
        after = runs.slices_under_way(connection)

    assert [tuple(row) for row in before] != [tuple(row) for row in after]


def test_a_job_starts_over_once_and_keeps_its_log(any_engine: Engine, run: Run) -> None:
    with writing(any_engine) as connection:
        runs.write_changes(connection, run, EVERYTHING)
        seen = part_of(connection, run.job_id)

    with writing(any_engine) as connection:
        assert runs.start_over(connection, seen)
        assert not runs.start_over(connection, seen)

    with reading(any_engine) as connection:
        job = found(connection, run.job_id)
        part = part_of(connection, run.job_id)
        assert (part.attempt, part.worker, part.status) == (2, None, "waiting")
        assert (job.status, job.pre_status) == ("step0", "step2")
        nodes = jobs.get_job_nodes(connection, run.job_id)
        assert {(row.status, row.step_index, row.active) for row in nodes} == {("waiting", 0, True)}
        steps = jobs.get_steps(connection, run.job_id)
        assert {(row.waiting, row.start_time, row.deadline) for row in steps} == {(1, None, None)}
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
            runs.write_changes(connection, run, Changes(lines=EVERYTHING.lines * 400))

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
        runs.write_changes(connection, run, Changes(lines=lines))

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
    runs.renew(connection, run, LEASE + 1)


def take_over(connection: Connection, run: Run) -> None:
    assert runs.start_over(connection, part_of(connection, run.job_id))


def finish(connection: Connection, run: Run) -> None:
    finish_all(connection, run.job_id)


@pytest.mark.parametrize("change", [renew, take_over, finish])
def test_a_job_that_changed_since_it_was_seen_is_not_taken_over(
    any_engine: Engine, run: Run, change: Callable[[Connection, Run], None]
) -> None:
    with writing(any_engine) as connection:
        seen = part_of(connection, run.job_id)
        assert runs.lock_unchanged(connection, seen)

        change(connection, run)

        assert not runs.lock_unchanged(connection, seen)


def create(engine: Engine, nodes: dict[str, str]) -> str:
    with writing(engine) as connection:
        parts = [Part("default", nodes)]
        return jobs.create_job(connection, JobAction.COLLECT_NODES, parts, user_id="operator")


def finish_all(connection: Connection, job_id: str) -> None:
    """End the job's one slice, and the job."""
    changes = Changes(status=WorkStatus.FAILED)
    runs.finish_slice(connection, job_id, 0, changes, reason="", message="")
    jobs.finish_job(connection, job_id, JobStatus.FAILED, reason="", message="")


def part_of(connection: Connection, job_id: str) -> Row[Any]:
    """The job's one slice."""
    part = runs.get_slice(connection, job_id, 0)
    assert part is not None
    return part


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
