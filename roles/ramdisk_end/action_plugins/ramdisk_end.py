"""Out of the ramdisk; the documentation stands in library/ramdisk_end.py."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import Operation, boot_from_disk, power_off
from api.bmc.target import BmcTarget
from api.settings import Settings, load_settings
from api.ssh.session import Sessions
from api.ssh.target import Refused, Result, Target, ask_all
from api.states import ADVICE, Reason
from api.store.bmcs import bmc_targets, record_answers
from api.store.boots import boots_of_nodes, say, set_local
from api.store.installations import (
    job_of_run,
    ramdisk_target,
    read_installations,
    with_systems,
)
from api.store.session import open_database, writing

_SPARE = 600.0  # seconds for which what a machine asks of DHCP is still logged
_GONE = 60.0  # seconds a ramdisk has to end itself
_LOOK = 2.0  # between two tries to find it
_TRY = 10.0  # seconds one of them may take
# The kernel's own way, which needs no program. Later, so that the login can end first.
_ORDER = "(sleep 1; echo {key} >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &\n"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: talks to BMCs, and to the ramdisks of machines without one."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "others": {"type": "list", "elements": "str", "default": []},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            step = _RamdiskEnd(engine, settings, args["nodes"] + args["others"])
            ended = step.end()
            step.tell(ended[node] for node in args["others"] if node in ended)
        finally:
            engine.dispose()
        results = [
            ended.get(node) or Result(node, True, "is left as it is") for node in args["nodes"]
        ]
        return {"changed": True, "results": [result.as_dict() for result in results]}


class _RamdiskEnd:
    """One run of the step, for those machines that this run booted."""

    def __init__(self, engine: Engine, settings: Settings, nodes: list[str]) -> None:
        self._engine = engine
        self._settings = settings
        job_id = job_of_run()
        with writing(engine) as connection:
            boots = boots_of_nodes(connection, nodes)
            self._boots = {node: boot for node, boot in boots.items() if boot.job_id == job_id}
            ours = list(self._boots)
            set_local(connection, ours, settings.power_deadline + _SPARE)
            self._found = read_installations(connection, ours)
            self._systems = with_systems(connection, ours)
            self._targets = bmc_targets(connection, settings, ours)

    def end(self) -> dict[str, Result]:
        """What became of each machine."""
        seconds = self._settings.power_deadline
        by_bmc = self._targets
        to_disk = {node: by_bmc[node] for node in by_bmc if node in self._systems}
        to_off = {node: by_bmc[node] for node in by_bmc if node not in self._systems}
        results = self._order(to_disk, boot_from_disk(seconds))
        results += self._order(to_off, power_off(seconds))
        results += self._leave([node for node in self._found if node not in by_bmc])
        return {result.node: result for result in results}

    def tell(self, results: Iterable[Result]) -> None:
        """Into the log alone: of a machine that failed, the failure stays the last word."""
        for result in results:
            text = result.message
            if not result.ok:
                text = f"{text}. {ADVICE[Reason(result.reason)]}"
            with writing(self._engine) as connection:
                say(connection, self._boots[result.node], text, is_failure=not result.ok)

    def _order(self, targets: Mapping[str, BmcTarget], operation: Operation) -> list[Result]:
        answers = ask_bmcs(targets.values(), operation, **self._settings.bmc_limits)
        with writing(self._engine) as connection:
            record_answers(connection, answers)
        return [Result(a.node, a.ok, a.message, a.reason) for a in answers]

    def _leave(self, nodes: list[str]) -> list[Result]:
        """Machines without a BMC of ours end the ramdisk themselves."""
        sessions = Sessions()

        async def leave(target: Target) -> str:
            is_system = target.node in self._systems
            await sessions.run(target, _ORDER.format(key="b" if is_system else "o"))
            await _gone(sessions, target)
            return "boots from its disk" if is_system else "has switched itself off"

        up = [self._found[node] for node in nodes if self._boots[node].address]
        targets = [ramdisk_target(self._settings, one) for one in up]
        results = ask_all(targets, leave, deadline=_GONE, at_once=64, last=sessions.close)
        return [
            _still_there(result) if result.reason == Reason.TIMEOUT else result
            for result in results
        ]


async def _gone(sessions: Sessions, target: Target) -> None:
    """Return when the ramdisk does not answer any more."""
    while True:
        await asyncio.sleep(_LOOK)
        try:
            async with asyncio.timeout(_TRY):
                await sessions.run(target, "exit\n")
        except (Refused, TimeoutError):
            return


def _still_there(result: Result) -> Result:
    message = f"still runs the ramdisk {_GONE:g} s after it was told to end it"
    return Result(result.node, False, message, Reason.POWER_UNCHANGED)
