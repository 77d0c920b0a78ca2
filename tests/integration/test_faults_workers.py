"""Workers that die in the middle of jobs: nothing is lost, nothing is done twice at the same time."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from api.states import STEPS, JobAction
from api.store.session import writing
from api.store.tables import Node, columns
from tests.cluster import Api, Cluster
from tests.drill import Drill
from tests.machines import plant_bm_node, plant_images
from tests.postgres import Postgres
from tests.service import processes_of, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

_ASKED = {JobAction.GET_BM_NODES_POWER: {"refresh": 1}}  # else it answers what is known
_EVERY_STEP = [(action, step) for action, steps in STEPS.items() for step in steps]


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Drill:
    return Drill(tmp_path_factory.mktemp("drill") / "content")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, drill: Drill) -> Iterator[Cluster]:
    place = tmp_path_factory.mktemp("cluster")
    with (
        Postgres() as postgres,
        Cluster(place, postgres.create_database(), drill.content) as cluster,
    ):
        plant_images(cluster.engine, place / "images")
        yield cluster


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    return cluster.add_api()


def a_machine(cluster: Cluster, zone_id: str, action: JobAction) -> str:
    """A machine that this action takes: with an operating system to collect, or a bare one."""
    number = len(cluster.ask("SELECT node_id FROM node")) + 1
    node_id = plant_bm_node(cluster.engine, number, ipmi_password="sealed")
    address = f"127.0.98.{number}" if action == JobAction.COLLECT_NODES else None
    with writing(cluster.engine) as connection:
        is_it = columns(Node).c.node_id == node_id
        connection.execute(
            update(columns(Node)).where(is_it).values(zone_id=zone_id, address=address)
        )
    return node_id


def test_a_worker_may_die_in_every_step_of_every_job(
    cluster: Cluster, api: Api, drill: Drill
) -> None:
    machines = {a_machine(cluster, "z1", action): (action, step) for action, step in _EVERY_STEP}
    steps = {node_id: step for node_id, (_, step) in machines.items()}
    for node_id, step in steps.items():
        drill.hold(node_id, step)
    dying = cluster.add_worker("z1")
    jobs = {
        node_id: api.done(action, node_ids=[node_id], **_ASKED.get(action, {}))["job_id"]
        for node_id, (action, _) in machines.items()
    }
    wait_until(lambda: drill.are_in(steps), 90, what="every machine is in its step", pause=0.5)

    dying.kill()
    wait_until(
        lambda: not any(processes_of(job_id) for job_id in jobs.values()),
        10,
        what="the dead worker's runs are ended",
        pause=0.5,
    )
    cluster.add_worker("z1", concurrency=4)

    wait_until(
        lambda: not cluster.ask("SELECT 1 FROM job WHERE finish_time IS NULL"),
        90,
        what="every job is over",
        pause=0.5,
    )
    for node_id, (action, _) in machines.items():
        status = api.status(jobs[node_id], action)
        assert status["status"] == "successful", (action, status)
        lines = api.log(jobs[node_id], action)
        assert sum("attempt 2 begins from the start" in line for line in lines) == 1, lines
    assert drill.driven_by_two() == []
    assert {moment.run[-1] for moment in drill.moments()} == {"1", "2"}
