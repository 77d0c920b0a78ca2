"""Worker processes: what one BMC did to its process reaches no other BMC."""

import asyncio
import os
import signal
from typing import Any

import pytest

from api.bmc.crew import Crew, CrewLost, Worker
from tests.lab.bmc import Profile, Simulator

ADDRESS = "127.0.88.230"


def job(address: str = ADDRESS, operation: str = "read_power") -> dict[str, Any]:
    profile = Profile()
    login = {"username": profile.username, "password": profile.password}
    target = {"node": "n-one", "address": address, "port": 623, "kind": "ipmi", **login}
    return {"target": target, "operation": {"name": operation, "parameters": {}}, "slowness": 0.0}


def with_one_worker(use: Any) -> Any:
    async def run() -> Any:
        async with Crew(1, ["ipmi"]) as crew:
            return await use(crew.workers[0])

    with Simulator([ADDRESS]):
        return asyncio.run(run())


def test_process_that_a_library_spoilt_is_replaced() -> None:
    async def use(worker: Worker) -> list[Any]:
        return [await worker.do(job(operation=name), 20) for name in ("no such", "read_power")]

    spoilt, well = with_one_worker(use)

    assert (spoilt["ok"], spoilt["reason"]) == (False, "bmc_refused")
    assert "KeyError" in spoilt["message"]
    assert (well["ok"], well["message"]) == (True, "is off")


ON: dict[str, Any] = {"operation": {"name": "power_on", "parameters": {"deadline": 5}}}


def test_process_that_died_between_two_jobs_is_replaced() -> None:
    async def use(worker: Worker) -> list[Any]:
        first = await worker.do(job(), 20)
        os.kill(worker._pid, signal.SIGKILL)
        return [first, await worker.do(job() | ON, 20)]

    assert [answer["message"] for answer in with_one_worker(use)] == ["is off", "is on"]


def test_process_that_died_under_its_job_answers_for_no_other() -> None:
    async def use(worker: Worker) -> list[Any]:
        asking = asyncio.create_task(worker.do(job("127.0.88.231"), 3))  # nobody is there
        await asyncio.sleep(1)
        os.kill(worker._pid, signal.SIGKILL)
        return [await asking, await worker.do(job() | ON, 20)]

    lost, well = with_one_worker(use)

    assert (lost, well["message"]) == (None, "is on")


def test_answer_that_comes_too_late_is_taken_for_no_other() -> None:
    async def use(worker: Worker) -> list[Any]:
        return [await worker.do(job(), 0), await worker.do(job() | ON, 20)]

    late, well = with_one_worker(use)

    assert (late, well["message"]) == (None, "is on")


def test_processes_that_cannot_start_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(worker: Worker) -> Any:
        return await worker.do(job(), 20)

    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(CrewLost, match="could not be started"):
        with_one_worker(use)
