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


@pytest.mark.parametrize("moment", ["before a job", "under a job"])
def test_process_that_dies_answers_for_no_other_bmc(moment: str) -> None:
    async def use(worker: Worker) -> list[Any]:
        answers = [await worker.do(job(), 20)]
        if moment == "before a job":
            os.kill(worker._pid, signal.SIGKILL)
            answers.append(await worker.do(job(), 20))
        else:
            asking = asyncio.create_task(worker.do(job("127.0.88.231"), 4))  # nobody is there
            await asyncio.sleep(0.3)
            os.kill(worker._pid, signal.SIGKILL)
            answers.append(await asking)
        answers.append(
            await worker.do(
                job() | {"operation": {"name": "power_on", "parameters": {"deadline": 5}}}, 20
            )
        )
        return answers

    first, second, third = with_one_worker(use)

    assert first["message"] == "is off"
    assert (second and second["message"]) == ("is off" if moment == "before a job" else None)
    assert third["message"] == "is on"


def test_processes_that_cannot_start_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(worker: Worker) -> Any:
        return await worker.do(job(), 20)

    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(CrewLost, match="could not be started"):
        with_one_worker(use)
