"""Workers that die, freeze, are cut off, have no room or a wrong clock: no job is lost, none is done twice."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from api.errors import Busy
from api.states import STEPS, JobAction
from api.store.session import open_database, reading
from tests.clock import WrongClock
from tests.cluster import Api, Cluster
from tests.drill import Drill
from tests.drill.held import TRUE_WITHIN, Held, a_machine
from tests.gate import Gate
from tests.machines import plant_images
from tests.postgres import Postgres
from tests.service import children, command_line, processes_of, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

LEASE = 12  # seconds; quicker than by default, and long enough for a busy host
EVERY_STEP = [(action, step) for action, steps in STEPS.items() for step in steps]
LAST_STEPS = [
    (action, STEPS[action][-1])
    for action in (JobAction.COLLECT_NODES, JobAction.PROVISION_BM_NODES, JobAction.SCAN_BM_NODES)
]


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Drill:
    return Drill(tmp_path_factory.mktemp("drill") / "content")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, drill: Drill) -> Iterator[Cluster]:
    place = tmp_path_factory.mktemp("cluster")
    with (
        Postgres() as postgres,
        Cluster(place, postgres.create_database(), drill.content, lease=LEASE) as cluster,
    ):
        plant_images(cluster.engine, place / "images")
        yield cluster


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    return cluster.add_api()


@pytest.fixture
def held(cluster: Cluster, api: Api, drill: Drill) -> Held:
    return Held(cluster, api, drill)


def test_a_worker_may_die_in_every_step_of_every_job(
    cluster: Cluster, drill: Drill, held: Held
) -> None:
    dying = cluster.add_worker("z1")
    jobs = held.start("z1", EVERY_STEP)
    held.wait(jobs)

    dying.kill()
    wait_until(lambda: not any(map(processes_of, jobs)), 10, what="its runs are ended", pause=0.5)
    cluster.add_worker("z1", concurrency=4)

    assert_taken_over(held.ends(jobs))
    for job_id in jobs:
        again = [line for line in held.log(job_id) if "; attempt 2 begins" in line]
        assert len(again) == 1
    assert drill.driven_by_two() == []


def test_a_job_whose_worker_died_while_it_claimed_it_is_not_forgotten(
    cluster: Cluster, held: Held
) -> None:
    (job_id,) = held.start("z9", [(JobAction.COLLECT_NODES, "")])
    with cluster.connected() as connection, connection.transaction():
        connection.execute("SELECT 1 FROM job WHERE job_id = %s FOR UPDATE", [job_id])
        dying = cluster.add_worker("z9")  # takes it from the queue, and gets no further than this
        wait_until(lambda: cluster.waits_for_a_lock("SELECT job."), 30, what="the worker claims it")
        dying.kill()
    cluster.add_worker("z9")

    assert held.ends([job_id]) == [("successful", "", 2)]


def test_an_ansible_that_dies_alone_fails_its_job(cluster: Cluster, held: Held) -> None:
    cluster.add_worker("z2")
    jobs = held.start("z2", LAST_STEPS)
    held.wait(jobs)

    for job_id in jobs:
        (run,) = (
            pid
            for pid, line in processes_of(job_id).items()
            if "-m api.jobs.run" in line and "guard" not in line
        )
        (playbook,) = (pid for pid in children(run) if "ansible-playbook" in command_line(pid))
        os.kill(playbook, signal.SIGKILL)

    assert held.ends(jobs) == [("failed", "run_ended", 1)] * len(jobs)
    assert all("ended with code" in held.log(job_id)[-1] for job_id in jobs)
    wait_until(lambda: not any(map(processes_of, jobs)), 10, what="nothing of them is left")
    assert statuses(cluster, "z2") == {("pending", "new")}


def test_workers_that_are_cut_off_or_frozen_stop_their_runs_before_another_takes_over(
    cluster: Cluster, drill: Drill, held: Held
) -> None:
    cut_off, frozen = cluster.add_worker("z3", "z4"), cluster.add_worker("z5")
    jobs = held.start("z3", LAST_STEPS[1:]) + held.start("z5", LAST_STEPS[1:])
    jobs.append(held.start_across(["z3", "z5"], *LAST_STEPS[0]))  # a slice on each of them
    held.wait(jobs)
    cluster.add_worker("z3", "z5")

    cut_off.gate.cut()
    frozen.signal(signal.SIGSTOP)
    assert_taken_over(held.ends(jobs))

    cut_off.gate.mend()
    frozen.signal(signal.SIGCONT)
    late = held.start("z4", [(JobAction.COLLECT_NODES, "")])  # who was cut off is alone there
    late += held.start("z5", [(JobAction.COLLECT_NODES, "")] * 2)
    assert held.ends(late) == [("successful", "", 1)] * len(late)
    assert drill.driven_by_two() == []


def test_a_worker_that_is_cut_off_ends_when_it_is_told(cluster: Cluster, held: Held) -> None:
    worker = cluster.add_worker("z12")
    jobs = held.start("z12", LAST_STEPS[:1])
    held.wait(jobs)

    worker.gate.cut()
    worker.signal(signal.SIGTERM)
    wait_until(worker.has_ended, 90, what="the worker is gone")

    cluster.add_worker("z12")
    assert held.ends(jobs) == [("successful", "", 2)]


def test_a_shell_that_is_cut_off_stops_before_its_machines_are_another_ones(
    cluster: Cluster, drill: Drill
) -> None:
    node_id = a_machine(cluster, "z10", JobAction.COLLECT_NODES)
    drill.hold(node_id, "node_probe")
    cluster.add_worker("z11")
    with cluster.shell("ansible-playbook", "playbooks/collect.yml", "--limit", node_id) as shell:
        wait_until(lambda: drill.are_in({node_id: "node_probe"}), 60, what="the playbook is there")
        shell.gate.cut()
        free = "SELECT 1 FROM job_node WHERE node_id = %s AND NOT active"
        wait_until(lambda: cluster.ask(free, node_id), TRUE_WITHIN, what="the machine is free")
        assert shell.has_ended()
    assert statuses(cluster, "z10") == {("pending", "new")}


def test_who_is_cut_off_from_the_database_soon_says_so(cluster: Cluster) -> None:
    place = make_url(cluster.database_url)
    with Gate(place.port or 0) as gate, gate.host.inside():
        engine = open_database(place.set(port=gate.port).render_as_string(hide_password=False))
        with reading(engine) as connection:
            connection.execute(text("SELECT 1"))
        gate.cut()
        begin = time.monotonic()
        with pytest.raises(Busy), reading(engine) as connection:
            connection.execute(text("SELECT 1"))
        assert time.monotonic() - begin < 25
        gate.mend()
        engine.dispose()


def test_clocks_may_be_wrong_and_jump(
    cluster: Cluster, drill: Drill, held: Held, tmp_path: Path
) -> None:
    ahead, behind, jumping = (
        WrongClock(tmp_path, name, hours) for name, hours in (("a", 1), ("b", -1), ("c", 0))
    )
    workers = [
        cluster.add_worker("z6", concurrency=1, environment=clock.environment)
        for clock in (ahead, behind, jumping)
    ]
    jobs = held.start("z6", LAST_STEPS)
    held.wait(jobs)
    by_worker = [held.of_worker(worker) for worker in workers]
    assert sorted(job_id for jobs_of_one in by_worker for job_id in jobs_of_one) == sorted(jobs)

    jumping.set(hours=1)
    cluster.do("UPDATE job_slice SET lease_until = lease_until - 3600")  # the database's, too
    wait_for_renewals(cluster, jobs, 2 * LEASE)
    assert held.attempts(jobs) == {1}

    held.let_go([*by_worker[0], *by_worker[2]])
    workers[1].kill()
    assert sorted(held.ends(jobs)) == [("successful", "", 1)] * 2 + [("successful", "", 2)]
    assert drill.driven_by_two() == []


def test_a_full_disk_is_named_and_no_status_stays_wrong(cluster: Cluster, held: Held) -> None:
    cluster.add_worker("z7", prefix=in_full("/dev/shm"))
    cluster.add_worker("z8", prefix=in_full("$FIRSTBOX_HOME/runs"))
    no_room, output_lost = (
        held.start(zone_id, [(JobAction.COLLECT_NODES, "")]) for zone_id in ("z7", "z8")
    )

    assert held.ends(no_room) == [("failed", "worker_lost", 3)]
    full = [line for line in held.log(no_room[0]) if "No space left on device" in line]
    assert len(full) == 3
    assert statuses(cluster, "z7") == {("pending", "new")}
    assert held.ends(output_lost) == [("successful", "", 1)]


def assert_taken_over(ends: list[tuple[str, str, int]]) -> None:
    """All went well in another attempt; on a busy host one may fall silent once more."""
    assert {end[:2] for end in ends} == {("successful", "")}
    assert all(attempt > 1 for *_, attempt in ends)


def statuses(cluster: Cluster, zone_id: str) -> set[tuple[str, str]]:
    """Status of node and machine of all machines in a zone."""
    query = "SELECT n.status, b.status FROM node n JOIN bm_node b ON b.node_id = n.node_id"
    return set(cluster.ask(f"{query} WHERE n.zone_id = %s", zone_id))


def wait_for_renewals(cluster: Cluster, job_ids: Sequence[str], seconds: float) -> None:
    """Wait until every one of these jobs' leases was renewed for so long."""
    least = "SELECT min(lease_until) FROM job_slice WHERE job_id = ANY(%s)"
    until = time.time() + seconds + LEASE
    wait_until(
        lambda: cluster.ask(least, list(job_ids))[0][0] > until,
        60,
        what="leases are renewed",
        pause=0.5,
    )


def in_full(directory: str) -> list[str]:
    """What starts a command on a host where the disk of `directory` is full."""
    mount = f'mkdir -p "{directory}" && mount -t tmpfs -o size=4k full "{directory}"'
    fill = f'cat /dev/zero >"{directory}/all" 2>/dev/null'
    return ["unshare", "--mount", "sh", "-c", f'{mount} && {{ {fill}; exec "$@"; }}', "sh"]
