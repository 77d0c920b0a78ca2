"""What BMCs told, into the node database; the documentation stands in library/bmc_register.py."""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.found import IDENTIFIED, Identity, read_identified
from api.errors import FirstboxError
from api.registration.deciding import Decision, Scan, sentence
from api.settings import Settings, load_settings
from api.states import Reason, ScanOutcome
from api.store.installations import is_job, job_of_run
from api.store.registrations import read_known, read_owners, write_decisions
from api.store.scans import put_results, read_plan
from api.store.sealing import Seal
from api.store.session import open_database, reading, writing


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller; needs the node database and nothing of the machines."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "src": {"type": "path", "required": True},
                "request": {"type": "str", "default": ""},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            identities = _identities(Path(args["src"]), set(args["nodes"]))
            results, changed = _register(
                engine, settings, identities, args["request"], check_mode=self._task.check_mode
            )
        except FirstboxError as error:
            raise AnsibleActionFail(error.message) from error
        finally:
            engine.dispose()
        return {"changed": changed, "results": results}


def _identities(directory: Path, nodes: set[str]) -> list[Identity]:
    """What was found of these nodes, or, without any, in ranges."""
    source = directory / IDENTIFIED
    if not source.is_file():
        raise FirstboxError(f"BMCs were not asked: there is no {source}.")
    found = read_identified(source)
    return [one for one in found if (one.node in nodes if nodes else not one.node)]


def _register(
    engine: Engine,
    settings: Settings,
    identities: list[Identity],
    request: str,
    *,
    check_mode: bool,
) -> tuple[list[dict[str, Any]], bool]:
    seal, job = Seal(settings.keys), job_of_run() if is_job() else ""
    with reading(engine) as connection:
        plan = read_plan(connection, settings, request)
        scan = Scan(identities, plan, settings.allowed_networks)
        known = read_known(connection, seal, identities, own_job=job)
        decisions = scan.decide(known, read_owners(connection, scan.claims()))
    node_ids: dict[str, str] = {}
    refused: dict[str, str] = {}
    writes = not (plan.dry_run or check_mode)
    if writes:
        node_ids, refused = write_decisions(engine, seal, decisions, own_job=job)
    rows = [_row(one, node_ids, refused, is_done=writes) for one in decisions]
    if job:
        with writing(engine) as connection:
            put_results(connection, job, rows)
    changes = {ScanOutcome.NEW, ScanOutcome.UPDATED}
    return [_entry(one, row) for one, row in zip(decisions, rows, strict=True)], any(
        row["outcome"] in changes for row in rows
    )


def _row(
    decision: Decision, node_ids: dict[str, str], refused: dict[str, str], *, is_done: bool
) -> dict[str, Any]:
    """As the scan's results keep it."""
    address = decision.identity.address
    node_id = node_ids.get(address, decision.node_id)
    is_refused = address in refused
    outcome = ScanOutcome.CONFLICT if is_refused else decision.outcome
    return {
        "address": address,
        "outcome": outcome.value,
        "node_id": node_id,
        "reason": Reason.SCAN_CONFLICT.value if outcome == ScanOutcome.CONFLICT else "",
        "message": refused[address] if is_refused else sentence(decision, node_id, is_done=is_done),
    }


def _entry(decision: Decision, row: dict[str, Any]) -> dict[str, Any]:
    """As the run's log tells it: what a scan of ranges finds is no node of the run."""
    return {
        "address": row["address"],
        "node": decision.identity.node,
        "ok": row["outcome"] != ScanOutcome.CONFLICT,
        "reason": row["reason"],
        "outcome": row["outcome"],
        "message": row["message"],
    }
