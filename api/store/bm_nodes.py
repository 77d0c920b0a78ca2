"""Queries about machines with a registered BMC."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from api.registration.rules import UNIQUE
from api.states import BM_NODE_TRANSITIONS, BmNodeStatus, WebhookEvent
from api.store.ids import chunks
from api.store.nodes import node_row
from api.store.outbox import NO_CAUSES, Cause, tell_changes
from api.store.paging import total
from api.store.sealing import Seal
from api.store.tables import BmNode, Node, columns

BM_NODE = columns(BmNode)
NODE = columns(Node)
_REGISTRATIONS = select(BM_NODE, NODE.c.zone_id, NODE.c.description).join_from(BM_NODE, NODE)
# Without the hardware documents, which only lists show.
_BUT_HARDWARE: Select[Any] = select(
    *(column for column in BM_NODE.c if column.name != "hardware"),
    NODE.c.zone_id,
    NODE.c.description,
).join_from(BM_NODE, NODE)
# What webhooks are told.
_CHANGES = select(
    *(BM_NODE.c[name] for name in ("status", "pre_status", "node_id")),
    NODE.c.zone_id,
    *(BM_NODE.c[name] for name in ("hostname", "serial_number", "ipmi_network_address")),
    BM_NODE.c.pxe_network_mac_addr,
).join_from(BM_NODE, NODE)
SEARCHED = (
    *(BM_NODE.c[name] for name in ("node_id", "hostname", "brand", "product", "serial_number")),
    *(BM_NODE.c[f"{net}_network_address"] for net in ("ipmi", "mgmt", "public")),
    *(BM_NODE.c[name] for name in ("os_version", "pxe_network_mac_addr", "bmc_mac")),
)
# What no two machines may have, and where it stands.
_OWNED: dict[str, tuple[ColumnElement[Any], ...]] = {
    "MAC": (BM_NODE.c.pxe_network_mac_addr,),
    "serial number": (BM_NODE.c.serial_number, NODE.c.serial_number),
    "hostname": (BM_NODE.c.hostname, func.lower(NODE.c.hostname)),
    "address": (
        NODE.c.address,
        *(BM_NODE.c[f"{net}_network_address"] for net in ("ipmi", "mgmt", "public")),
    ),
}
_NOTHING_KNOWN: dict[str, Any] = {
    "status": BmNodeStatus.NEW,
    **dict.fromkeys(
        ("pre_status", "bmc_certificate", "pxe_network_interface", "pxe_network_address"), ""
    ),
    **dict.fromkeys(("power_state", "provision_id", "written_disk"), ""),
    **dict.fromkeys(("product", "bmc_mac", "hardware", "hardware_source"), ""),
    **dict.fromkeys(("power_time", "hardware_time")),
}


def find_bm_nodes(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    sort_key: str,
    reverse: bool,
    limit: int | None,
    offset: int,
) -> tuple[int, Sequence[Row[Any]]]:
    """How many registrations match, and one page of them, with the node's zone and description."""
    key = (NODE if sort_key == "zone_id" else BM_NODE).c[sort_key]
    order = (key.desc() if reverse else key.asc(), BM_NODE.c.node_id)
    # The rows passed over are counted in an index that has no hardware documents in it.
    passed = select(BM_NODE.c.node_id).where(*conditions)
    if sort_key == "zone_id":
        passed = passed.join_from(BM_NODE, NODE)
    is_all = limit is None and not offset
    page = BM_NODE.c.node_id.in_(passed.order_by(*order).offset(offset).limit(limit))
    wanted = conditions if is_all else [page]
    rows = connection.execute(_REGISTRATIONS.where(*wanted).order_by(*order)).all()
    count = select(func.count()).select_from(BM_NODE).where(*conditions)
    return total(connection, count, rows, limit=limit, offset=offset), rows


def matches(
    *, node_ids: Sequence[str] | None, equal: Mapping[str, str], search_word: str | None
) -> list[ColumnElement[bool]]:
    """The conditions of DescribeBMNodes; all must hold."""
    conditions: list[ColumnElement[bool]] = [
        _is_node(NODE.c.zone_id == value) if name == "zone_id" else BM_NODE.c[name] == value
        for name, value in equal.items()
    ]
    if node_ids is not None:
        conditions.append(BM_NODE.c.node_id.in_(node_ids))
    if search_word:
        found = [column.icontains(search_word, autoescape=True) for column in SEARCHED]
        described = NODE.c.description.icontains(search_word, autoescape=True)
        conditions.append(or_(*found, _is_node(described)))
    return conditions


def _is_node(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition on the node of a registration, without a join of all of them."""
    is_one: ColumnElement[bool] = BM_NODE.c.node_id.in_(select(NODE.c.node_id).where(condition))
    return is_one


def add_bm_nodes(connection: Connection, registrations: Sequence[Mapping[str, Any]]) -> list[str]:
    """One machine per registration, `new` and without an operating system; their ids, in order.

    A registration is a value for each column that the caller decides, and zone_id and description.
    One with a `node_id` registers a machine that is a node already; that node stays as it is.
    """
    now = time.time()
    nodes = [
        node_row(
            zone_id=values["zone_id"],
            description=values["description"],
            create_time=now + place / 1e6,  # so that a list keeps the order of the request
        )
        | ({"node_id": values["node_id"]} if values.get("node_id") else {})
        for place, values in enumerate(registrations)
    ]
    rows = [
        _NOTHING_KNOWN
        | {name: value for name, value in values.items() if name in BM_NODE.c}
        | {name: node[name] for name in ("node_id", "create_time", "update_time")}
        for node, values in zip(nodes, registrations, strict=True)
    ]
    new = [
        node for node, values in zip(nodes, registrations, strict=True) if not values.get("node_id")
    ]
    if new:
        connection.execute(insert(NODE), new)
    if rows:
        connection.execute(insert(BM_NODE), rows)
    node_ids = [str(node["node_id"]) for node in nodes]
    tell_changes(connection, WebhookEvent.BM_NODE_STATUS, _CHANGES, node_ids)
    return node_ids


def stored(values: Mapping[str, Any], seal: Seal) -> dict[str, Any]:
    """Fields of a registration as they stand in the database; the password is in clear before."""
    in_columns: dict[str, Any] = {
        name: None if name in UNIQUE and value == "" else value for name, value in values.items()
    }
    if "ipmi_password" in in_columns:
        in_columns["ipmi_password"] = seal.close(in_columns["ipmi_password"])
    return in_columns


def get_bm_nodes(
    connection: Connection, node_ids: Iterable[str], *, lock: bool = False
) -> dict[str, Row[Any]]:
    """Registrations by node id, without hardware, with the node's zone and description.

    Unknown ids are left out.
    With `lock` nobody else deletes or changes them until the transaction ends.
    """
    found: dict[str, Row[Any]] = {}
    # Sorted, so that two who lock the same nodes wait for each other and not in a circle.
    for chunk in chunks(sorted(node_ids)):
        query = _BUT_HARDWARE.where(BM_NODE.c.node_id.in_(chunk)).order_by(BM_NODE.c.node_id)
        rows = connection.execute(query.with_for_update() if lock else query)
        found.update((row.node_id, row) for row in rows)
    return found


def find_owners(
    connection: Connection, kind: str, values: Sequence[str], *, but: str = ""
) -> dict[str, str]:
    """Which of these a machine has already, whether as registered or as found: value -> node id.

    `kind` is `MAC`, `serial number`, `hostname` (in small letters) or `address`; what the machine
    `but` has does not count.
    """
    found: dict[str, str] = {}
    for column in _OWNED[kind]:
        node_id = (BM_NODE if column in set(BM_NODE.c) else NODE).c.node_id
        for chunk in chunks(values):
            query = select(column, node_id).where(column.in_(chunk), node_id != but)
            found.update((value, owner) for value, owner in connection.execute(query))
    return found


def find_bare(connection: Connection, addresses: Sequence[str]) -> dict[str, str]:
    """Machines that are to be reached at these addresses, and were at none: address -> node id."""
    mgmt, public = BM_NODE.c.mgmt_network_address, BM_NODE.c.public_network_address
    reached_at = func.coalesce(mgmt, public)
    found: dict[str, str] = {}
    for chunk in chunks(addresses):
        query = (
            select(reached_at, BM_NODE.c.node_id)
            .join_from(BM_NODE, NODE)
            .where(reached_at.in_(chunk), NODE.c.address.is_(None))
        )
        found.update((address, node_id) for address, node_id in connection.execute(query))
    return found


def delete_registrations(connection: Connection, node_ids: Sequence[str]) -> None:
    """Remove registrations, and those of the nodes that have no operating system."""
    for chunk in chunks(node_ids):
        is_bare = NODE.c.node_id.in_(chunk) & NODE.c.address.is_(None)
        connection.execute(delete(BM_NODE).where(BM_NODE.c.node_id.in_(chunk)))
        connection.execute(delete(NODE).where(is_bare))


def update_bm_node(connection: Connection, node_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of one registration."""
    connection.execute(
        update(BM_NODE)
        .where(BM_NODE.c.node_id == node_id)
        .values(**values, update_time=time.time())
    )


def move_bm_nodes(
    connection: Connection,
    moves: Mapping[str, BmNodeStatus],
    causes: Mapping[str, Cause] = NO_CAUSES,
) -> list[str]:
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
            moved_ids = set(moved)
            refused += sorted(set(chunk) - moved_ids)
            tell_changes(connection, WebhookEvent.BM_NODE_STATUS, _CHANGES, moved_ids, causes)
    return refused
