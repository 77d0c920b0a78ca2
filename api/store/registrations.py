"""Machines that scans found: what the database knows of them, and what is written."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, select, update

from api.bmc.found import Identity
from api.errors import Conflict, FirstboxError, Malformed
from api.registration.deciding import Decision
from api.registration.matching import Known
from api.registration.patterns import render
from api.registration.rules import OWNED, UNIQUE
from api.states import BmNodeStatus, ScanOutcome
from api.store.bm_nodes import (
    BM_NODE,
    NODE,
    add_bm_nodes,
    find_owners,
    get_bm_nodes,
    move_bm_nodes,
    stored,
    update_bm_node,
)
from api.store.ids import chunks
from api.store.nodes import busy_nodes, get_nodes
from api.store.sealing import Seal
from api.store.session import writing

_AT_ONCE = 100  # machines in one transaction
_NUMBERS_AT_ONCE = 200
_CHANGED = "was changed by somebody else in the same moment: scan it again"


def read_known(
    connection: Connection, seal: Seal, identities: Sequence[Identity], *, own_job: str
) -> list[Known]:
    """All machines that one of these BMCs may belong to: by serial number, MAC, address or node id.

    Who is busy in `own_job` is not busy.
    """
    node_ids = sorted(_candidates(connection, identities))
    jobs = busy_nodes(connection, node_ids)
    return [
        _known(row, seal, "" if jobs.get(row.system_id) == own_job else jobs.get(row.system_id, ""))
        for chunk in chunks(node_ids)
        for row in connection.execute(_machines(chunk))
    ]


def read_owners(
    connection: Connection, claims: Mapping[str, Iterable[str]]
) -> dict[tuple[str, str], str]:
    """Which nodes have what no two machines may have: (kind, value) -> node id."""
    return {
        (kind, value): node_id
        for kind, values in claims.items()
        for value, node_id in find_owners(connection, kind, sorted(values)).items()
    }


def free_number(connection: Connection, profile: Mapping[str, Any], *, most: int = 10_000) -> int:
    """The smallest number whose machine's hostname and addresses nobody has yet.

    Raises Malformed when the profile makes no sense at all, Conflict when no number is free: up to
    `most`, or to where the profile makes none any more (10.0.1.256).
    """
    claimed = _claimed_by_number(profile, most)
    while batch := dict(itertools.islice(claimed, _NUMBERS_AT_ONCE)):
        claims: dict[str, set[str]] = {}
        for kind, value in itertools.chain.from_iterable(batch.values()):
            claims.setdefault(kind, set()).add(value)
        taken = read_owners(connection, claims)
        for number, owned in batch.items():
            if not any(one in taken for one in owned):
                return number
    raise Conflict("No number is free any more in the profile of discovered machines.")


def _claimed_by_number(
    profile: Mapping[str, Any], most: int
) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    for number in range(1, most + 1):
        try:
            yield number, _owned(render(profile, number))
        except Malformed:
            if number == 1:
                raise
            return


def write_decisions(
    engine: Engine, seal: Seal, decisions: Sequence[Decision], *, own_job: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Write what was decided; node ids, and what could not be written after all, by BMC address.

    Machines that move come first and together: some take the addresses that others leave.
    """
    done: dict[str, str] = {}
    refused: dict[str, str] = {}
    to_write = [one for one in decisions if one.outcome != ScanOutcome.CONFLICT and one.status]
    moving = [one for one in to_write if one.is_moved]
    staying = [one for one in to_write if not one.is_moved]
    for batch in filter(None, (moving, *chunks(staying, _AT_ONCE))):
        try:
            done |= _write_all(engine, seal, batch, own_job)
        except Conflict:
            for one in batch:
                try:
                    done |= _write_all(engine, seal, [one], own_job)
                except Conflict as error:
                    refused[one.identity.address] = error.message
    return done, refused


def _write_all(
    engine: Engine, seal: Seal, decisions: Sequence[Decision], own_job: str
) -> dict[str, str]:
    """One transaction: all of these, or Conflict."""
    with writing(engine) as connection:
        _refuse_changed(connection, decisions, own_job)
        _leave_addresses(connection, [one.node_id for one in decisions if one.is_moved])
        _refuse_taken(connection, decisions)
        for one in decisions:
            if one.outcome == ScanOutcome.UPDATED:
                _update(connection, seal, one)
        new = [one for one in decisions if one.outcome == ScanOutcome.NEW]
        rows = [_row_of_new(one, seal) for one in new]
        made = dict(zip(_addresses(new), add_bm_nodes(connection, rows), strict=True))
        done = {one.identity.address: one.node_id for one in decisions} | made
        _remember_seen(connection, decisions, done)
    return done


def _refuse_changed(connection: Connection, decisions: Sequence[Decision], own_job: str) -> None:
    """Raise Conflict where a machine is not any more as it was when this was decided."""
    known = [one.known for one in decisions if one.known]
    # All of them, in order: who locks the same machines waits for us, and not in a circle.
    registered = get_bm_nodes(connection, [one.node_id for one in known if one.status], lock=True)
    nodes = get_nodes(connection, [one.node_id for one in known if not one.status], lock=True)
    changing = [one.known for one in decisions if one.known and one.values]
    for one in changing:
        row = (registered if one.status else nodes).get(one.node_id)
        if row is None or row.update_time != one.values["update_time"]:
            raise Conflict(_CHANGED)
    jobs = busy_nodes(connection, [one.node_id for one in changing])
    if set(jobs.values()) - {own_job}:
        raise Conflict(_CHANGED)


def _leave_addresses(connection: Connection, node_ids: Sequence[str]) -> None:
    for chunk in chunks(node_ids):
        connection.execute(
            update(BM_NODE).where(BM_NODE.c.node_id.in_(chunk)).values(ipmi_network_address=None)
        )


def _refuse_taken(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Raise Conflict where somebody else got meanwhile what no two machines may have."""
    claims: dict[str, set[str]] = {}
    for one in decisions:
        for kind, value in _owned(one.values):
            claims.setdefault(kind, set()).add(value)
    owners = read_owners(connection, claims)
    for one in decisions:
        for key in _owned(one.values):
            if owners.get(key, one.node_id) != one.node_id:
                raise Conflict(f"node {owners[key]} got the {' '.join(key)} in the same moment")


def _update(connection: Connection, seal: Seal, decision: Decision) -> None:
    columns = stored(decision.values, seal)
    if columns:
        update_bm_node(connection, decision.node_id, columns)
    if decision.known and decision.status != decision.known.status:
        move_bm_nodes(connection, {decision.node_id: BmNodeStatus(decision.status)})


def _row_of_new(decision: Decision, seal: Seal) -> dict[str, Any]:
    own = {"node_id": decision.node_id, "status": decision.status}
    return {**stored(decision.values, seal), **own}


def _remember_seen(
    connection: Connection, decisions: Sequence[Decision], node_ids: Mapping[str, str]
) -> None:
    """What is true now and was not decided: power state and age of the hardware."""
    by_state: dict[str, list[str]] = {}
    with_hardware: list[str] = []
    for one in decisions:
        node_id = node_ids[one.identity.address]
        if one.identity.power_state:
            by_state.setdefault(one.identity.power_state, []).append(node_id)
        if one.identity.hardware:
            with_hardware.append(node_id)
    now = time.time()
    for state, ids in by_state.items():
        _set(connection, ids, {"power_state": state, "power_time": now})
    _set(connection, with_hardware, {"hardware_time": now}, BM_NODE.c.hardware_source == "bmc")


def _set(
    connection: Connection,
    node_ids: Sequence[str],
    values: Mapping[str, Any],
    *conditions: ColumnElement[bool],
) -> None:
    for chunk in chunks(node_ids):
        connection.execute(
            update(BM_NODE).where(BM_NODE.c.node_id.in_(chunk), *conditions).values(**values)
        )


def _candidates(connection: Connection, identities: Sequence[Identity]) -> set[str]:
    serials = [one.serial_number for one in identities if one.serial_number]
    wanted: list[tuple[ColumnElement[Any], list[str]]] = [
        (BM_NODE.c.serial_number, serials),
        (NODE.c.serial_number, serials),
        (BM_NODE.c.bmc_mac, [one.bmc_mac for one in identities if one.bmc_mac]),
        (BM_NODE.c.ipmi_network_address, [one.address for one in identities]),
        (BM_NODE.c.pxe_network_mac_addr, [mac for one in identities for mac in one.boot_macs]),
        (BM_NODE.c.node_id, [one.node for one in identities if one.node]),
    ]
    return {
        node_id
        for column, values in wanted
        for chunk in chunks(values)
        for node_id in connection.execute(
            select(column.table.c.node_id).where(column.in_(chunk))
        ).scalars()
    }


def _machines(node_ids: Sequence[str]) -> Select[Any]:
    """Nodes, with their registration where they have one."""
    return (
        select(
            BM_NODE,
            NODE.c.node_id.label("system_id"),
            NODE.c.serial_number.label("system_serial"),
            NODE.c.update_time.label("system_time"),
        )
        .join_from(NODE, BM_NODE, isouter=True)
        .where(NODE.c.node_id.in_(node_ids))
    )


def _known(row: Row[Any], seal: Seal, job_id: str) -> Known:
    if row.node_id is None:
        values: dict[str, Any] = {"update_time": row.system_time}
        return Known(row.system_id, "", values, row.system_serial, job_id)
    values = {
        name: "" if value is None and name in UNIQUE else value
        for name, value in row._asdict().items()
    }
    values["ipmi_password"] = _opened(seal, row.ipmi_password)
    return Known(row.node_id, row.status, values, row.system_serial, job_id)


def _opened(seal: Seal, sealed: str) -> str:
    try:
        return seal.open(sealed)
    except FirstboxError:  # of another key: nobody can log in with it
        return ""


def _owned(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(kind, values[name]) for name, kind in OWNED.items() if values.get(name)]


def _addresses(decisions: Sequence[Decision]) -> list[str]:
    return [one.identity.address for one in decisions]
