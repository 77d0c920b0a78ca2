"""Every secret in the database, sealed anew with the first key, in batches, while others work.

Whatever stores sealed text is named here, else its secrets are lost when an old key is dropped.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, func, select, update

from api.errors import FirstboxError
from api.states import BootState, JobAction
from api.store.boots import BOOT
from api.store.jobs import JOB
from api.store.now import now
from api.store.sealing import Seal
from api.store.session import reading, writing
from api.store.tables import BmNode, Webhook, columns

_BATCH = 100  # rows in one transaction: some milliseconds of it
_PAUSE = 0.02  # seconds between two: on SQLite, whoever waits to write looks again by then

# Tables with a sealed text in a column of its own.
_SEALED: tuple[tuple[Table, str], ...] = (
    (columns(BmNode), "ipmi_password"),
    (columns(Webhook), "secret"),
)


@dataclass(slots=True)
class Resealed:
    """What became of the secrets that another key than the first had sealed."""

    done: int = 0
    lost: int = 0  # none of the keys opens them


def reseal(engine: Engine, seal: Seal) -> Resealed:
    """Seal with the first key what another one sealed; safe to repeat, and to interrupt.

    A secret that somebody changes meanwhile stays as they wrote it.
    """
    result = Resealed()
    anew = partial(_anew, seal, result)
    for table, name in _SEALED:
        for rows in _pages(engine, table, table.c[name]):
            _write_texts(engine, table, name, rows, anew)
    of_scans = JOB.c.action == JobAction.SCAN_BM_NODES
    for rows in _pages(engine, JOB, JOB.c.options, of_scans):
        _write_logins(engine, rows, anew)
    return result


def check_seal(connection: Connection, seal: Seal) -> None:
    """Raise FirstboxError where the keys do not open the database's secrets; looks at one of each kind."""
    for table, name in _SEALED:
        query = select(table.c[name]).where(table.c[name] != "").limit(1)
        if (sealed := connection.execute(query).scalar()) is not None:
            seal.open(sealed)


def count_older_boots(connection: Connection, moment: float) -> int:
    """How many machines that boot hold a token made before `moment` (seconds since 1970)."""
    query = select(func.count()).where(
        BOOT.c.state != BootState.CLOSED,
        BOOT.c.create_time < moment,
        BOOT.c.expire_time > now(connection),
    )
    return int(connection.execute(query).scalar_one())


def _anew(seal: Seal, result: Resealed, sealed: str) -> str:
    """The same secret under the first key."""
    if seal.is_current(sealed):
        return sealed
    try:
        secret = seal.open(sealed)
    except FirstboxError:
        result.lost += 1
        return sealed
    result.done += 1
    return seal.close(secret)


def _pages(
    engine: Engine, table: Table, column: Column[Any], *where: Any
) -> Iterator[dict[str, Any]]:
    """The table's keys with that column, a batch at a time."""
    key = next(iter(table.primary_key))
    last = ""
    while True:
        query = select(key, column).where(key > last, *where).order_by(key).limit(_BATCH)
        with reading(engine) as connection:
            rows = {row[0]: row[1] for row in connection.execute(query)}
        if not rows:
            return
        yield rows
        time.sleep(_PAUSE)
        last = list(rows)[-1]  # in the database's order, whatever that is


def _write_texts(
    engine: Engine,
    table: Table,
    name: str,
    sealed: Mapping[str, str],
    anew: Callable[[str], str],
) -> None:
    key = next(iter(table.primary_key))
    changes = {at: new for at, old in sealed.items() if (new := anew(old)) != old}
    if not changes:
        return
    with writing(engine) as connection:
        for at, new in changes.items():
            unchanged = (key == at, table.c[name] == sealed[at])
            connection.execute(update(table).where(*unchanged).values({name: new}))


def _write_logins(
    engine: Engine, options: Mapping[str, dict[str, Any]], anew: Callable[[str], str]
) -> None:
    """A scan's logins stand in its job's options, which nobody changes."""
    changes = {at: new for at, old in options.items() if (new := _with_logins(old, anew)) != old}
    if not changes:
        return
    with writing(engine) as connection:
        for at, new in changes.items():
            connection.execute(update(JOB).where(JOB.c.job_id == at).values(options=new))


def _with_logins(options: dict[str, Any], anew: Callable[[str], str]) -> dict[str, Any]:
    logins = [{**one, "password": anew(one["password"])} for one in options.get("logins", [])]
    return {**options, "logins": logins} if logins else options
