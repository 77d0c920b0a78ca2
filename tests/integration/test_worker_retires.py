"""A worker that is to make room for another finishes what it has, and begins nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.domain import jobs
from api.jobs.queue import JobQueue, prepare
from api.settings import Settings
from api.states import JobAction, NodeStatus
from api.store.jobs import get_job
from api.store.session import reading, writing
from tests.drill import Drill
from tests.nodes import plant_nodes
from tests.service import REPOSITORY, wait_until


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    return Drill(tmp_path / "content")


@pytest.fixture
def worker(settings: Settings, drill: Drill) -> Iterator[subprocess.Popen[bytes]]:
    """A worker for one job at a time."""
    prepare(settings)
    named = {"HOME": settings.home, "CONTENT": drill.content, "LEASE": "6", "QUEUE_POLL": "0.1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "worker", "--zone=default", "--concurrency=1"],
        env=os.environ | {f"FIRSTBOX_{name}": str(value) for name, value in named.items()},
        cwd=REPOSITORY,
    )
    yield process
    process.terminate()
    process.wait(30)


def test_it_ends_after_its_last_job_and_leaves_the_next_to_another(
    settings: Settings, engine: Engine, drill: Drill, worker: subprocess.Popen[bytes]
) -> None:
    ids = ["n-0000000a", "n-0000000b"]
    machines = zip(ids, ("127.0.0.1", "127.0.0.2"), strict=True)
    rows = [
        {"node_id": node_id, "address": address, "status": NodeStatus.PENDING}
        for node_id, address in machines
    ]
    plant_nodes(settings.database, *rows)
    drill.hold(ids[0], "node_reach")
    begun = start(engine, settings, ids[0])
    wait_until(lambda: drill.are_in({ids[0]: "node_reach"}), 30, what="its job is under way")

    worker.send_signal(signal.SIGUSR1)
    left = start(engine, settings, ids[1])
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(4)  # it would have ended by then, or begun the other
    drill.let_go([ids[0]])

    assert worker.wait(30) == 0
    with reading(engine) as connection:
        done, waits = get_job(connection, begun), get_job(connection, left)
    assert done is not None
    assert done.finish_time is not None
    assert waits is not None
    assert waits.start_time is None
    assert {moment.run for moment in drill.moments()} == {f"{begun}.0.1"}


def start(engine: Engine, settings: Settings, node_id: str) -> str:
    with writing(engine) as connection:
        queue = JobQueue(engine, settings)
        return jobs.start(connection, queue, JobAction.COLLECT_NODES, [node_id], user_id="admin")
