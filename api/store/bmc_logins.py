"""Logins that BMCs refused lately: who tries on is locked out, so they are counted across all scans.

An attempt is counted before it is made, so that neither a scan that is killed nor two at the same
time make more than there may be; one that was not refused is given back.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from api.bmc.target import BmcTarget
from api.registration.logging_in import Verdict
from api.settings import Settings
from api.store.ids import chunks
from api.store.sealing import Seal
from api.store.tables import BmcLogin, columns

BMC_LOGIN = columns(BmcLogin)


class BmcLogins:
    """What may still be tried where; one row for each address that refused something."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.bmc_login_attempts
        self._window = settings.bmc_login_window
        self._seal = Seal(settings.keys)

    def claim(self, connection: Connection, attempts: Sequence[BmcTarget]) -> list[Verdict]:
        """Of each, at an address each, whether it may be made; it counts as refused until released."""
        _make_rows(connection, [attempt.address for attempt in attempts])
        rows = self._lock(connection, [attempt.address for attempt in attempts])
        verdicts = [self._verdict(rows[attempt.address], attempt) for attempt in attempts]
        for attempt, verdict in zip(attempts, verdicts, strict=True):
            if verdict == "may":
                row = rows[attempt.address]
                row["failures"] += 1
                row["refused"] = [*row["refused"], self._seal.sign(_text(attempt))]
                row["time"] = time.time()
        _write(connection, rows)
        return verdicts

    def release(self, connection: Connection, attempts: Mapping[BmcTarget, bool]) -> None:
        """Take back attempts that were not refused. One that let us in (True) ends the count there.

        What was refused before stays known for a while: it would only be refused again.
        """
        rows = self._lock(connection, [attempt.address for attempt in attempts])
        for attempt, is_in in attempts.items():
            row = rows.get(attempt.address)
            if row is not None:
                row["failures"] = 0 if is_in else max(row["failures"] - 1, 0)
                row["refused"] = [one for one in row["refused"] if not self._is(attempt, one)]
        _write(connection, rows)

    def _lock(self, connection: Connection, addresses: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows; what is older than the window is empty in them."""
        oldest = time.time() - self._window
        rows: dict[str, dict[str, Any]] = {}
        for chunk in chunks(sorted(addresses)):
            query = select(BMC_LOGIN).where(BMC_LOGIN.c.address.in_(chunk))
            locked = connection.execute(query.order_by(BMC_LOGIN.c.address).with_for_update())
            for row in locked.mappings():
                nothing = {"failures": 0, "refused": []} if row["time"] < oldest else {}
                rows[row["address"]] = {**row, **nothing}
        return rows

    def _verdict(self, row: Mapping[str, Any], attempt: BmcTarget) -> Verdict:
        if any(self._is(attempt, one) for one in row["refused"]):
            return "refused"
        return "may" if row["failures"] < self._most else "spent"

    def _is(self, attempt: BmcTarget, signature: str) -> bool:
        return self._seal.is_signed(_text(attempt), signature)


def _make_rows(connection: Connection, addresses: Sequence[str]) -> None:
    """A row for each address, also when another scan makes it in the same moment."""
    makes = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    rows = [
        {"address": address, "failures": 0, "refused": [], "time": 0.0}
        for address in sorted(addresses)
    ]
    if rows:
        connection.execute(makes(BMC_LOGIN).on_conflict_do_nothing(), rows)


def _write(connection: Connection, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """The rows as they are now; without those that say nothing."""
    empty = [address for address, row in rows.items() if not row["failures"] and not row["refused"]]
    for chunk in chunks(empty):
        connection.execute(delete(BMC_LOGIN).where(BMC_LOGIN.c.address.in_(chunk)))
    names = ("failures", "refused", "time")
    values = [
        {"at": address, **{f"to_{name}": row[name] for name in names}}
        for address, row in rows.items()
        if row["failures"] or row["refused"]
    ]
    if values:
        columns_to = {name: bindparam(f"to_{name}", type_=BMC_LOGIN.c[name].type) for name in names}
        where = BMC_LOGIN.c.address == bindparam("at")
        connection.execute(update(BMC_LOGIN).where(where).values(columns_to), values)


def _text(attempt: BmcTarget) -> str:
    # Line breaks, which no user name has: "a" with "bc" is not "ab" with "c".
    return f"bmc login\n{attempt.address}\n{attempt.username}\n{attempt.password}"
