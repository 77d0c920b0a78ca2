"""Jobs through the real service on real SSH hosts: their way, their ends, and who survives whom."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import SshFarm
from tests.service import Service, children, processes_of, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

FIRST, LAST, COUNT = "127.0.40.1", "127.0.40.60", 60


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshFarm]:
    with SshFarm(tmp_path_factory.mktemp("farm"), count=COUNT, first=FIRST, port=2240) as farm:
        yield farm


@pytest.fixture
def service(farm: SshFarm, tmp_path: Path) -> Iterator[Service]:
    with Service(
        tmp_path / "home", ssh_port=farm.port, ssh_private_key=farm.private_key, lease=12
    ) as service:
        yield service


def add(service: Service, last: str = LAST) -> dict[str, Any]:
    return service.done("AddNodes", ip_start=FIRST, ip_end=last)


def test_added_nodes_are_collected_step_by_step(service: Service) -> None:
    added = add(service)
    seen: list[tuple[str, str]] = []

    def is_over() -> bool:
        status = service.status(added["job_id"])
        moment = (status["pre_status"], status["status"])
        seen.extend([] if moment in seen else [moment])
        return status["status"] in ("successful", "failed")

    wait_until(is_over, 60, what="the job is over")

    assert seen[0] == ("", "step0")
    assert seen[-1] == ("step2", "successful")
    assert ("step0", "step1") in seen  # seen while it ran, not afterwards
    nodes = service.nodes()
    assert len(nodes) == COUNT
    assert {node["status"] for node in nodes.values()} == {"available"}
    assert nodes[FIRST]["hostname"] == "farm001"
    lines = service.log(added["job_id"], job_status="step1")
    assert len(lines) == COUNT + 1
    assert any(line.startswith(f"{added['node_ids'][0]} {FIRST}: has ") for line in lines)


def test_cancel_ends_every_process_within_12_seconds(service: Service) -> None:
    job_id = add(service)["job_id"]
    service.wait_for(job_id, "step1")
    wait_until(lambda: len(processes_of(job_id)) >= 4, 5, what="guard, run, Ansible and a worker")
    sessions = {os.getsid(pid) for pid in processes_of(job_id)}
    assert len(sessions) > 2  # Ansible's workers made sessions of their own

    cancelled = time.monotonic()
    service.done("CancelJob", job_id=job_id)
    wait_until(lambda: not processes_of(job_id), 12, what="no process of the job is left")

    status = service.wait_for(job_id, seconds=12 - (time.monotonic() - cancelled))
    assert (status["status"], status["reason"]) == ("failed", "cancelled")
    assert {node["status"] for node in service.nodes().values()} <= {"pending", "available"}


def test_a_job_cancelled_in_the_queue_never_runs(service: Service) -> None:
    os.kill(service.worker(), signal.SIGSTOP)
    try:
        job_id = add(service)["job_id"]
        service.done("CancelJob", job_id=job_id)
    finally:
        os.kill(service.worker(), signal.SIGCONT)

    assert service.status(job_id)["reason"] == "cancelled"
    time.sleep(2)
    assert service.log(job_id) == [
        "CollectNodes: failed: cancelled before it began. "
        "Nothing to do: somebody cancelled the job. RetryJob runs what is left."
    ]


def test_a_job_survives_sigkill_of_the_service(service: Service) -> None:
    job_id = add(service)["job_id"]
    service.wait_for(job_id, "step1")

    service.kill()
    wait_until(lambda: not processes_of(job_id), 10, what="the orphaned run is ended")
    service.start()

    most_runs = 0

    def is_over() -> bool:
        nonlocal most_runs
        runs = [line for line in processes_of(job_id).values() if "guard.py" in line]
        most_runs = max(most_runs, len(runs))
        return service.status(job_id)["status"] in ("successful", "failed")

    wait_until(is_over, 90, what="the job is taken up again and finished")
    assert service.status(job_id)["status"] == "successful"
    assert most_runs == 1
    assert any("attempt 2 begins" in line for line in service.log(job_id))
    assert not list(Path("/dev/shm").glob(f"firstbox-{job_id}.*"))
    assert service.done("DescribeJobs")["job_set"][0]["attempt"] == 2


def test_a_stopped_service_puts_its_job_back_at_once(service: Service) -> None:
    job_id = add(service)["job_id"]
    service.wait_for(job_id, "step1")

    service.stop()
    assert not processes_of(job_id)
    service.start()

    status = service.wait_for(job_id, seconds=25)  # no lease has to run out first
    assert status["status"] == "successful"


def test_a_killed_run_is_tried_again_at_once(service: Service) -> None:
    job_id = add(service)["job_id"]
    service.wait_for(job_id, "step1")

    guards = [pid for pid, line in processes_of(job_id).items() if "guard.py" in line]
    os.kill(children(guards[0])[0], signal.SIGKILL)

    status = service.wait_for(job_id, seconds=40)
    assert status["status"] == "successful"
    assert any("attempt 2 begins" in line for line in service.log(job_id))


def test_a_killed_worker_is_replaced(service: Service) -> None:
    worker = service.worker()
    os.kill(worker, signal.SIGKILL)

    wait_until(lambda: service.worker() != worker, 15, what="another worker")
    status = service.wait_for(add(service, "127.0.40.3")["job_id"])
    assert status["status"] == "successful"


def test_a_frozen_worker_loses_its_run_before_another_may_take_it(service: Service) -> None:
    job_id = add(service)["job_id"]
    service.wait_for(job_id, "step0")

    def run() -> list[int]:  # all but its guard, which is there a moment earlier
        return [pid for pid, line in processes_of(job_id).items() if "guard.py" not in line]

    wait_until(run, 10, what="the run has started")
    # The run is frozen too, so that it is still there when its guard grows tired of waiting.
    frozen = run()
    worker = service.worker()
    os.kill(worker, signal.SIGSTOP)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        wait_until(lambda: not processes_of(job_id), 12, what="the guard ended the run")
        assert time.monotonic() - stopped > 4  # it did wait for its worker
    finally:
        os.kill(worker, signal.SIGCONT)

    assert service.wait_for(job_id, seconds=60)["status"] == "successful"
