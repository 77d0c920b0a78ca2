"""API replicas that die between a request and its answer, and replicas that are asked the same at once."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from api.states import JobAction
from tests.cluster import Api, Cluster
from tests.drill import Drill
from tests.drill.held import a_machine
from tests.postgres import Postgres
from tests.service import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

# Whoever makes a job waits at the last moment, when nothing keeps the commit from being done any more.
WAIT_IN_COMMIT = """
CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON job DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait_in_commit()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    drill = Drill(tmp_path_factory.mktemp("drill") / "content")
    with (
        Postgres() as postgres,
        Cluster(
            tmp_path_factory.mktemp("cluster"), postgres.create_database(), drill.content
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def other(cluster: Cluster) -> Api:
    """The replica that stays."""
    return cluster.add_api()


@pytest.fixture
def node_id(cluster: Cluster) -> str:
    return a_machine(cluster, "default", JobAction.COLLECT_NODES)


@pytest.fixture
def dying(cluster: Cluster) -> Api:
    """The replica that is killed."""
    return cluster.add_api()


def test_an_api_killed_before_it_has_written_leaves_nothing(
    cluster: Cluster, dying: Api, other: Api, node_id: str
) -> None:
    with cluster.connected() as connection, connection.transaction():
        connection.execute("LOCK TABLE job_node IN EXCLUSIVE MODE")  # it gets no further than this
        asking = asked_without_answer(dying, node_id)
        wait_until(
            lambda: cluster.waits_for_a_lock("INSERT INTO job_node"),
            10,
            what="the request is at work",
        )
        dying.kill()
        asking.join(10)

    wait_until(
        lambda: not cluster.waits_for_a_lock("INSERT INTO job_node"),
        25,
        what="its session is over, too",
    )
    assert jobs_of(cluster, node_id) == []
    assert other.done("CollectNodes", node_ids=[node_id])["job_id"]


def test_an_api_killed_before_it_has_answered_leaves_one_job_that_a_retry_is_told(
    cluster: Cluster, dying: Api, other: Api, node_id: str
) -> None:
    with cluster.connected() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(42)")
        cluster.do(WAIT_IN_COMMIT)
        asking = asked_without_answer(dying, node_id)
        wait_until(
            lambda: cluster.waits_for_a_lock("COMMIT"), 10, what="the request is being committed"
        )
        dying.kill()
        asking.join(10)

    wait_until(lambda: jobs_of(cluster, node_id), 10, what="the job is seen")
    cluster.do("DROP TRIGGER wait_in_commit ON job")
    (job_id,) = jobs_of(cluster, node_id)
    again = other.call("CollectNodes", node_ids=[node_id])
    assert again["ret_code"] == 2200
    assert f"{node_id} (job {job_id})" in again["message"]
    cluster.add_worker("default")
    assert other.wait_for(job_id, seconds=60)["status"] == "successful"
    assert jobs_of(cluster, node_id) == [job_id]


def test_of_replicas_asked_the_same_at_once_one_makes_the_job_and_the_others_name_it(
    cluster: Cluster, dying: Api, other: Api
) -> None:
    cluster.do("DELETE FROM job")
    node_ids = [a_machine(cluster, "nobody", JobAction.COLLECT_NODES) for _ in range(4)]
    orders = [node_ids, node_ids[::-1]] * 2
    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            answers = list(
                threads.map(
                    lambda asked: asked[0].call("CollectNodes", node_ids=asked[1]),
                    zip([dying, other] * 4, orders * 2, strict=True),
                )
            )
            made = [answer["job_id"] for answer in answers if answer["ret_code"] == 0]
            refused = [answer for answer in answers if answer["ret_code"] == 2200]
            assert (len(made), len(refused)) == (1, 7), answers
            assert all(made[0] in answer["message"] for answer in refused)
            assert {tuple(jobs_of(cluster, node_id)) for node_id in node_ids} == {tuple(made)}
            other.done("CancelJob", job_id=made[0])
            cluster.do("DELETE FROM job")


def asked_without_answer(api: Api, node_id: str) -> threading.Thread:
    """A client in a thread of its own who never hears how it ended."""

    def ask() -> None:
        with pytest.raises(httpx.TransportError):
            api.call("CollectNodes", node_ids=[node_id])

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def jobs_of(cluster: Cluster, node_id: str) -> list[str]:
    """The jobs that this machine is or was in."""
    rows = cluster.ask("SELECT job_id FROM job_node WHERE node_id = %s", node_id)
    return [job_id for (job_id,) in rows]
