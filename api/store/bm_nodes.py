"""Queries about machines with a registered BMC."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, select, update

from api.states import BM_NODE_TRANSITIONS, BmNodeStatus
from api.store.ids import chunks
from api.store.tables import BmNode, Node, columns

BM_NODE = columns(BmNode)
NODE = columns(Node)


def get_bm_nodes(
    connection: Connection, node_ids: Iterable[str], *, lock: bool = False
) -> dict[str, Row[Any]]:
    """Registrations by node id, with the node's zone and description; unknown ids are left out.

    With `lock` nobody else deletes or changes them until the transaction ends.
    """
    found: dict[str, Row[Any]] = {}
    # Sorted, so that two who lock the same nodes wait for each other and not in a circle.
    for chunk in chunks(sorted(node_ids)):
        query = (
            select(BM_NODE, NODE.c.zone_id, NODE.c.description)
            .join_from(BM_NODE, NODE)
            .where(BM_NODE.c.node_id.in_(chunk))
            .order_by(BM_NODE.c.node_id)
        )
        rows = connection.execute(query.with_for_update() if lock else query)
        found.update((row.node_id, row) for row in rows)
    return found


def update_bm_node(connection: Connection, node_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of one registration."""
    connection.execute(
        update(BM_NODE)
        .where(BM_NODE.c.node_id == node_id)
        .values(**values, update_time=time.time())
    )


def move_bm_nodes(connection: Connection, moves: Mapping[str, BmNodeStatus]) -> list[str]:
    """Give machines a new status where the transition table allows it from where they are.

    Returns the ids that were not allowed to move (or are not registered any more).
    """
    refused: list[str] = []
    by_status: dict[BmNodeStatus, list[str]] = {}
    for node_id, status in moves.items():
        by_status.setdefault(status, []).append(node_id)
    for status, node_ids in by_status.items():
        sources = [old for old, new in BM_NODE_TRANSITIONS.items() if status in new]
        for chunk in chunks(node_ids):
            moved = connection.execute(
                update(BM_NODE)
                .where(BM_NODE.c.node_id.in_(chunk), BM_NODE.c.status.in_(sources))
                .values(status=status, pre_status=BM_NODE.c.status, update_time=time.time())
                .returning(BM_NODE.c.node_id)
            ).scalars()
            refused += sorted(set(chunk) - set(moved))
    return refused
