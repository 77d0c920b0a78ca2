"""A database as it is after years: many machines, their jobs, and a million lines of logs.

Rows are made by the database itself, from numbers, so that 100,000 machines take seconds.
"""

import json
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, Integer, insert, literal_column, select, text
from sqlmodel import SQLModel

from api.store.session import writing
from api.store.tables import BmNode, Job, JobNode, JobSlice, JobStep, LogLine, Node, columns

JOB_NODES = 10  # of a job that is over
STEPS = 3
# A server with many disks and cards.
_RECORDED = Path(__file__).parents[1] / "tests/unit/hardware/recorded"
HARDWARE = (_RECORDED / "debian12_dell_bond_vlan_bridge.json").read_text()


def fill(engine: Engine, machines: int) -> None:
    """So many machines, a tenth as many jobs that are over, and ten lines of log for each machine."""
    now = time.time()
    jobs = machines // JOB_NODES
    with writing(engine) as connection:
        _make(connection, Node, machines, _node())
        _make(connection, BmNode, machines, _bm_node())
        _make(connection, Job, jobs, _job(now, jobs))
        _make(connection, JobSlice, jobs, _slice(now))
        _make(connection, JobStep, jobs * STEPS, _step())
        _make(connection, JobNode, machines, _job_node(jobs))
        _make(connection, LogLine, machines * 10, _line(now, jobs))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if (
            engine.dialect.name == "postgresql"
        ):  # by itself, in time; SQLite does nothing of the kind
            connection.execute(text("VACUUM ANALYZE"))


def machine(number: int) -> str:
    """The id of a machine, from 1."""
    return f"n-{10_000_000 + number}"


def _id(kind: str, number: str = "i") -> str:
    return f"'{kind}-' || CAST(10000000 + {number} AS TEXT)"


def _address(net: int) -> str:
    return f"'{net}.' || (i / 65536) || '.' || ((i / 256) % 256) || '.' || (i % 256)"


def _node() -> dict[str, str]:
    return {
        "node_id": _id("n"),
        "address": _address(10),
        "address_order": "'4' || CAST(10000000 + i AS TEXT)",
        "zone_id": "'z' || (i % 10)",
        "status": "CASE i % 50 WHEN 0 THEN 'unreachable' ELSE 'available' END",
        "hostname": "'host-' || i",
        "role": "CASE WHEN i % 100 = 0 AND i > 600 THEN 'storage' ELSE '' END",
        "serial_number": "'SN' || i",
        "hardware": f"'{HARDWARE}'",
        "create_time": "1.0 + i",
        "update_time": "1.0 + i",
    }


def _bm_node() -> dict[str, str]:
    return {
        "node_id": _id("n"),
        "status": "CASE i % 50 WHEN 0 THEN 'failed' ELSE 'provisioned' END",
        "hostname": "'host-' || i",
        "serial_number": "'SN' || i",
        "ipmi_network_address": _address(11),
        "product": "CASE i % 100 WHEN 0 THEN 'PowerEdge R640' ELSE 'ProLiant DL360' END",
        "hardware": f"'{HARDWARE}'",
        "create_time": "1.0 + i",
        "update_time": "1.0 + i",
    }


def _job(now: float, jobs: int) -> dict[str, str]:
    began = f"{now - 2 * 365 * 86400} + {2 * 365 * 86400} * CAST(i AS FLOAT) / {jobs + 1}"
    return {
        "job_id": _id("j"),
        "action": "CASE i % 2 WHEN 0 THEN 'CollectNodes' ELSE 'ProvisionBMNodes' END",
        "zone_id": "'default'",
        "user_id": "'operator'",
        "status": "CASE i % 20 WHEN 0 THEN 'failed' ELSE 'successful' END",
        "create_time": began,
        "start_time": began,
        "finish_time": f"{began} + 60",
    }


def _slice(now: float) -> dict[str, str]:
    return {
        "job_id": _id("j"),
        "slice_index": "0",
        "zone_id": "'default'",
        "status": "CASE i % 20 WHEN 0 THEN 'failed' ELSE 'successful' END",
        "worker": "'gone'",
        "enqueue_time": str(now - 365 * 86400),
    }


def _step() -> dict[str, str]:
    return {
        "job_id": _id("j", f"(i - 1) / {STEPS} + 1"),
        "step_index": f"(i - 1) % {STEPS}",
        "name": "'node_reach'",
        "status": "'successful'",
    }


def _job_node(jobs: int) -> dict[str, str]:
    return {
        "job_id": _id("j", f"i % {jobs} + 1"),
        "node_id": _id("n"),
        "active": "(1 = 0)",
        "status": "'successful'",
    }


def _line(now: float, jobs: int) -> dict[str, str]:
    return {
        "job_id": _id("j", f"i % {jobs} + 1"),
        "number": f"i / {jobs} + 1",
        "time": str(now),
        "job_status": "'step1'",
        "text": "'host-' || i || ': has 16 processors, 63.0 GiB, 4 disks, 3 networks'",
    }


def _make(connection: Connection, table: type[SQLModel], count: int, given: dict[str, str]) -> None:
    """Rows of a table from the numbers 1 to `count`; what is not given is as the table has it."""
    values = {
        column.name: given.get(column.name) or _default(table, column)
        for column in columns(table).columns
    }
    top = select(literal_column("1", Integer).label("i")).cte("numbers", recursive=True)
    i = literal_column("i", Integer)
    numbers = top.union_all(select(i + 1).select_from(top).where(i < count))
    rows = select(*(literal_column(value) for value in values.values())).select_from(numbers)
    connection.execute(insert(columns(table)).from_select(list(values), rows))


def _default(table: type[SQLModel], column: Column[Any]) -> str:
    field = table.model_fields[column.name]
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "(1 = 1)" if value else "(1 = 0)"
    if isinstance(value, (dict, list)):
        return f"'{json.dumps(value)}'"
    return f"'{value}'" if isinstance(value, str) else str(value)
