"""What Ansible needs to know of the nodes: one query, with drivers only.

Every `ansible` and `ansible-playbook` start pays for this module, so it imports the driver it needs
and nothing else: SQLAlchemy, SQLModel and pydantic would double the time until the first task.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

# Of a registration, what may be seen by everybody who sees a host's variables: not how to log in to
# the BMC.
BM_FIELDS = (
    "status",
    "os_version",
    "cpu_arch",
    "hostname",
    "brand",
    "product",
    "serial_number",
    "image",
    "bmc_type",
    "ipmi_network_address",
    "pxe_network_mac_addr",
    "boot_mode",
    "os_disk_name",
    "protected",
    "power_state",
    "mgmt_network_address",
    "mgmt_network_netmask",
    "mgmt_network_gateway",
    "mgmt_network_vlan_id",
    "public_network_address",
    "public_network_netmask",
    "public_network_gateway",
    "public_network_vlan_id",
)
# `CAST` makes both drivers answer JSON columns as text. The hardware record stays in the database:
# in hostvars it would cost each play four times the start and three times the memory.
_SELECT = f"""\
SELECT node.node_id, address, zone_id, node.status, node.hostname, description, role,
       CAST(sub_roles AS TEXT), product_type, product_name, node.serial_number, host_key,
       {", ".join(f"bm_node.{name}" for name in BM_FIELDS)}
FROM node LEFT JOIN bm_node ON bm_node.node_id = node.node_id"""  # noqa: S608  # names of ours


class InventoryUnreadableError(Exception):
    """The nodes cannot be read; the message says what to do."""


class InventoryNode(NamedTuple):
    """A node as Ansible sees it; its texts are the database's, not to be trusted with anything."""

    node_id: str
    address: str | None
    zone_id: str
    status: str
    hostname: str
    description: str
    role: str
    sub_roles: list[str]
    product_type: str
    product_name: str
    serial_number: str
    host_key: str
    bm: dict[str, Any] | None  # its registration; None where there is none


def read_nodes(
    url: str, *, node_ids: Sequence[str] | None = None, zone_ids: Sequence[str] | None = None
) -> list[InventoryNode]:
    """The nodes in order of their ids: all, or those named (an empty list names none).

    `url` is the service's SQLAlchemy URL. Raises InventoryUnreadableError.
    """
    backend, _, rest = url.partition(":///" if url.startswith("sqlite") else "://")
    if backend == "sqlite" and rest:
        rows = _read_sqlite(Path(rest.partition("?")[0]), node_ids, zone_ids)
    elif backend in ("postgresql", "postgresql+psycopg"):
        rows = _read_postgresql(f"postgresql://{rest}", node_ids, zone_ids)
    else:
        raise InventoryUnreadableError(
            "The database URL must begin with sqlite:/// or postgresql://: check FIRSTBOX_DATABASE_URL."
        )
    nodes = [
        InventoryNode._make([*row[:7], _texts(row[7]), *row[8:12], _registration(row[12:])])
        for row in rows
    ]
    # Here, because collations of two databases disagree about capital letters.
    nodes.sort(key=itemgetter(0))
    return nodes


def _read_sqlite(
    path: Path, node_ids: Sequence[str] | None, zone_ids: Sequence[str] | None
) -> list[tuple[Any, ...]]:
    if not path.is_file():
        raise InventoryUnreadableError(
            f"There is no database at {path}: run `firstbox init`, or set FIRSTBOX_HOME or "
            "FIRSTBOX_DATABASE_URL."
        )
    # A JSON list in one parameter: a list of parameters ends at SQLite's limit for them.
    wanted = {
        "node.node_id IN (SELECT value FROM json_each(?))": node_ids,
        "zone_id IN (SELECT value FROM json_each(?))": zone_ids,
    }
    query, lists = _query(wanted)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
            return connection.execute(query, [json.dumps(ids) for ids in lists]).fetchall()
    except sqlite3.Error as error:
        is_empty = "no such table" in str(error)
        raise _unreadable(f"database at {path}", error, is_empty=is_empty) from error


def _read_postgresql(
    url: str, node_ids: Sequence[str] | None, zone_ids: Sequence[str] | None
) -> list[tuple[Any, ...]]:
    import psycopg  # 0.15 s that a service on SQLite need not pay

    query, lists = _query({"node.node_id = ANY(%s)": node_ids, "zone_id = ANY(%s)": zone_ids})
    try:
        parameters = {"connect_timeout": 10} | psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:  # its message shows the URL, and with it the password
        raise InventoryUnreadableError(
            "The database URL is malformed: check FIRSTBOX_DATABASE_URL."
        ) from None
    try:
        with psycopg.connect(**parameters) as connection:  # type: ignore[arg-type]  # a dict of any
            connection.read_only = True
            # bytes: psycopg takes only literals as text, and this text is made of literals
            return connection.execute(query.encode(), lists).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise _unreadable("PostgreSQL database", error, is_empty=True) from error
    except psycopg.Error as error:
        raise _unreadable("PostgreSQL database", error) from error


def _query(wanted: dict[str, Sequence[str] | None]) -> tuple[str, list[list[str]]]:
    """The query and the lists it takes, out of conditions and what each asks for, if anything."""
    lists = {condition: list(ids) for condition, ids in wanted.items() if ids is not None}
    where = " WHERE " + " AND ".join(lists) if lists else ""
    return _SELECT + where, list(lists.values())


def _unreadable(
    database: str, error: Exception, *, is_empty: bool = False
) -> InventoryUnreadableError:
    reason = " ".join(str(error).split())
    if is_empty:
        return InventoryUnreadableError(
            f"The {database} has no tables of Firstbox yet ({reason}): run `firstbox init`."
        )
    return InventoryUnreadableError(
        f"The {database} cannot be read ({reason}): check FIRSTBOX_DATABASE_URL or FIRSTBOX_HOME, "
        "and this user's rights; in a new installation run `firstbox init`."
    )


def _registration(columns: tuple[Any, ...]) -> dict[str, Any] | None:
    if columns[0] is None:  # every registration has a status
        return None
    return {
        name: "" if value is None else value for name, value in zip(BM_FIELDS, columns, strict=True)
    }


def _texts(stored: str) -> list[str]:
    if stored == "[]":  # nearly always
        return []
    try:
        values = json.loads(stored)
    except ValueError:
        return []
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
