"""Whose turn it is: what one worker does at a time, for all of them."""

from sqlalchemy import Connection, update
from sqlalchemy.dialects import postgresql, sqlite

from api.store.now import now
from api.store.tables import Turn, columns

TURN = columns(Turn)


def take_turn(connection: Connection, name: str, seconds: float) -> float | None:
    """Until when nobody else does what is called so, by the database's clock; None while another does."""
    moment = now(connection)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    first = insert(TURN).values(name=name, until=0.0)
    connection.execute(first.on_conflict_do_nothing())
    mine = update(TURN).where(TURN.c.name == name, TURN.c.until <= moment)
    taken = connection.execute(mine.values(until=moment + seconds))
    return moment + seconds if taken.rowcount == 1 else None


def end_turn(connection: Connection, name: str, until: float) -> None:
    """Let others have the turn that was taken until then; nothing if they had to take it already."""
    mine = update(TURN).where(TURN.c.name == name, TURN.c.until == until)
    connection.execute(mine.values(until=0.0))
