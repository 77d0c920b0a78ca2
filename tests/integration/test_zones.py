"""Several workers on one PostgreSQL: each zone's jobs run there, and no more of them than may."""

import os
from collections.abc import Iterator

import pytest

from api.states import JobAction
from tests.cluster import Cluster
from tests.drill import Drill
from tests.drill.held import Held
from tests.postgres import Postgres

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

COLLECT = (JobAction.COLLECT_NODES, "")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Held]]:
    place = tmp_path_factory.mktemp("zones")
    drill = Drill(place / "content")
    with (
        Postgres() as postgres,
        Cluster(place, postgres.create_database(), drill.content, queue_poll=0.2) as cluster,
    ):
        yield cluster, Held(cluster, cluster.add_api(), drill)


def test_zones_and_workers_run_no_more_than_they_may(cluster: tuple[Cluster, Held]) -> None:
    of, held = cluster
    narrow_zone = [of.add_worker("z1", zone_concurrency='{"z1": 1}') for _ in range(2)]
    narrow_worker, other = of.add_worker("z2", "z3", concurrency=1), of.add_worker("z4")

    jobs = [job for zone in ("z1", "z2", "z3", "z4") for job in held.start(zone, [COLLECT])]
    jobs.append(held.start_across(["z1", "z4"], *COLLECT))

    assert held.ends(jobs) == [("successful", "", 1)] * len(jobs)
    runs = of.ask("SELECT zone_id, worker, start_time, finish_time FROM job_slice")
    pids = {
        zone: {int(worker.split(".")[-2]) for z, worker, *_ in runs if z == zone}
        for zone, *_ in runs
    }
    assert pids["z1"] <= {worker.pid for worker in narrow_zone}
    assert pids["z2"] == pids["z3"] == {narrow_worker.pid}
    assert pids["z4"] == {other.pid}
    assert at_once(runs, "z1") == 1
    assert at_once(runs, "z2", "z3") == 1
    assert at_once(runs, "z4") > 1  # so the others were held back, and not merely slow


def at_once(runs: list[tuple[str, str, float, float]], *zones: str) -> int:
    """How many slices in these zones were at work at the same time, at most."""
    spans = [(start, finish) for zone, _, start, finish in runs if zone in zones]
    return max(sum(begin <= start < end for begin, end in spans) for start, _ in spans)
