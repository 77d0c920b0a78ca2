"""How long a step may take, when clocks are set meanwhile."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from api.jobs.recorder import Recorder
from api.settings import Settings
from api.states import JobAction
from api.store import jobs, runs
from api.store.session import reading, writing
from tests.service import wait_until


def test_a_clock_that_is_set_makes_no_step_late(settings: Settings, engine: Engine) -> None:
    with writing(engine) as connection:
        parts = [jobs.Part("default", {})]
        job_id = jobs.create_job(connection, JobAction.COLLECT_NODES, parts, user_id="admin")
        run = runs.Run(job_id, 1, "w1")
        assert runs.claim(connection, run, 30)
    long_ago = datetime.now(UTC) - timedelta(hours=6)
    recorder = Recorder(engine, settings, run)
    try:
        recorder.events.put(
            {
                "event": "playbook_on_task_start",
                "created": long_ago.isoformat(),
                "event_data": {"role": "node_reach"},
            }
        )
        wait_until(lambda: recorder.progress.deadline, 5, what="the step begins")
        wait_until(lambda: begun(engine, job_id), 5, what="the step's begin is written")
        assert not recorder.is_late()
    finally:
        recorder.close()


def begun(engine: Engine, job_id: str) -> bool:
    with reading(engine) as connection:
        return jobs.get_steps(connection, job_id)[0].start_time is not None
