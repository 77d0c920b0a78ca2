"""Which slices of which jobs may go, on both databases."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from api.domain import jobs
from api.domain.admission import admit_slices
from api.domain.ending import end
from api.domain.queueing import Limits
from api.states import JobAction, Priority, Reason, WorkStatus
from api.store import jobs as store
from api.store import runs
from api.store.jobs import Part
from api.store.nodes import add_nodes
from api.store.session import reading, writing
from tests.fakes import RecordingQueue

DONE = {"status": WorkStatus.SUCCESSFUL}
BAD = {"status": WorkStatus.FAILED, "reason": Reason.SSH_SILENT, "message": "silent"}


def test_slices_without_a_limit_go_at_once(any_engine: Engine) -> None:
    queue = RecordingQueue()
    queue.limits = Limits(slice_nodes=2)

    job_id = collect(any_engine, queue, plant(any_engine, 5))

    assert went(queue) == [(job_id, 0), (job_id, 1), (job_id, 2)]


def test_at_once_holds_back_what_is_more(any_engine: Engine) -> None:
    queue = RecordingQueue()
    job_id = collect(any_engine, queue, plant(any_engine, 5), at_once=2)
    assert went(queue) == [(job_id, 0)]

    finish(any_engine, job_id, 0, DONE)
    admit(any_engine, queue)

    assert went(queue) == [(job_id, 0), (job_id, 1)]


def test_machines_are_installed_so_many_at_a_time_all_jobs_together(any_engine: Engine) -> None:
    queue = RecordingQueue()
    queue.limits = Limits(provision_at_once=3)
    first, second, third = (
        provision(any_engine, [f"n-{letter}{number}" for number in range(count)])
        for letter, count in (("a", 2), ("b", 2), ("c", 1))
    )
    admit(any_engine, queue)
    assert went(queue) == [(first, 0)]  # the third would fit, but must not overtake the second

    finish(any_engine, first, 0, DONE)
    admit(any_engine, queue)

    assert went(queue) == [(first, 0), (second, 0), (third, 0)]


def test_the_urgent_goes_before_the_old(any_engine: Engine) -> None:
    queue = RecordingQueue()
    queue.limits = Limits(provision_at_once=1)
    old = provision(any_engine, ["n-a"])
    urgent = provision(any_engine, ["n-b"], priority=Priority.HIGH)

    admit(any_engine, queue)
    finish(any_engine, urgent, 0, DONE)
    admit(any_engine, queue)

    assert went(queue) == [(urgent, 0), (old, 0)]
    assert [entry.priority for entry in queue.entries] == [1, 5]


def test_after_too_many_failures_nothing_new_is_begun(any_engine: Engine) -> None:
    queue = RecordingQueue()
    node_ids = plant(any_engine, 4)
    job_id = collect(any_engine, queue, node_ids, at_once=1, max_failures=1)

    finish(any_engine, job_id, 0, BAD)
    admit(any_engine, queue)

    assert went(queue) == [(job_id, 0)]
    with reading(any_engine) as connection:
        job = store.get_job(connection, job_id)
        assert job is not None
        rows = store.get_job_nodes(connection, job_id)
        lines = [row.text for row in store.get_log(connection, job_id)]
    assert (job.status, job.reason) == ("failed", "too_many_failures")
    assert [row.reason for row in rows].count("too_many_failures") == 3
    assert "nothing was done" not in lines[0]
    assert "1 nodes had failed" in lines[-1]


def test_the_setting_holds_where_the_request_says_nothing(any_engine: Engine) -> None:
    queue = RecordingQueue()
    queue.limits = Limits(max_failures=3)

    careful = collect(any_engine, queue, plant(any_engine, 1))
    bold = collect(any_engine, queue, plant(any_engine, 1, net=1), max_failures=0)

    with reading(any_engine) as connection:
        options = [store.get_job(connection, job_id).options for job_id in (careful, bold)]  # type: ignore[union-attr]
    assert options == [{"max_failures": 3}, {"max_failures": 0}]


def test_a_job_is_in_the_step_of_its_hindmost_slice_and_ends_with_its_last(
    any_engine: Engine,
) -> None:
    queue = RecordingQueue()
    queue.limits = Limits(slice_nodes=1)
    job_id = collect(any_engine, queue, plant(any_engine, 2))
    first, second = (runs.Run(job_id, 1, "w", index) for index in (0, 1))
    seen = []
    with writing(any_engine) as connection:
        for run, step in ((first, 2), (second, 1), (second, 2)):
            runs.claim(connection, run, 30)
            runs.write_changes(connection, run, runs.Changes(step_index=step))
            seen.append(status(connection, job_id))
    finish(any_engine, job_id, 1, DONE)
    with reading(any_engine) as connection:
        seen.append(status(connection, job_id))
    finish(any_engine, job_id, 0, BAD)
    with reading(any_engine) as connection:
        job = store.get_job(connection, job_id)
        lines = [row.text for row in store.get_log(connection, job_id)]

    assert seen == ["step0", "step1", "step2", "step2"]
    assert job is not None
    assert (job.status, job.reason) == ("failed", "nodes_failed")
    assert lines[0] == "slice 2 of 2 (zone default): successful"
    assert lines[1].startswith("slice 1 of 2 (zone default): failed: 1 of 1 nodes failed")
    assert lines[2].startswith("CollectNodes: failed: 1 of 2 nodes failed")


def test_a_cancel_ends_the_slices_nobody_runs_and_tells_the_others(any_engine: Engine) -> None:
    queue = RecordingQueue()
    job_id = collect(any_engine, queue, plant(any_engine, 3), at_once=1, max_failures=1)
    run = runs.Run(job_id, 1, "w", 0)
    with writing(any_engine) as connection:
        runs.claim(connection, run, 30)
    with writing(any_engine) as connection:
        jobs.cancel(connection, job_id)

    with writing(any_engine) as connection:
        assert runs.renew(connection, run, 30)
        slices = store.get_slices(connection, job_id)
        assert [(row.status, row.reason) for row in slices] == [
            ("running", ""),
            ("failed", "cancelled"),
            ("failed", "cancelled"),
        ]
        end(connection, runs.lock_run(connection, run), Reason.CANCELLED, "cancelled")
        job = store.get_job(connection, job_id)
    assert job is not None
    assert (job.status, job.reason) == ("failed", "cancelled")


def plant(engine: Engine, count: int, net: int = 0) -> list[str]:
    with writing(engine) as connection:
        addresses = [f"10.0.{net}.{last}" for last in range(1, count + 1)]
        return add_nodes(connection, addresses, "default")


def collect(engine: Engine, queue: RecordingQueue, node_ids: Sequence[str], **options: int) -> str:
    with writing(engine) as connection:
        action = JobAction.COLLECT_NODES
        return jobs.start(connection, queue, action, node_ids, user_id="op", options=options)


def provision(engine: Engine, node_ids: list[str], priority: int = Priority.NORMAL) -> str:
    """An installation that is held back; without the machines, of which admission knows nothing."""
    time.sleep(0.002)  # jobs are told apart by when they were made
    with writing(engine) as connection:
        parts = [Part("default", dict.fromkeys(node_ids, "new"))]
        action = JobAction.PROVISION_BM_NODES
        return store.create_job(connection, action, parts, user_id="op", priority=priority)


def admit(engine: Engine, queue: RecordingQueue) -> None:
    with writing(engine) as connection:
        admit_slices(connection, queue)


def finish(engine: Engine, job_id: str, index: int, node: dict[str, Any]) -> None:
    with writing(engine) as connection:
        part = runs.get_slice(connection, job_id, index)
        assert part is not None
        ids = [row.node_id for row in runs.get_slice_nodes(connection, job_id, index)]
        changes = runs.Changes(nodes={node_id: dict(node) for node_id in ids})
        end(connection, part, None, "", changes)


def went(queue: RecordingQueue) -> list[tuple[str, int]]:
    return [(entry.job_id, entry.slice_index) for entry in queue.entries]


def status(connection: Any, job_id: str) -> str:
    job = store.get_job(connection, job_id)
    assert job is not None
    return str(job.status)
