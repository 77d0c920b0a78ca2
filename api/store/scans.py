"""What scans were asked and what they found."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from api.errors import FirstboxError, Malformed
from api.registration.plan import Plan, plan_of_options
from api.registration.scan_request import ScanOptions, plan_of_request
from api.settings import Settings
from api.store.ids import chunks
from api.store.installations import is_job, job_of_run
from api.store.jobs import JOB
from api.store.nodes import address_order
from api.store.sealing import Seal
from api.store.tables import ScanResult, columns

SCAN_RESULT = columns(ScanResult)
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("node_id", "bmc_type", "credential", "brand", "product"), ""),
    **dict.fromkeys(("serial_number", "bmc_mac", "power_state", "reason", "message"), ""),
    "bmc_port": 0,
    "boot_macs": [],
}


def read_plan(connection: Connection, settings: Settings, request: str) -> Plan:
    """What the scan of this run is to do: as its job was asked, or as a file says.

    `request` is the path of an operator's file of the fields of ScanBMNodes, or "" under a job.
    Raises FirstboxError when the file is not one.
    """
    if request:
        return _read_file(Path(request), settings)
    if not is_job():  # a look from a shell in check mode, at registered machines
        return Plan()
    query = select(JOB.c.options).where(JOB.c.job_id == job_of_run())
    options = connection.execute(query).scalar_one()
    return plan_of_options(options, Seal(settings.keys).open)


def put_results(connection: Connection, job_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what is known of addresses now, over what was known of them in this job.

    A row has `address`, `outcome`, and any other columns; those left out keep what they were.
    """
    known: set[str] = set()
    for chunk in chunks([row["address"] for row in rows]):
        query = select(SCAN_RESULT.c.address).where(
            SCAN_RESULT.c.job_id == job_id, SCAN_RESULT.c.address.in_(chunk)
        )
        known |= set(connection.execute(query).scalars())
    now = time.time()
    new = [
        _NOTHING
        | dict(row)
        | {"job_id": job_id, "address_order": address_order(row["address"]), "update_time": now}
        for row in rows
        if row["address"] not in known
    ]
    if new:
        connection.execute(insert(SCAN_RESULT), new)
    _update(connection, job_id, [row for row in rows if row["address"] in known], now)


def _update(
    connection: Connection, job_id: str, rows: Sequence[Mapping[str, Any]], now: float
) -> None:
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        values = {f"to_{name}": value for name, value in row.items() if name != "address"}
        by_columns.setdefault(tuple(values), []).append({"at": row["address"], **values})
    for names, batch in by_columns.items():
        connection.execute(
            update(SCAN_RESULT)
            .where(SCAN_RESULT.c.job_id == job_id, SCAN_RESULT.c.address == bindparam("at"))
            .values(
                update_time=now,
                **{name[3:]: bindparam(name, type_=SCAN_RESULT.c[name[3:]].type) for name in names},
            ),
            batch,
        )


def get_results(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    """What a scan found, in order of the addresses."""
    query = select(SCAN_RESULT).where(SCAN_RESULT.c.job_id == job_id)
    return connection.execute(query.order_by(SCAN_RESULT.c.address_order)).all()


def count_reasons(connection: Connection, job_id: str) -> dict[str, int]:
    """At how many addresses a scan failed, by reason."""
    failed = (SCAN_RESULT.c.job_id == job_id) & (SCAN_RESULT.c.reason != "")
    query = select(SCAN_RESULT.c.reason, func.count()).where(failed)
    rows = connection.execute(query.group_by(SCAN_RESULT.c.reason))
    return {reason: number for reason, number in rows}  # noqa: C416  # rows are no pairs to mypy


def _read_file(path: Path, settings: Settings) -> Plan:
    try:
        said = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise FirstboxError(f"What to scan cannot be read from {path}: {error}") from None
    if not isinstance(said, dict):
        raise Malformed(f"{path} is not an object of the fields of ScanBMNodes.")
    dry_run = bool(said.pop("dry_run", 0))
    try:
        asked = ScanOptions.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        # Not the value: it may be a password.
        raise Malformed(f"{path}: {at}: {first['msg']}.") from None
    return plan_of_request(
        asked, settings.allowed_networks, most=settings.max_scan_addresses, dry_run=dry_run
    )
