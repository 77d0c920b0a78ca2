"""PostgreSQL restarts under load, and is away for a minute: everything that was answered holds."""

import os
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from api.states import STEPS, JobAction
from tests.cluster import Api, Cluster
from tests.drill import Drill
from tests.drill.held import TRUE_WITHIN, Held, a_machine
from tests.machines import plant_images
from tests.postgres import Postgres
from tests.service import processes_of, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

AWAY = 60.0  # seconds
LAST_STEPS = [
    (action, STEPS[action][-1])
    for action in (JobAction.COLLECT_NODES, JobAction.PROVISION_BM_NODES, JobAction.SCAN_BM_NODES)
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Drill:
    return Drill(tmp_path_factory.mktemp("drill") / "content")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, drill: Drill
) -> Iterator[Cluster]:
    place = tmp_path_factory.mktemp("cluster")
    url = postgres.create_database()
    with Cluster(place, url, drill.content, lease=10) as cluster:
        plant_images(cluster.engine, place / "images")
        yield cluster


class Writer(threading.Thread):
    """A client that counts in a machine's product name, and knows what it was told."""

    def __init__(self, api: Api, node_id: str) -> None:
        super().__init__(daemon=True)
        self.api, self.node_id = api, node_id
        self.asked = self.told = 0
        self.codes: set[int] = set()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.1):
            self.asked += 1
            try:
                answer = self.api.call(
                    "ModifyNodeAttributes", node_id=self.node_id, product_name=str(self.asked)
                )
            except httpx.TransportError:
                self.codes.add(-1)  # no answer at all
                continue
            self.codes.add(answer["ret_code"])
            if answer["ret_code"] == 0:
                self.told = self.asked


@pytest.fixture
def writers(cluster: Cluster) -> Iterator[list[Writer]]:
    """Four clients at work on two replicas."""
    replicas = [cluster.add_api(), cluster.add_api()]
    writers = [
        Writer(replica, a_machine(cluster, "z1", JobAction.COLLECT_NODES))
        for replica in replicas * 2
    ]
    for writer in writers:
        writer.start()
    yield writers
    for writer in writers:
        writer.stop.set()
        writer.join(60)


def test_the_database_may_crash_and_be_away_for_a_minute_under_load(
    cluster: Cluster, postgres: Postgres, drill: Drill, writers: list[Writer]
) -> None:
    api, other = writers[0].api, writers[1].api
    held = Held(cluster, api, drill)
    cluster.add_worker("z1")
    jobs = held.start("z1", LAST_STEPS)
    held.wait(jobs)

    postgres.crash()
    postgres.start()
    wait_for_writes(writers)
    assert held.attempts(jobs) == {1}  # the runs did not even notice

    just_before = held.start("z1", [(JobAction.COLLECT_NODES, "")])
    postgres.stop()
    gone = time.monotonic()
    wait_until(lambda: not any(map(processes_of, jobs)), 20, what="the guards ended the runs")
    node_id = writers[0].node_id
    while time.monotonic() < gone + AWAY:
        assert api.call("CollectNodes", node_ids=[node_id])["ret_code"] == 5100
        assert not other.is_ready()
        assert httpx.get(f"http://127.0.0.1:{other.port}/healthz").status_code == 200
        time.sleep(1)
    postgres.start()

    assert held.ends(jobs) == [("successful", "", 2)] * len(jobs)
    assert held.ends(just_before)[0][:2] == ("successful", "")
    wait_for_writes(writers)
    assert all("fell silent; attempt 2 begins" in "".join(held.log(job_id)) for job_id in jobs)
    assert drill.driven_by_two() == []
    assert len(cluster.ask("SELECT 1 FROM job")) == len(jobs) + 1

    for writer in writers:
        writer.stop.set()
        writer.join(60)
        ((written,),) = cluster.ask(
            "SELECT product_name FROM node WHERE node_id = %s", writer.node_id
        )
        assert writer.told <= int(written) <= writer.asked
        assert writer.codes <= {0, 5100}


def wait_for_writes(writers: list[Writer]) -> None:
    """Wait until every client was told again that it has written something."""
    before = [writer.told for writer in writers]
    wait_until(
        lambda: all(writer.told > told for writer, told in zip(writers, before, strict=True)),
        TRUE_WITHIN,
        what="every client writes",
    )
