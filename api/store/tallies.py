"""Numbers that only grow, counted by all processes together, for `/metrics`.

They are written as the last thing of their transaction and in one order, so that two transactions
that count the same never wait for each other crosswise, nor for longer than a commit takes.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from api.store.ids import chunks
from api.store.tables import Tally, columns

TALLY = columns(Tally)
_OPTION = "tallies"  # where a transaction keeps what it counted
_Counted = defaultdict[tuple[str, str], float]
ENDLESS = "+Inf"
# Upper bounds of durations in seconds: from the touch of a button to an installer on a slow disk.
BOUNDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


class Total(NamedTuple):
    """How often something happened so far, or how long it took in all."""

    name: str
    labels: dict[str, str]
    value: float


def begin(connection: Connection) -> None:
    """Let the transaction count; see `api.store.session.writing`, which calls this and `write`."""
    connection.execution_options(**{_OPTION: defaultdict(float)})


def add(connection: Connection, name: str, labels: Mapping[str, str], value: float = 1) -> None:
    """Count something that happened, if the transaction is not undone."""
    counted: _Counted = connection.get_execution_options()[_OPTION]
    counted[name, json.dumps(dict(labels), sort_keys=True)] += value


def observe(connection: Connection, name: str, labels: Mapping[str, str], seconds: float) -> None:
    """Count something that took a while: in `<name>` by its label `le`, and in `<name>_sum`."""
    bound = next((f"{bound:g}" for bound in BOUNDS if seconds <= bound), ENDLESS)
    add(connection, name, {**labels, "le": bound})
    add(connection, f"{name}_sum", labels, max(seconds, 0))  # clocks are set back at times


def write(connection: Connection) -> None:
    """Write down what the transaction counted, right before it is committed."""
    counted: _Counted = connection.get_execution_options()[_OPTION]
    rows = [
        {"name": name, "labels": labels, "value": value}
        for (name, labels), value in sorted(counted.items())
    ]
    for chunk in chunks(rows):
        _upsert(connection, chunk)


def _upsert(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(TALLY).values(rows)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[TALLY.c.name, TALLY.c.labels],
            set_={"value": TALLY.c.value + statement.excluded.value},
        )
    )


def totals(connection: Connection) -> list[Total]:
    """Everything that was ever counted, by name and labels."""
    query = select(TALLY.c.name, TALLY.c.labels, TALLY.c.value)
    rows = connection.execute(query.order_by(TALLY.c.name, TALLY.c.labels))
    return [Total(name, json.loads(labels), value) for name, labels, value in rows]
