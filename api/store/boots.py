"""Queries about network boots: what a job expects of a machine, and how far it was seen to come.

A boot without a machine and a job is a discovery: who boots there says so itself.
"""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from api.states import BootMethod, BootState
from api.store.ids import chunks, new_id
from api.store.jobs import add_lines, lock_job
from api.store.now import now
from api.store.sealing import Seal
from api.store.tables import BmNode, Boot, Node, columns

BOOT = columns(Boot)
BM_NODE = columns(BmNode)
NODE = columns(Node)
_IS_DISCOVERY: ColumnElement[bool] = BOOT.c.node_id.is_(None)
UNKNOWN = "an unknown machine"
logger = logging.getLogger("firstbox.boot")
_TOKEN = re.compile(r"(b-[0-9A-Za-z]{8})-([0-9a-f]{32})", re.ASCII)


def open_boot(
    connection: Connection,
    *,
    node_id: str,
    job_id: str,
    provision_id: str,
    mac: str,
    method: str,
    image: str,
    seconds: float,
) -> str:
    """A boot that is answered for `seconds` from now on; its id. The machine's older one is closed."""
    close_boots(connection, [node_id])
    connection.execute(
        update(BOOT).where(_IS_DISCOVERY, BOOT.c.mac == mac).values(state=BootState.CLOSED)
    )
    values = {"node_id": node_id, "job_id": job_id, "provision_id": provision_id, "zone_id": ""}
    return _insert(connection, seconds, mac=mac, method=method, image=image, **values)


def open_discovery(
    connection: Connection, mac: str, *, most: int, seconds: float, pause: float, zone_id: str = ""
) -> str | None:
    """A boot, answered for `seconds`, of a machine nobody knows; its id.

    None for a machine that is known, for one that was answered until less than `pause` seconds ago,
    and while `most` others are at it.
    """
    moment = now(connection)
    connection.execute(
        delete(BOOT).where(_IS_DISCOVERY, BOOT.c.expire_time < moment - pause)  # forgotten by now
    )
    open_ones = select(func.count()).where(
        _IS_DISCOVERY, BOOT.c.state == BootState.OPEN, BOOT.c.expire_time > moment
    )
    if connection.execute(open_ones).scalar_one() >= most or _is_known(connection, mac):
        return None
    nobody = {"node_id": None, "job_id": None, "provision_id": "", "zone_id": zone_id}
    return _insert(connection, seconds, mac=mac, method=BootMethod.IMAGE, image="", **nobody)


def _is_known(connection: Connection, mac: str) -> bool:
    """Whether any machine has this card, as registered or as it was found, or a boot has it."""
    places: tuple[ColumnElement[bool], ...] = (
        exists().where(BOOT.c.mac == mac),
        exists().where(BM_NODE.c.pxe_network_mac_addr == mac),
        exists().where(cast(BOOT.c.hello, Text).contains(mac)),
        exists().where(BM_NODE.c.hardware.contains(mac)),
        exists().where(NODE.c.hardware.contains(mac)),
    )
    return any(connection.execute(select(place)).scalar_one() for place in places)


def _insert(connection: Connection, seconds: float, **values: Any) -> str:
    boot_id = new_id("b")
    connection.execute(
        insert(BOOT).values(
            boot_id=boot_id,
            state=BootState.OPEN,
            create_time=time.time(),
            expire_time=now(connection) + seconds,
            address="",
            host_key="",
            hello={},
            **values,
        )
    )
    return boot_id


def lock_discovery(connection: Connection, boot_id: str) -> Row[Any] | None:
    """A boot that is still nobody's, which nobody else changes until the transaction ends."""
    query = select(BOOT).where(BOOT.c.boot_id == boot_id, _IS_DISCOVERY)
    return connection.execute(query.with_for_update()).one_or_none()


def give_boot(connection: Connection, boot_id: str, **values: Any) -> Row[Any]:
    """It is known now whose boot this is (`node_id`, `provision_id`), and which `job_id` goes on with it."""
    query = update(BOOT).where(BOOT.c.boot_id == boot_id).values(values).returning(BOOT)
    return connection.execute(query).one()


def close_discovery(connection: Connection, boot_id: str) -> None:
    """Answer it no more."""
    connection.execute(update(BOOT).where(BOOT.c.boot_id == boot_id).values(state=BootState.CLOSED))


def token_of(seal: Seal, boot_id: str) -> str:
    """What the URLs of this boot carry: nobody can make it who does not have our keys."""
    return f"{boot_id}-{seal.sign(f'boot {boot_id}')}"


def find_by_tokens(
    connection: Connection, seal: Seal, tokens: Sequence[str]
) -> dict[str, Row[Any]]:
    """The boots that tokens belong to while they are answered: token -> row; others are left out."""
    genuine = {}
    for token in tokens:
        parts = _TOKEN.fullmatch(token)
        if parts is not None and seal.is_signed(f"boot {parts[1]}", parts[2]):
            genuine[parts[1]] = token
    found: dict[str, Row[Any]] = {}
    for chunk in chunks(list(genuine)):
        query = select(BOOT).where(
            BOOT.c.boot_id.in_(chunk),
            BOOT.c.state == BootState.OPEN,
            BOOT.c.expire_time > now(connection),
        )
        found.update((genuine[row.boot_id], row) for row in connection.execute(query))
    return found


def active_boots(connection: Connection, zones: Sequence[str] = ()) -> Sequence[Row[Any]]:
    """Boots whose job still runs, open or local, that are not expired; in order of their MACs.

    With `zones`, those of machines there, and of machines nobody knows.
    """
    is_open = (BOOT.c.state != BootState.CLOSED) & (BOOT.c.expire_time > now(connection))
    query = select(BOOT).where(is_open)
    if zones:
        query = query.join(NODE, NODE.c.node_id == BOOT.c.node_id, isouter=True)
        query = query.where(_IS_DISCOVERY | NODE.c.zone_id.in_(zones))
    return connection.execute(query.order_by(BOOT.c.mac)).all()


def boots_of_nodes(connection: Connection, node_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The active boot of each of these machines: node id -> row; none where there is none."""
    query = select(BOOT).where(BOOT.c.state != BootState.CLOSED, BOOT.c.node_id.in_(node_ids))
    return {row.node_id: row for row in connection.execute(query)}


def in_ramdisk(connection: Connection, node_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The boots of those of these machines that said hello and were not sent on since."""
    boots = boots_of_nodes(connection, node_ids)
    return {
        node_id: boot
        for node_id, boot in boots.items()
        if boot.state == BootState.OPEN and boot.hello_time is not None
    }


def get_boots(connection: Connection, boot_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Boots by the id of their machine."""
    query = select(BOOT).where(BOOT.c.boot_id.in_(boot_ids))
    return {row.node_id: row for row in connection.execute(query)}


def last_boots(connection: Connection, provision_ids: Mapping[str, str]) -> dict[str, Row[Any]]:
    """The last boot of each machine (node id -> provision id) for that installation, closed or not."""
    query = select(BOOT).where(BOOT.c.node_id.in_(list(provision_ids))).order_by(BOOT.c.create_time)
    return {
        row.node_id: row
        for row in connection.execute(query)
        if row.provision_id == provision_ids[row.node_id]
    }


def see(connection: Connection, boots: Mapping[str, Mapping[str, Any]]) -> None:
    """Set columns of boots (id -> values); a time that is known already stays (the first one counts)."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for boot_id, values in boots.items():
        row = {f"to_{name}": value for name, value in values.items()}
        by_columns.setdefault(tuple(values), []).append({"of": boot_id, **row})
    for names, rows in by_columns.items():
        new = {name: bindparam(f"to_{name}", type_=BOOT.c[name].type) for name in names}
        first = {
            name: func.coalesce(BOOT.c[name], value) if name.endswith("_time") else value
            for name, value in new.items()
        }
        connection.execute(
            update(BOOT).where(BOOT.c.boot_id == bindparam("of")).values(first), rows
        )


def take_up(connection: Connection, boot_id: str, job_id: str, seconds: float) -> None:
    """Go on with a boot under another job, or attempt, for `seconds` from now on."""
    connection.execute(
        update(BOOT)
        .where(BOOT.c.boot_id == boot_id)
        .values(job_id=job_id, state=BootState.OPEN, expire_time=now(connection) + seconds)
    )


def set_local(connection: Connection, node_ids: Sequence[str], seconds: float) -> None:
    """Answer these machines no more: they are to boot from their disks within `seconds`."""
    connection.execute(
        update(BOOT)
        .where(BOOT.c.node_id.in_(node_ids), BOOT.c.state == BootState.OPEN)
        .values(state=BootState.LOCAL, expire_time=now(connection) + seconds)
    )


def close_boots(connection: Connection, node_ids: Sequence[str]) -> None:
    """Forget what these machines boot: from now on nothing answers them."""
    connection.execute(
        update(BOOT)
        .where(BOOT.c.node_id.in_(node_ids), BOOT.c.state != BootState.CLOSED)
        .values(state=BootState.CLOSED)
    )


def say(connection: Connection, boot: Row[Any], text: str, *, is_failure: bool = False) -> None:
    """Append a line about this machine to the log of the job that boots it, else to the service's."""
    record(connection, [Sighting(boot, text, is_failure=is_failure)])


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something a booting machine was seen to do."""

    boot: Row[Any]
    text: str  # for the log; "" for nothing new to say
    values: Mapping[str, Any] = field(
        default_factory=dict
    )  # columns of the boot, as `see` takes them
    is_failure: bool = False
    time: float = field(default_factory=time.time)


def record(connection: Connection, sightings: Sequence[Sighting]) -> None:
    """Write down what was seen of any number of machines, each at its own time."""
    seen: dict[str, dict[str, Any]] = {}
    for sighting in sightings:
        if sighting.values:
            earlier = seen.get(sighting.boot.boot_id, {})
            first = {name: value for name, value in earlier.items() if name.endswith("_time")}
            seen[sighting.boot.boot_id] = {**earlier, **sighting.values, **first}
    see(connection, seen)
    by_job: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        if sighting.text and sighting.boot.job_id is None:
            level = logging.WARNING if sighting.is_failure else logging.INFO
            logger.log(level, "%s", _sentence(sighting))
        elif sighting.text:
            by_job.setdefault(sighting.boot.job_id, []).append(sighting)
    for job_id in sorted(by_job):  # so that two who write wait for each other and not in a circle
        job = lock_job(connection, job_id)
        if job is not None:
            lines = [_line(sighting, job.status) for sighting in by_job[job_id]]
            add_lines(connection, job_id, lines)


def _line(sighting: Sighting, job_status: str) -> dict[str, Any]:
    return {
        "time": sighting.time,
        "job_status": job_status,
        "node_id": sighting.boot.node_id,
        "is_failure": sighting.is_failure,
        "text": _sentence(sighting),
    }


def _sentence(sighting: Sighting) -> str:
    return f"{sighting.boot.node_id or UNKNOWN} {sighting.boot.mac}: {sighting.text}"
