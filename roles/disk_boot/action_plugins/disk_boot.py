"""From the ramdisk to the machine's own system; the documentation stands in library/disk_boot.py."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import Operation, await_off, boot_from_disk
from api.bmc.target import BmcResult
from api.settings import Settings, load_settings
from api.ssh.session import Sessions
from api.ssh.target import Refused, Result, Target, ask_all
from api.ssh.whereabouts import expect_system
from api.states import BootMethod, Reason
from api.store.bmcs import bmc_targets, record_answers
from api.store.boots import get_boots, say, set_local
from api.store.installations import Installation, read_installations, system_target
from api.store.session import open_database, reading, writing

_LOOK = 3.0  # seconds between two tries to log in to a machine that boots
_TRY = 15.0  # seconds one try may take
_SPARE = 3600.0  # seconds for which what a machine asks of DHCP is still logged
# What a try to log in says while a system boots, and at its end is the verdict.
_PASSING = frozenset(
    {
        Reason.SSH_SILENT,
        Reason.SSH_CLOSED,
        Reason.SSH_REFUSED,
        Reason.OS_SILENT,
        Reason.ADDRESS_IN_USE,
        Reason.PROBE_INCOMPLETE,
    }
)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: talks to BMCs, then tries to log in until each system answers."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "booting": {"type": "list", "elements": "str", "default": []},
                "deadline": {"type": "float", "default": 900},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            failed, booting = _boot(engine, settings, args["nodes"], args["booting"])
            results = failed + _wait(engine, settings, booting, args["deadline"])
        finally:
            engine.dispose()
        return {"changed": True, "results": [result.as_dict() for result in results]}


def _boot(
    engine: Engine, settings: Settings, nodes: list[str], booting: list[str]
) -> tuple[list[Result], dict[str, Installation]]:
    """Switch machines over to their disks: those that could not be, and all that boot from them."""
    with writing(engine) as connection:
        found = read_installations(connection, nodes)
        under_way = read_installations(connection, booting)
        set_local(connection, nodes + booting, settings.os_deadline + _SPARE)
    # An installer reports its end before the file systems are unmounted, and then switches off.
    ending = await_off(settings.soft_off_deadline, hard_after=settings.power_deadline)
    theirs = {node: one for node, one in found.items() if _has_installer(one)}
    ended = _order(engine, settings, theirs, ending)
    lost = {answer.node for answer in ended if not answer.ok}
    left = {node: one for node, one in found.items() if node not in lost}
    answers = _order(engine, settings, left, boot_from_disk(settings.power_deadline))
    failed = [Result(a.node, False, a.message, a.reason) for a in ended + answers if not a.ok]
    return failed, under_way | {a.node: found[a.node] for a in answers if a.ok}


def _order(
    engine: Engine, settings: Settings, found: Mapping[str, Installation], operation: Operation
) -> list[BmcResult]:
    """One operation on the BMCs of these machines."""
    with reading(engine) as connection:
        targets = bmc_targets(connection, settings, list(found))

    def heard(answer: BmcResult) -> None:  # at once, so that the log is in order of time
        boot = found[answer.node].boot
        with writing(engine) as connection:
            record_answers(connection, [answer])
            if answer.ok and boot is not None:
                say(connection, boot, f"BMC: {answer.message}")

    return ask_bmcs(targets.values(), operation, **settings.bmc_limits, heard=heard)


def _has_installer(installation: Installation) -> bool:
    boot = installation.boot
    return boot is not None and boot.method != BootMethod.IMAGE


def _wait(
    engine: Engine, settings: Settings, found: Mapping[str, Installation], deadline: float
) -> list[Result]:
    sessions = Sessions()
    started = time.monotonic()
    last: dict[str, Refused] = {}  # what each machine's last try said

    async def wait(target: Target) -> str:
        provision_id = found[target.node].machine.provision_id
        while True:
            try:
                async with asyncio.timeout(_TRY):
                    await expect_system(sessions, target, provision_id)
                seconds = time.monotonic() - started
                return f"runs its own system at {target.address}, {seconds:.0f} s after power-on"
            except TimeoutError:
                last[target.node] = Refused(Reason.SSH_SILENT, "did not answer SSH")
            except Refused as refused:
                if refused.reason not in _PASSING:
                    raise
                last[target.node] = refused
            await asyncio.sleep(_LOOK)

    targets = [system_target(settings, one) for one in found.values()]
    results = ask_all(
        targets, wait, deadline=deadline, at_once=len(targets) or 1, last=sessions.close
    )
    late = [result.node for result in results if result.reason == Reason.TIMEOUT]
    verdicts = _verdicts(engine, {node: found[node] for node in late}, last, deadline)
    return [verdicts.get(result.node, result) for result in results]


def _verdicts(
    engine: Engine,
    late: Mapping[str, Installation],
    last: Mapping[str, Refused],
    deadline: float,
) -> dict[str, Result]:
    """Why a system did not answer in time, out of what was seen last."""
    ids = [one.boot.boot_id for one in late.values() if one.boot is not None]
    with reading(engine) as connection:
        boots = get_boots(connection, ids)
    verdicts = {}
    for node in late:
        refused = last.get(node, Refused(Reason.SSH_SILENT, "did not answer SSH"))
        reason, message = refused.reason, f"{refused}, {deadline:.0f} s after power-on"
        if node in boots and boots[node].again_time is not None:
            reason, message = Reason.BOOTS_NETWORK_AGAIN, "asked for a network boot once more"
        elif reason in (Reason.SSH_SILENT, Reason.SSH_CLOSED):
            reason = Reason.OS_SILENT
        verdicts[node] = Result(node, False, message, reason)
    return verdicts
