import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Row

from api.domain import ending, jobs
from api.domain.queueing import Entry
from api.errors import Busy, Conflict, NotFound
from api.states import JobAction, NodeStatus, Priority, Reason, WorkStatus
from api.store import jobs as store
from api.store import runs
from api.store.audit import find_audit
from api.store.jobs import Part
from api.store.nodes import add_nodes, busy_nodes, delete_nodes, get_nodes, move_nodes, update_node
from api.store.session import reading, writing
from tests.fakes import BusyQueue, RecordingQueue

USER = "operator"
DONE = {"status": WorkStatus.SUCCESSFUL}


# --- beginning ----------------------------------------------------------------------------------


def test_collect_holds_the_nodes_and_queues_the_job(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    node_ids = plant(any_engine, 2)

    job_id = collect(any_engine, queue, node_ids)

    assert queue.entries == [Entry(job_id, 0, 1, "default", Priority.NORMAL)]
    assert statuses(any_engine, node_ids) == [("collecting", "pending")] * 2
    with reading(any_engine) as connection:
        assert busy_nodes(connection, node_ids) == dict.fromkeys(node_ids, job_id)
        job = found(connection, job_id)
        assert (job.status, job.pre_status, job.user_id) == ("step0", "", USER)
        steps = [(row.name, row.waiting) for row in store.get_steps(connection, job_id)]
    assert steps == [(name, 1) for name in ("node_reach", "node_probe", "node_record")]


def test_job_of_a_shell_stands_in_the_audit(any_engine: Engine) -> None:
    node_ids = plant(any_engine, 1)

    with writing(any_engine) as connection:
        job_id = jobs.begin(
            connection,
            JobAction.COLLECT_NODES,
            node_ids,
            user_id="root (shell)",
            command="ansible-playbook -e password=x",
        )

    with reading(any_engine) as connection:
        _, [entry] = find_audit(connection, limit=10)
    assert (entry.action, entry.user_id, entry.ret_code) == ("CollectNodes", "root (shell)", 0)
    assert job_id in entry.text
    assert "password" not in entry.text


def test_a_node_is_in_one_job_at_a_time(any_engine: Engine, queue: RecordingQueue) -> None:
    first, second = plant(any_engine, 2)
    job_id = collect(any_engine, queue, [first])

    with pytest.raises(Conflict, match=rf"{first} \(job {job_id}\)"):
        collect(any_engine, queue, [second, first])

    assert statuses(any_engine, [second]) == [("pending", "")]
    assert len(queue.entries) == 1


def test_the_database_refuses_a_second_active_job_by_itself(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    first, second = plant(any_engine, 2)
    collect(any_engine, queue, [first])

    with pytest.raises(Conflict, match="took one of the nodes"), writing(any_engine) as connection:
        create(connection, [second, first])

    with reading(any_engine) as connection:
        total, _ = page_of_jobs(connection)
        assert total == 1
        assert busy_nodes(connection, [second]) == {}


def test_two_finished_jobs_may_have_had_the_same_node(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    [node_id] = plant(any_engine, 1)

    for _ in range(2):
        end(any_engine, collect(any_engine, queue, [node_id]), {node_id: DONE})

    assert statuses(any_engine, [node_id]) == [("available", "collecting")]


def test_nodes_in_use_are_not_collected(any_engine: Engine, queue: RecordingQueue) -> None:
    idle, used = plant(any_engine, 2)
    with writing(any_engine) as connection:
        update_node(connection, used, {"role": "storage"})

    with pytest.raises(Conflict, match=rf"{used} \(role storage\)"):
        collect(any_engine, queue, [idle, used])

    assert statuses(any_engine, [idle]) == [("pending", "")]


def test_unknown_nodes_are_listed(any_engine: Engine, queue: RecordingQueue) -> None:
    node_ids = plant(any_engine, 1)

    with pytest.raises(NotFound, match="no node n-00000000, n-00000001"):
        collect(any_engine, queue, ["n-00000000", *node_ids, "n-00000001"])


def test_without_a_queue_there_is_no_job(any_engine: Engine) -> None:
    node_ids = plant(any_engine, 1)

    with pytest.raises(Busy):
        collect(any_engine, BusyQueue(), node_ids)

    assert statuses(any_engine, node_ids) == [("pending", "")]
    with reading(any_engine) as connection:
        assert page_of_jobs(connection)[0] == 0


# --- the end ------------------------------------------------------------------------------------


def test_a_job_is_successful_when_every_node_is(any_engine: Engine, queue: RecordingQueue) -> None:
    node_ids = plant(any_engine, 2)
    job_id = collect(any_engine, queue, node_ids)

    job = end(any_engine, job_id, dict.fromkeys(node_ids, DONE))

    assert (job.status, job.pre_status, job.reason, job.message) == ("successful", "step0", "", "")
    assert job.finish_time <= time.time()
    assert statuses(any_engine, node_ids) == [("available", "collecting")] * 2
    assert log(any_engine, job_id) == ["CollectNodes: successful for all 2 nodes"]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.SSH_SILENT, "unreachable"),
        (Reason.SSH_REFUSED, "unreachable"),
        (Reason.HOST_KEY_CHANGED, "unreachable"),
        (Reason.PROBE_INCOMPLETE, "pending"),
        (Reason.RECORD_REFUSED, "pending"),
    ],
)
def test_one_failed_node_fails_the_job_and_itself_alone(
    reason: Reason, status: str, any_engine: Engine, queue: RecordingQueue
) -> None:
    good, bad = plant(any_engine, 2)
    job_id = collect(any_engine, queue, [good, bad])

    failed = {"status": WorkStatus.FAILED, "reason": reason, "message": "so it is"}
    job = end(any_engine, job_id, {good: DONE, bad: failed})

    assert (job.status, job.reason) == ("failed", "nodes_failed")
    assert f"1 of 2 nodes failed: {bad} ({reason})" in job.message
    assert statuses(any_engine, [good, bad]) == [
        ("available", "collecting"),
        (status, "collecting"),
    ]
    [line] = log(any_engine, job_id)
    assert line.startswith("CollectNodes: failed: 1 of 2 nodes failed")
    assert line.endswith("RetryJob runs those alone.")


def test_nodes_nothing_was_heard_of_fail_and_are_what_they_were(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    known, new = plant(any_engine, 2)
    with writing(any_engine) as connection:
        move_nodes(connection, {known: NodeStatus.COLLECTING})
        move_nodes(connection, {known: NodeStatus.AVAILABLE})
    job_id = collect(any_engine, queue, [known, new])

    job = end(any_engine, job_id, {}, Reason.WORKER_LOST, "its worker died")

    assert (job.status, job.reason, job.message) == ("failed", "worker_lost", "its worker died")
    assert [status for status, _ in statuses(any_engine, [known, new])] == ["available", "pending"]
    with reading(any_engine) as connection:
        rows = store.get_job_nodes(connection, job_id)
        assert {(row.status, row.reason) for row in rows} == {("failed", "worker_lost")}
        assert busy_nodes(connection, [known, new]) == {}


def test_a_playbook_that_forgets_a_node_fails_it(any_engine: Engine, queue: RecordingQueue) -> None:
    [node_id] = plant(any_engine, 1)

    job = end(any_engine, collect(any_engine, queue, [node_id]), {})

    assert (job.status, job.reason) == ("failed", "nodes_failed")
    assert "run_ended" in job.message


def test_the_step_that_ran_ends_with_its_job(any_engine: Engine, queue: RecordingQueue) -> None:
    job_id = collect(any_engine, queue, plant(any_engine, 1))
    run = runs.Run(job_id, 1, "w1")
    with writing(any_engine) as connection:
        runs.claim(connection, run, 30)
        running = {1: {"status": WorkStatus.RUNNING, "start_time": time.time()}}
        runs.write_changes(connection, run, runs.Changes(step_index=2, steps=running))

    job = end(any_engine, job_id, {}, Reason.TIMEOUT, "too slow")

    assert (job.status, job.pre_status) == ("failed", "step2")
    with reading(any_engine) as connection:
        steps = store.get_steps(connection, job_id)
    assert [(row.failed, row.error) for row in steps] == [(0, ""), (1, "timeout"), (0, "")]


def test_a_node_deleted_meanwhile_does_not_stop_the_end(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    gone, here = plant(any_engine, 2)
    job_id = collect(any_engine, queue, [gone, here])
    with writing(any_engine) as connection:
        delete_nodes(connection, [gone])

    assert end(any_engine, job_id, {gone: DONE, here: DONE}).status == "successful"
    assert statuses(any_engine, [here]) == [("available", "collecting")]


# --- finding, cancelling, trying again ----------------------------------------------------------


def test_the_newest_job_is_found_without_an_id(any_engine: Engine, queue: RecordingQueue) -> None:
    first, second = plant(any_engine, 2)
    collect(any_engine, queue, [first])
    newest = collect(any_engine, queue, [second])

    with reading(any_engine) as connection:
        assert jobs.find(connection, "CollectNodes", None).job_id == newest


def test_a_job_of_another_action_is_not_found(any_engine: Engine, queue: RecordingQueue) -> None:
    job_id = collect(any_engine, queue, plant(any_engine, 1))

    with reading(any_engine) as connection, pytest.raises(NotFound, match="is a CollectNodes job"):
        jobs.find(connection, "ScanBMNodes", job_id)


def test_a_job_nobody_runs_is_cancelled_at_once(any_engine: Engine, queue: RecordingQueue) -> None:
    node_ids = plant(any_engine, 2)
    job_id = collect(any_engine, queue, node_ids)

    cancel(any_engine, job_id)

    with writing(any_engine) as connection:
        job = found(connection, job_id)
        assert (job.status, job.reason) == ("failed", "cancelled")
        assert not runs.claim(connection, runs.Run(job_id, 1, "w1"), 30)
    assert statuses(any_engine, node_ids) == [("pending", "collecting")] * 2


def test_a_running_job_is_told_to_stop(any_engine: Engine, queue: RecordingQueue) -> None:
    node_ids = plant(any_engine, 1)
    job_id = collect(any_engine, queue, node_ids)
    run = runs.Run(job_id, 1, "w1")
    with writing(any_engine) as connection:
        runs.claim(connection, run, 30)

    cancel(any_engine, job_id)

    with writing(any_engine) as connection:
        assert found(connection, job_id).status == "step0"
        assert runs.renew(connection, run, 30)
    assert statuses(any_engine, node_ids) == [("collecting", "pending")]


def test_a_job_claimed_in_the_same_moment_is_told_to_stop_and_not_ended(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    job_id = collect(any_engine, queue, plant(any_engine, 1))
    cancelling = threading.Thread(target=cancel, args=(any_engine, job_id))

    with writing(any_engine) as connection:
        assert runs.claim(connection, runs.Run(job_id, 1, "w1"), 30)
        cancelling.start()
        cancelling.join(0.5)  # it is at the database by now, and has to wait for us
    cancelling.join(30)

    with reading(any_engine) as connection:
        job = found(connection, job_id)
        [part] = store.get_slices(connection, job_id)
    assert (job.status, job.cancel, part.worker) == ("step0", True, "w1")


def test_what_is_over_is_not_cancelled(any_engine: Engine, queue: RecordingQueue) -> None:
    job_id = collect(any_engine, queue, plant(any_engine, 1))
    cancel(any_engine, job_id)

    with pytest.raises(Conflict, match=rf"{job_id} is over already \(failed\)"):
        cancel(any_engine, job_id)
    with pytest.raises(NotFound, match="j-00000000"):
        cancel(any_engine, "j-00000000")


def test_retry_takes_the_failed_nodes_alone(any_engine: Engine, queue: RecordingQueue) -> None:
    good, bad = plant(any_engine, 2)
    job_id = collect(any_engine, queue, [good, bad])
    end(any_engine, job_id, {good: DONE})

    again = retry(any_engine, queue, job_id)

    with reading(any_engine) as connection:
        assert [row.node_id for row in store.get_job_nodes(connection, again)] == [bad]
        assert found(connection, again).retry_of == job_id
    assert queue.entries[-1].job_id == again
    assert statuses(any_engine, [good, bad]) == [
        ("available", "collecting"),
        ("collecting", "pending"),
    ]


def test_there_must_be_something_to_retry(any_engine: Engine, queue: RecordingQueue) -> None:
    good, bad = plant(any_engine, 2)
    job_id = collect(any_engine, queue, [good, bad])
    with pytest.raises(Conflict, match=rf"{job_id} is still at work \(step0\)"):
        retry(any_engine, queue, job_id)
    end(any_engine, job_id, {good: DONE})
    with writing(any_engine) as connection:
        delete_nodes(connection, [bad])

    with pytest.raises(Conflict, match=f"No node failed in job {job_id} that still exists"):
        retry(any_engine, queue, job_id)


# --- means --------------------------------------------------------------------------------------


def plant(engine: Engine, count: int) -> list[str]:
    with writing(engine) as connection:
        return add_nodes(connection, [f"10.0.0.{last}" for last in range(1, count + 1)], "default")


def collect(engine: Engine, queue: Any, node_ids: Sequence[str]) -> str:
    with writing(engine) as connection:
        return jobs.start(connection, queue, JobAction.COLLECT_NODES, node_ids, user_id=USER)


def retry(engine: Engine, queue: Any, job_id: str) -> str:
    with writing(engine) as connection:
        return jobs.retry(connection, queue, job_id, user_id=USER)


def cancel(engine: Engine, job_id: str) -> None:
    with writing(engine) as connection:
        jobs.cancel(connection, job_id)


def create(connection: Connection, node_ids: Sequence[str]) -> str:
    return store.create_job(
        connection,
        JobAction.COLLECT_NODES,
        [Part("default", dict.fromkeys(node_ids, "pending"))],
        user_id=USER,
    )


def end(
    engine: Engine,
    job_id: str,
    nodes: dict[str, dict[str, Any]],
    reason: Reason | None = None,
    message: str = "",
) -> Row[Any]:
    with writing(engine) as connection:
        changes = runs.Changes(nodes={node_id: dict(values) for node_id, values in nodes.items()})
        part = runs.get_slice(connection, job_id, 0)
        assert part is not None
        ending.end(connection, part, reason, message, changes)
        return found(connection, job_id)


def found(connection: Connection, job_id: str) -> Row[Any]:
    job = store.get_job(connection, job_id)
    assert job is not None
    return job


def page_of_jobs(connection: Connection) -> tuple[int, Sequence[Row[Any]]]:
    return store.find_jobs(
        connection, [], sort_key="create_time", reverse=True, limit=None, offset=0
    )


def statuses(engine: Engine, node_ids: Sequence[str]) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        rows = get_nodes(connection, node_ids)
    return [(rows[node_id].status, rows[node_id].pre_status) for node_id in node_ids]


def log(engine: Engine, job_id: str) -> list[str]:
    with reading(engine) as connection:
        return [row.text for row in store.get_log(connection, job_id)]
