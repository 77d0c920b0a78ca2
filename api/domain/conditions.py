"""What must hold of nodes before something is done to them; each refusal names the nodes."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.errors import Conflict, NotFound
from api.store import bm_nodes, nodes


def known(connection: Connection, node_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The rows of nodes with an address, by id, held for this transaction; NotFound lists the others."""
    rows = nodes.get_nodes(connection, node_ids, lock=True)
    found = {node_id: row for node_id, row in rows.items() if row.address is not None}
    missing = [node_id for node_id in node_ids if node_id not in found]
    if missing:
        raise NotFound(f"There is no node {named(missing)}.")
    return found


def registered(
    connection: Connection, node_ids: Sequence[str], *, lock: bool = True
) -> dict[str, Row[Any]]:
    """The machines' registrations by id, held for this transaction; NotFound lists the others."""
    found = bm_nodes.get_bm_nodes(connection, node_ids, lock=lock)
    missing = [node_id for node_id in node_ids if node_id not in found]
    if missing:
        raise NotFound(f"There is no bare-metal node {named(missing)}.")
    return found


def not_busy(connection: Connection, node_ids: Sequence[str]) -> None:
    """Conflict names the nodes that a job holds, and the job."""
    busy = nodes.busy_nodes(connection, node_ids)
    if busy:
        names = named(f"{node_id} (job {job_id})" for node_id, job_id in sorted(busy.items()))
        raise Conflict(f"A job is at work on node {names}: wait for its end, or cancel it.")


def not_in_use(rows: Iterable[Row[Any]]) -> None:
    """Conflict names the nodes that have a role."""
    in_use = sorted(f"{row.node_id} (role {row.role})" for row in rows if row.role)
    if in_use:
        raise Conflict(f"Only nodes without a role are collected; in use: {named(in_use)}.")


def named(names: Iterable[str], most: int = 50) -> str:
    """Names for a sentence; of very many, the first."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
