"""Who answers as a BMC; the documentation stands in library/bmc_sweep.py."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.found import SWEPT, Answering, write_found
from api.bmc.sweep import Registered, sweep, sweep_registered
from api.errors import FirstboxError
from api.registration.addresses import is_allowed, is_allowed_range
from api.registration.plan import Plan
from api.settings import Settings, load_settings
from api.states import Reason, ScanOutcome
from api.store.bmcs import bmc_targets
from api.store.installations import is_job, job_of_run
from api.store.jobs import say
from api.store.scans import put_results, read_plan
from api.store.session import open_database, reading, writing

_PULSE = 5.0  # least seconds between two lines of progress in a job's log,
_STEP = 0.1  # which part more should have been asked meanwhile,
_LONG = 30.0  # and seconds after which there is a line all the same


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller, in check mode too: asking changes nothing."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "request": {"type": "str", "default": ""},
                "nodes": {"type": "list", "elements": "str", "default": []},
                "directory": {"type": "path", "required": True},
                "silence": {"type": "float"},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            log = _Log(engine)
            silence = args["silence"] or settings.sweep_silence
            if args["nodes"]:
                found, results = _look_again(engine, settings, log, args["nodes"], silence)
            else:
                found, results = _search(engine, settings, log, args["request"], silence)
            _record(engine, found, results)
        except FirstboxError as error:
            raise AnsibleActionFail(str(error)) from None
        finally:
            engine.dispose()
        directory = Path(args["directory"])
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_found(directory / SWEPT, found)
        return {"changed": False, "results": results}


class _Log:
    """The log of the job, if there is one: a long sweep says in it how far it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last = time.monotonic()
        self._share = 0.0

    def say(self, text: str) -> None:
        """One line of our own."""
        if is_job():
            with writing(self._engine) as connection:
                say(connection, job_of_run(), text)

    def told(self, asked: int, total: int, answering: int) -> None:
        """How far the sweep is."""
        waited, done = time.monotonic() - self._last, asked / max(total, 1)
        if waited > _LONG or (waited > _PULSE and done - self._share > _STEP):
            self._last, self._share = time.monotonic(), done
            self.say(f"{done:.0%} asked, {answering} answer")


Found = tuple[list[Answering], list[dict[str, Any]]]  # who answers, and what the task says


def _search(engine: Engine, settings: Settings, log: _Log, request: str, silence: float) -> Found:
    with reading(engine) as connection:
        plan = read_plan(connection, settings, request)
    _refuse_others(plan, settings)
    found = sweep(
        [(one.start, one.end) for one in plan.ranges],
        plan.kinds,
        plan.ports,
        silence=silence,
        told=log.told,
        note=log.say,
    )
    count = "1 address answers" if len(found) == 1 else f"{len(found)} addresses answer"
    log.say(f"{count} as BMC")
    return found, [_answers(one) for one in found]


def _refuse_others(plan: Plan, settings: Settings) -> None:
    """Raise AnsibleActionFail for a range that was allowed once, and is not now."""
    for one in plan.ranges:
        if not is_allowed_range(one.start, one.end, settings.allowed_networks):
            message = f"{one.start} to {one.end} is outside the networks this service may talk to"
            raise AnsibleActionFail(message)


def _look_again(
    engine: Engine, settings: Settings, log: _Log, nodes: Sequence[str], silence: float
) -> Found:
    with reading(engine) as connection:
        targets = bmc_targets(connection, settings, nodes)
    machines = [
        Registered(one.node, one.address, one.kind, one.port)
        for one in targets.values()
        if is_allowed(one.address, settings.allowed_networks)
    ]
    found = sweep_registered(machines, silence=silence, told=log.told, note=log.say)
    answering = {one.node: one for one in found}
    asked = {one.node for one in machines}
    results = []
    for node in nodes:
        if node in answering:
            results.append(_answers(answering[node]))
        elif node not in targets:
            results.append(_fails(node, "", Reason.RECORD_REFUSED, "is not registered with a BMC"))
        elif node in asked:
            results.append(_fails(node, targets[node].address, Reason.BMC_SILENT, "says nothing"))
        else:
            message = "is outside the networks this service may talk to"
            results.append(_fails(node, targets[node].address, Reason.RECORD_REFUSED, message))
    return found, results


def _answers(one: Answering) -> dict[str, Any]:
    return _entry(one.node, one.address, f"answers {one.said}", "")


def _fails(node: str, address: str, reason: Reason, message: str) -> dict[str, Any]:
    return _entry(node, address, f"its BMC {address} {message}" if address else message, reason)


def _entry(node: str, address: str, message: str, reason: str) -> dict[str, Any]:
    """As tasks that work on many machines answer it."""
    return {
        "address": address,
        "node": node,
        "ok": not reason,
        "reason": str(reason),
        "message": message,
    }


def _record(engine: Engine, found: Sequence[Answering], results: Sequence[dict[str, Any]]) -> None:
    """Keep what was found with the job's results, if there is a job."""
    if not is_job():
        return
    spoken = {one.address: next(iter(one.kinds.items())) for one in found}
    rows = [_row(result, *spoken.get(result["address"], ("", 0))) for result in results]
    with writing(engine) as connection:
        put_results(connection, job_of_run(), [row for row in rows if row["address"]])


def _row(result: dict[str, Any], kind: str, port: int) -> dict[str, Any]:
    return {
        "address": result["address"],
        "outcome": ScanOutcome.FOUND if result["ok"] else ScanOutcome.FAILED,
        "node_id": result["node"],
        "bmc_type": kind,
        "bmc_port": port,
        "reason": result["reason"],
        "message": result["message"],
    }
