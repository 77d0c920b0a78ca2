"""A database of the release before jobs had slices: its jobs are there afterwards, and go on."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import api.store
from api.states import WorkStatus
from api.store import jobs, runs
from api.store.session import migrate, open_database, writing

BEFORE = "0003"
WORKERS = {"j-waiting0": None, "j-running0": "w1", "j-over0000": "w1"}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a job that waits, one that runs, and one that is over."""
    found = (
        f"sqlite:///{tmp_path / 'old.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres_url"))
    )
    config = Config()
    config.set_main_option("script_location", str(Path(api.store.__file__).parent / "migrations"))
    config.attributes["url"] = found
    command.upgrade(config, BEFORE)
    engine = open_database(found)
    with writing(engine) as connection:
        for number, (job_id, worker) in enumerate(WORKERS.items()):
            plant(connection, job_id, number, worker)
    engine.dispose()
    return found


def test_jobs_of_the_release_before_are_there_and_go_on(url: str) -> None:
    migrate(url)

    engine = open_database(url)
    try:
        with writing(engine) as connection:
            slices = {job_id: jobs.get_slices(connection, job_id) for job_id in WORKERS}
            assert [rows[0].status for rows in slices.values()] == ["waiting", "running", "failed"]
            assert [(rows[0].attempt, rows[0].worker) for rows in slices.values()] == [
                (2, worker) for worker in WORKERS.values()
            ]
            for job_id in WORKERS:
                [step] = jobs.get_steps(connection, job_id)
                [node] = jobs.get_job_nodes(connection, job_id)
                assert (step.name, step.running, node.slice_index) == ("node_reach", 1, 0)
            run = runs.Run("j-running0", 2, "w1")
            nodes = {"n-00000001": {"status": WorkStatus.SUCCESSFUL, "step_index": 2}}
            runs.write_changes(connection, run, runs.Changes(step_index=2, nodes=nodes))
            assert runs.claim(connection, runs.Run("j-waiting0", 2, "w2"), 30)
            connection.execute(text("DELETE FROM job WHERE job_id = 'j-over0000'"))
            assert jobs.get_slices(connection, "j-over0000") == []  # what belongs to it goes along
            assert jobs.get_job_nodes(connection, "j-over0000") == []
    finally:
        engine.dispose()


def plant(connection: Any, job_id: str, number: int, worker: str | None) -> None:
    """A job in its second attempt, as the release before wrote it."""
    over = job_id == "j-over0000"
    values = {
        "job": job_id,
        "node": f"n-0000000{number}",
        "worker": worker,
        "status": "failed" if over else "step0",
        "active": not over,
    }
    for statement in (
        "INSERT INTO job (job_id, action, zone_id, user_id, command, retry_of, status, pre_status,"
        " reason, message, create_time, attempt, worker, enqueue_time, cancel, options, version)"
        " VALUES (:job, 'CollectNodes', 'default', 'admin', '', '', :status, '', '', '', 1.0, 2,"
        " :worker, 1.0, false, '{}', 3)",
        "INSERT INTO job_step (job_id, step_index, name, status, error)"
        " VALUES (:job, 0, 'node_reach', 'running', '')",
        "INSERT INTO job_node (job_id, node_id, active, status, step_index, reason, message,"
        " node_status) VALUES (:job, :node, :active, 'running', 0, '', '', 'pending')",
    ):
        connection.execute(text(statement), values)
