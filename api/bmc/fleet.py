"""One operation on many BMCs, each with its own result: a BMC's trouble is that BMC's alone."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from api.bmc.crew import Crew, CrewLost, Worker
from api.bmc.operations import PASSING, Operation, give_up
from api.bmc.presence import Presence
from api.bmc.target import BmcResult, BmcTarget
from api.states import PowerState, Reason

_LONGEST_PAUSE = 8.0  # seconds between two conversations with the same BMC
_PAUSE = 1.0  # the first one; it doubles


@dataclass(frozen=True, slots=True)
class _Task:
    """What is left to do with one BMC."""

    target: BmcTarget
    operation: Operation
    slowness: float  # seconds it took to answer
    began: float
    tries: int = 0
    changed: bool = False  # a conversation before gave an order


def ask_bmcs(
    targets: Iterable[BmcTarget],
    operation: Operation,
    *,
    deadline: float,
    silence: float,
    processes: int,
    heard: Callable[[BmcResult], None] | None = None,
) -> list[BmcResult]:
    """Do it on all of them, `processes` at a time; the results in the targets' order.

    A BMC that does not answer at all is given up after `silence` seconds, and a conversation after
    `deadline`. `heard` is called with each result as it comes. Raises CrewLost when we ourselves have
    no processes to ask with.
    """
    wanted = list(targets)
    if not wanted:
        return []
    fleet = _Fleet(operation, deadline, silence, heard)
    try:
        asyncio.run(fleet.ask(wanted, min(processes, len(wanted))))
    except* CrewLost as lost:
        raise lost.exceptions[0] from None
    return [fleet.results[target.node] for target in wanted]


class _Fleet:
    """One call of `ask_bmcs`."""

    def __init__(
        self,
        operation: Operation,
        deadline: float,
        silence: float,
        heard: Callable[[BmcResult], None] | None,
    ) -> None:
        self._operation = operation
        self._deadline = deadline
        self._silence = silence
        self._heard = heard
        self._tasks: asyncio.Queue[_Task] = asyncio.Queue()
        self._left = asyncio.Semaphore(0)
        self.results: dict[str, BmcResult] = {}

    async def ask(self, targets: list[BmcTarget], size: int) -> None:
        presence = Presence(targets, self._silence)
        try:
            async with (
                Crew(size, {target.kind for target in targets}) as crew,
                asyncio.TaskGroup() as group,
            ):
                self._group = group
                working = [group.create_task(self._work(worker)) for worker in crew.workers]
                for target in targets:
                    group.create_task(self._look_for(presence, target))
                for _ in targets:
                    await self._left.acquire()
                for work in working:
                    work.cancel()
        finally:
            await presence.close()

    async def _look_for(self, presence: Presence, target: BmcTarget) -> None:
        seconds = await presence.seconds(target)
        if seconds is None:
            message = f"does not answer at {target.address} port {target.port}"
            self._end(BmcResult(target.node, False, message, Reason.BMC_SILENT.value))
        else:
            await self._tasks.put(_Task(target, self._operation, seconds, time.monotonic()))

    async def _work(self, worker: Worker) -> None:
        while True:
            task = await self._tasks.get()
            job = {
                "target": asdict(task.target),
                "operation": asdict(task.operation),
                "slowness": task.slowness,
            }
            answer = await worker.do(job, self._deadline)
            if answer is None:
                message = f"gave no complete answer within {self._deadline:g} s"
                answer = {"ok": False, "reason": Reason.BMC_SILENT, "message": message}
            self._take(task, answer)

    def _take(self, task: _Task, answer: dict[str, Any]) -> None:
        """The end of it, or the next conversation."""
        task = replace(task, changed=task.changed or answer.get("changed", False))
        if answer["ok"] and answer["then"]:
            then = Operation(**answer["then"])
            same = then.name == task.operation.name
            tries = task.tries + 1 if same else 0
            self._come_back(replace(task, operation=then, tries=tries))
        elif not answer["ok"] and self._may_pass(task, Reason(answer["reason"])):
            self._come_back(replace(task, tries=task.tries + 1))
        else:
            self._end(_result(task, answer))

    def _may_pass(self, task: _Task, reason: Reason) -> bool:
        until = give_up(task.operation)
        if until is not None:
            return reason in PASSING and time.monotonic() < until
        return reason == Reason.BMC_BUSY and time.monotonic() - task.began < self._deadline

    def _come_back(self, task: _Task) -> None:
        pause = min(_PAUSE * 2**task.tries, _LONGEST_PAUSE)
        pause *= random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, no secret
        self._group.create_task(self._put_after(pause, task))

    async def _put_after(self, pause: float, task: _Task) -> None:
        await asyncio.sleep(pause)
        await self._tasks.put(task)

    def _end(self, result: BmcResult) -> None:
        self.results[result.node] = result
        if self._heard is not None:
            self._heard(result)
        self._left.release()


def _result(task: _Task, answer: dict[str, Any]) -> BmcResult:
    return BmcResult(
        node=task.target.node,
        ok=answer["ok"],
        message=answer["message"],
        reason="" if answer["ok"] else str(answer["reason"]),
        power=PowerState(answer.get("power", "")),
        certificate=answer.get("certificate", ""),
        changed=task.changed,
        details=answer.get("details", {}),
    )
