"""Queries about nodes. Lists are read as plain rows: no objects, one query a page."""

import time
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import Text

from api.errors import Conflict
from api.states import NODE_TRANSITIONS, NodeStatus, WebhookEvent
from api.store.ids import chunks, new_id
from api.store.outbox import NO_CAUSES, Cause, tell_changes
from api.store.paging import total
from api.store.tables import BmNode, Disk, JobNode, Network, Node, columns

NODE = columns(Node)
JOB_NODE = columns(JobNode)
BM_NODE = columns(BmNode)
DISK = columns(Disk)
NETWORK = columns(Network)
_BUT_HARDWARE = [column for column in NODE.c if column.name != "hardware"]
# What webhooks are told. Machines without an operating system are none: their registration tells.
_CHANGES = select(
    *(NODE.c[name] for name in ("status", "pre_status", "node_id", "zone_id")),
    *(NODE.c[name] for name in ("address", "hostname")),
).where(NODE.c.address.is_not(None))
SEARCHED = ("node_id", "hostname", "address", "serial_number", "description")


def find_nodes(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    sort_key: str,
    reverse: bool,
    limit: int | None,
    offset: int,
) -> tuple[int, Sequence[Row[Any]]]:
    """How many nodes match, and one page of them."""
    key = NODE.c["address_order" if sort_key == "address" else sort_key]
    order = (key.desc() if reverse else key.asc(), NODE.c.node_id)
    # The rows passed over are counted in an index that has no hardware documents in it.
    passed = select(NODE.c.node_id).where(*conditions).order_by(*order).offset(offset).limit(limit)
    is_all = limit is None and not offset
    wanted = conditions if is_all else [NODE.c.node_id.in_(passed)]
    rows = connection.execute(select(NODE).where(*wanted).order_by(*order)).all()
    count = select(func.count()).select_from(NODE).where(*conditions)
    return total(connection, count, rows, limit=limit, offset=offset), rows


def matches(
    *,
    node_ids: Sequence[str] | None,
    equal: Mapping[str, str],
    sub_roles: Sequence[str] | None,
    search_word: str | None,
) -> list[ColumnElement[bool]]:
    """The conditions of DescribeNodes; all must hold. A node without an address is none of its."""
    conditions: list[ColumnElement[bool]] = [NODE.c[name] == value for name, value in equal.items()]
    conditions.append(NODE.c.address.is_not(None))
    if node_ids is not None:
        conditions.append(NODE.c.node_id.in_(node_ids))
    if sub_roles is not None:
        # JSON text of a list of plain words: the quoted word is in it or it is not. Not LIKE:
        # SQLite's does not tell capital letters from small ones.
        text = cast(NODE.c.sub_roles, Text)
        conditions += [func.replace(text, f'"{word}"', "") != text for word in sub_roles]
    if search_word:
        conditions.append(
            or_(*(NODE.c[name].icontains(search_word, autoescape=True) for name in SEARCHED))
        )
    return conditions


def get_nodes(
    connection: Connection, node_ids: Iterable[str], *, lock: bool = False
) -> dict[str, Row[Any]]:
    """Rows of these nodes by id, without their hardware; unknown ids are not in the answer.

    With `lock` nobody else deletes or changes them until the transaction ends.
    """
    found: dict[str, Row[Any]] = {}
    # Sorted, so that two who lock the same nodes wait for each other and not in a circle.
    for chunk in chunks(sorted(node_ids)):
        query = select(*_BUT_HARDWARE).where(NODE.c.node_id.in_(chunk)).order_by(NODE.c.node_id)
        rows = connection.execute(query.with_for_update() if lock else query)
        found.update((row.node_id, row) for row in rows)
    return found


def zones_of(connection: Connection, node_ids: Sequence[str]) -> dict[str, str]:
    """The zone of each of these nodes."""
    found: dict[str, str] = {}
    for chunk in chunks(node_ids):
        query = select(NODE.c.node_id, NODE.c.zone_id).where(NODE.c.node_id.in_(chunk))
        found |= {row.node_id: row.zone_id for row in connection.execute(query)}
    return found


def names_of(connection: Connection, node_ids: Sequence[str]) -> dict[str, str]:
    """What people call these nodes: the address, else the hostname it is to get, else the boot MAC,
    else the BMC's address."""
    names = dict.fromkeys(node_ids, "")
    registered = ("hostname", "pxe_network_mac_addr", "ipmi_network_address")
    called = func.coalesce(NODE.c.address, *(BM_NODE.c[name] for name in registered), "")
    for chunk in chunks(node_ids):
        query = (
            select(NODE.c.node_id, called)
            .join_from(NODE, BM_NODE, isouter=True)
            .where(NODE.c.node_id.in_(chunk))
        )
        names |= {row[0]: row[1] for row in connection.execute(query)}
    return names


def find_addresses(connection: Connection, addresses: Sequence[str]) -> dict[str, str]:
    """Which of these addresses already belong to a node: address -> node id."""
    found: dict[str, str] = {}
    for chunk in chunks(addresses):
        rows = connection.execute(
            select(NODE.c.address, NODE.c.node_id).where(NODE.c.address.in_(chunk))
        )
        found.update((address, node_id) for address, node_id in rows)
    return found


def add_nodes(connection: Connection, addresses: Sequence[str], zone_id: str) -> list[str]:
    """One pending node per address; their new ids, in order.

    Raises Conflict when another transaction took one of the addresses meanwhile.
    """
    now = time.time()
    rows = [
        # Later by a little each, so that a list keeps the order of the range.
        node_row(address=address, zone_id=zone_id, create_time=now + place / 1e6)
        for place, address in enumerate(addresses)
    ]
    if rows:
        try:
            connection.execute(insert(NODE), rows)
        except IntegrityError as error:
            raise Conflict(
                f"Somebody else added nodes between {addresses[0]} and {addresses[-1]} just now; "
                "try again."
            ) from error
    node_ids = [str(row["node_id"]) for row in rows]
    tell_changes(connection, WebhookEvent.NODE_STATUS, _CHANGES, node_ids)
    return node_ids


def node_row(
    *, address: str | None = None, zone_id: str, description: str = "", create_time: float
) -> dict[str, Any]:
    """A new node as it is stored; without an address, a machine without an operating system."""
    return {
        "node_id": new_id("n"),
        "zone_id": zone_id,
        "description": description,
        "create_time": create_time,
        "update_time": create_time,
        "product_type": "",
        "product_name": "",
        **_no_system(),
        "address": address,
        "address_order": address_order(address),
    }


def _no_system() -> dict[str, Any]:
    """What is known of an operating system that we never reached."""
    names = ("address_order", "pre_status", "hostname", "role", "serial_number", "host_key")
    return {
        **dict.fromkeys((*names, "hardware"), ""),
        "address": None,
        "status": NodeStatus.PENDING,
        "sub_roles": [],
    }


def address_order(address: str | None) -> str:
    if address is None:
        return ""
    parsed = ip_address(address)
    return f"{parsed.version}{int(parsed):032x}"


def update_node(connection: Connection, node_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of one node."""
    connection.execute(
        update(NODE).where(NODE.c.node_id == node_id).values(**values, update_time=time.time())
    )


def set_address(connection: Connection, node_id: str, address: str, host_key: str) -> None:
    """Where a node's new system answers, and the host key it has; Conflict if another node is there."""
    others = {id_ for id_ in find_addresses(connection, [address]).values() if id_ != node_id}
    if others:
        raise Conflict(f"Node {min(others)} has the address {address} already.")
    order = address_order(address)
    values = {"address": address, "address_order": order, "host_key": host_key}
    update_node(connection, node_id, values)


def move_nodes(
    connection: Connection,
    moves: Mapping[str, NodeStatus],
    causes: Mapping[str, Cause] = NO_CAUSES,
) -> list[str]:
    """Give nodes a new status where the transition table allows it from where they are.

    Returns the ids that were not allowed to move (or do not exist any more).
    """
    refused: list[str] = []
    now = time.time()
    by_status: dict[NodeStatus, list[str]] = {}
    for node_id, status in moves.items():
        by_status.setdefault(status, []).append(node_id)
    for status, node_ids in by_status.items():
        sources = [old for old, new in NODE_TRANSITIONS.items() if status in new]
        for chunk in chunks(node_ids):
            moved = connection.execute(
                update(NODE)
                .where(NODE.c.node_id.in_(chunk), NODE.c.status.in_(sources))
                .values(status=status, pre_status=NODE.c.status, update_time=now)
                .returning(NODE.c.node_id)
            ).scalars()
            moved_ids = set(moved)
            refused += sorted(set(chunk) - moved_ids)
            tell_changes(connection, WebhookEvent.NODE_STATUS, _CHANGES, moved_ids, causes)
    return refused


def delete_nodes(connection: Connection, node_ids: Sequence[str]) -> None:
    """Remove nodes with their disks and networks."""
    for chunk in chunks(node_ids):
        connection.execute(delete(NODE).where(NODE.c.node_id.in_(chunk)))


def forget_systems(connection: Connection, node_ids: Sequence[str]) -> None:
    """Make nodes machines without an operating system again; their disks and networks go too."""
    for chunk in chunks(node_ids):
        for part in (DISK, NETWORK):
            connection.execute(delete(part).where(part.c.node_id.in_(chunk)))
        connection.execute(
            update(NODE)
            .where(NODE.c.node_id.in_(chunk))
            .values(**_no_system(), update_time=time.time())
        )


def remember_host_keys(connection: Connection, keys: Mapping[str, str]) -> None:
    """Record host keys seen at first contact; a key that is known stays."""
    if keys:
        connection.execute(
            update(NODE)
            .where(NODE.c.node_id == bindparam("id"), NODE.c.host_key == "")
            .values(host_key=bindparam("key")),
            [{"id": node_id, "key": key} for node_id, key in keys.items()],
        )


def busy_nodes(connection: Connection, node_ids: Sequence[str]) -> dict[str, str]:
    """Which of these nodes a job holds now: node id -> job id."""
    found: dict[str, str] = {}
    for chunk in chunks(node_ids):
        rows = connection.execute(
            select(JOB_NODE.c.node_id, JOB_NODE.c.job_id).where(
                JOB_NODE.c.active, JOB_NODE.c.node_id.in_(chunk)
            )
        )
        found.update((node_id, job_id) for node_id, job_id in rows)
    return found
