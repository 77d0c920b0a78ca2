"""What machines BMCs belong to; the documentation stands in library/bmc_identify.py."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.found import (
    IDENTIFIED,
    SWEPT,
    Answering,
    Identity,
    read_identified,
    read_swept,
    write_found,
)
from api.bmc.operations import identify
from api.bmc.target import PORTS, BmcResult, BmcTarget
from api.registration.logging_in import Candidate, Outcome, Verdict, let_in
from api.registration.logins import REGISTERED, logins_for
from api.registration.plan import Login, Plan
from api.settings import Settings, load_settings
from api.states import ScanOutcome
from api.store.bm_nodes import get_bm_nodes
from api.store.bmc_logins import BmcLogins
from api.store.bmcs import bmc_targets, machines_at, record_answers
from api.store.installations import is_job, job_of_run
from api.store.jobs import say
from api.store.scans import put_results, read_plan
from api.store.session import open_database, reading, writing

# Columns of a scan's results that are fields of an identity.
_TOLD = (
    *("bmc_type", "bmc_port", "credential", "brand", "product", "serial_number", "bmc_mac"),
    "power_state",
)
_PULSE = 10.0  # seconds between two lines of progress in a job's log


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: talks to BMCs, and never to the machines themselves."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "request": {"type": "str", "default": ""},
                "nodes": {"type": "list", "elements": "str", "default": []},
                "addresses": {"type": "list", "elements": "str", "required": True},
                "directory": {"type": "path", "required": True},
                "append": {"type": "bool", "default": False},
            }
        )
        place = Path(args["directory"])
        asked, nodes = set(args["addresses"]), set(args["nodes"])
        found = [
            one
            for one in read_swept(place / SWEPT)
            if one.address in asked and (not one.node or one.node in nodes)
        ]
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            scan = _read(engine, settings, args["request"], found)
            results = _identify(engine, settings, scan)
            identities = [one.identity for one in results if one.identity is not None]
            before = read_identified(place / IDENTIFIED) if args["append"] else []
            write_found(place / IDENTIFIED, [*before, *identities])
            _record(engine, scan, results, is_dry=scan.plan.dry_run or self._task.check_mode)
        finally:
            engine.dispose()
        return {"changed": False, "results": [one.as_dict() for one in results]}


@dataclass(frozen=True, slots=True)
class _Scan:
    """What is to be asked, and what is known of it."""

    plan: Plan
    found: Sequence[Answering]
    machines: Mapping[str, str]  # registered at the address: address -> node id
    targets: Mapping[str, BmcTarget]  # and how to log in there, by node id
    serial_numbers: Mapping[str, str]  # by node id


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of one BMC; `outcome` is None where nobody had a login to try."""

    answering: Answering
    outcome: Outcome | None = None
    identity: Identity | None = None

    @property
    def message(self) -> str:
        if self.outcome is None:
            return "answers, and no credential is given for it"
        said = self.outcome.result.message
        return f"{said}; credential {self.outcome.credential}" if self.identity else said

    @property
    def reason(self) -> str:
        return self.outcome.result.reason if self.outcome else ""

    def as_dict(self) -> dict[str, Any]:
        """As tasks that work on many machines answer it."""
        return {
            "address": self.answering.address,
            "node": self.answering.node,
            "ok": self.outcome is None or self.identity is not None,
            "reason": self.reason,
            "message": self.message,
            "credential": self.identity.credential if self.identity else "",
        }

    def as_row(self) -> dict[str, Any]:
        """As the table of a scan's results keeps it."""
        row: dict[str, Any] = {
            "address": self.answering.address,
            "node_id": self.answering.node,
            "reason": self.reason,
            "message": self.message,
        }
        if self.outcome is None:
            return row | {"outcome": ScanOutcome.FOUND}
        if self.identity is None:
            return row | {"outcome": ScanOutcome.FAILED}
        told = {name: getattr(self.identity, name) for name in _TOLD}
        boot_macs = list(self.identity.boot_macs)
        return row | told | {"boot_macs": boot_macs, "outcome": ScanOutcome.IDENTIFIED}


@dataclass
class _Pulse:
    """Says in the job's log how far a round is."""

    engine: Engine
    total: int = 0
    heard: int = 0
    round: int = 0
    due: float = field(default_factory=lambda: time.monotonic() + _PULSE)

    def begin(self, total: int) -> None:
        self.round, self.total, self.heard = self.round + 1, total, 0

    def __call__(self, _result: BmcResult) -> None:
        self.heard += 1
        if is_job() and time.monotonic() > self.due:
            self.due = time.monotonic() + _PULSE
            text = f"login {self.round}: {self.heard} of {self.total} BMCs have answered"
            with writing(self.engine) as connection:
                say(connection, job_of_run(), text)


class _Limits:
    """The logins that BMCs refused, a transaction for each question."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._logins = BmcLogins(settings)

    def claim(self, attempts: Sequence[BmcTarget]) -> Sequence[Verdict]:
        with writing(self._engine) as connection:
            return self._logins.claim(connection, attempts)

    def release(self, attempts: Mapping[BmcTarget, bool]) -> None:
        with writing(self._engine) as connection:
            self._logins.release(connection, attempts)


def _read(engine: Engine, settings: Settings, request: str, found: Sequence[Answering]) -> _Scan:
    with reading(engine) as connection:
        plan = read_plan(connection, settings, request)
        machines = machines_at(connection, [one.address for one in found])
        machines |= {one.address: one.node for one in found if one.node}
        rows = get_bm_nodes(connection, machines.values())
        return _Scan(
            plan=plan,
            found=found,
            machines=machines,
            targets=bmc_targets(connection, settings, list(machines.values())),
            serial_numbers={node_id: row.serial_number for node_id, row in rows.items()},
        )


def _identify(engine: Engine, settings: Settings, scan: _Scan) -> list[_Result]:
    pulse = _Pulse(engine)

    def ask(targets: Sequence[BmcTarget]) -> Sequence[BmcResult]:
        pulse.begin(len(targets))
        return ask_bmcs(targets, identify(), heard=pulse, **settings.bmc_limits)

    candidates = [_candidate(scan, one, settings.bmc_interval) for one in scan.found]
    ready = [one for one in candidates if one.ways and one.logins]
    outcomes = let_in(ready, _Limits(engine, settings), ask)
    return [_result(one, outcomes.get(one.address)) for one in scan.found]


def _candidate(scan: _Scan, answering: Answering, interval: float) -> Candidate:
    known = scan.targets.get(scan.machines.get(answering.address, ""))
    own = Login(REGISTERED, known.username, known.password) if known else None
    if answering.node:  # as it is registered, and not otherwise
        ways = [replace(known, node=answering.address)] if known else []
        return Candidate(ways, [own] if own else [])
    ways = [
        BmcTarget(
            node=answering.address,
            address=answering.address,
            port=answering.kinds[kind],
            kind=kind,
            username="",
            password="",
            certificate=known.certificate if known and known.kind == kind else "",
            interval=interval,
        )
        for kind in scan.plan.kinds
        if kind in answering.kinds
    ]
    return Candidate(ways, logins_for(scan.plan, answering.address, own))


def _result(answering: Answering, outcome: Outcome | None) -> _Result:
    if outcome is None or not outcome.result.ok:
        return _Result(answering, outcome)
    target, told = outcome.target, outcome.result.details
    identity = Identity(
        address=answering.address,
        node=answering.node,
        bmc_type=target.kind,
        bmc_port=0 if target.port == PORTS[target.kind] else target.port,
        credential=outcome.credential,
        power_state=outcome.result.power,
        certificate=outcome.result.certificate,
        boot_macs=tuple(told["boot_macs"]),
        **{name: told[name] for name in ("brand", "product", "serial_number", "bmc_mac")},
        hardware=told["hardware"],
    )
    return _Result(answering, outcome, identity)


def _record(engine: Engine, scan: _Scan, results: Sequence[_Result], *, is_dry: bool) -> None:
    answers = [] if is_dry else [one for result in results if (one := _answer(scan, result))]
    with writing(engine) as connection:
        record_answers(connection, answers)
        if is_job():
            put_results(connection, job_of_run(), [result.as_row() for result in results])


def _answer(scan: _Scan, result: _Result) -> BmcResult | None:
    """What is to be remembered of a registered machine, if it is that machine that answered."""
    node_id = scan.machines.get(result.answering.address, "")
    if not node_id or result.outcome is None or result.identity is None:
        return None
    serial_number = scan.serial_numbers.get(node_id, "")
    if serial_number and result.identity.serial_number not in ("", serial_number):
        return None
    answer = replace(result.outcome.result, node=node_id)
    is_as_registered = scan.targets[node_id].kind == result.identity.bmc_type
    return answer if is_as_registered else replace(answer, certificate="")
