"""What was under way when a backup was made is over when it is restored."""

from sqlalchemy import Engine

from api.domain import jobs
from api.domain.restoring import end_unfinished_jobs
from api.settings import Settings
from api.states import BmNodeStatus, BootState, JobAction, JobStatus
from api.store.bm_nodes import get_bm_nodes
from api.store.boots import BOOT, open_boot
from api.store.installations import read_installations
from api.store.jobs import get_job
from api.store.nodes import add_nodes
from api.store.runs import Run, claim
from api.store.session import reading, writing
from tests.fakes import RecordingQueue
from tests.machines import plant_bm_node, plant_images


def start(engine: Engine, action: JobAction, node_id: str) -> str:
    with writing(engine) as connection:
        return jobs.start(connection, RecordingQueue(), action, [node_id], user_id="admin")


def test_an_installation_does_not_begin_again_and_its_machine_boots_nothing(
    engine: Engine, settings: Settings
) -> None:
    plant_images(engine, settings.images)
    node_id = plant_bm_node(engine)
    job_id = start(engine, JobAction.PROVISION_BM_NODES, node_id)
    with writing(engine) as connection:
        assert claim(connection, Run(job_id, 1, "a worker", 0), 30)
        provision_id = read_installations(connection, [node_id])[node_id].machine.provision_id
        open_boot(
            connection,
            node_id=node_id,
            job_id=job_id,
            provision_id=provision_id,
            mac="52:54:00:00:00:01",
            method="image",
            image="debian-12",
            seconds=900,
        )

    with writing(engine) as connection:
        assert end_unfinished_jobs(connection) == 1

    with writing(engine) as connection:
        job = get_job(connection, job_id)
        assert job is not None
        assert (job.status, job.reason) == (JobStatus.FAILED, "restored")
        assert get_bm_nodes(connection, [node_id])[node_id].status == BmNodeStatus.FAILED
        states = connection.execute(BOOT.select()).all()
        assert [row.state for row in states] == [BootState.CLOSED]
        assert not claim(connection, Run(job_id, 1, "a worker", 0), 30)
        assert not claim(connection, Run(job_id, 2, "another", 0), 30)


def test_jobs_that_were_over_stay_as_they_were(engine: Engine) -> None:
    with writing(engine) as connection:
        node_ids = add_nodes(connection, ["10.0.0.1", "10.0.0.2"], "default")
    over, waiting = (start(engine, JobAction.COLLECT_NODES, node_id) for node_id in node_ids)
    with writing(engine) as connection:
        jobs.cancel(connection, over)

    with writing(engine) as connection:
        assert end_unfinished_jobs(connection) == 1
        assert end_unfinished_jobs(connection) == 0

    with reading(engine) as connection:
        found = {job_id: get_job(connection, job_id) for job_id in (over, waiting)}
    reasons = {job_id: job.reason for job_id, job in found.items() if job is not None}
    assert reasons == {over: "cancelled", waiting: "restored"}
