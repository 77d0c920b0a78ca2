"""How many there are of what is shown page by page."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select


def total(
    connection: Connection,
    count: Select[int],
    rows: Sequence[Row[Any]],
    *,
    limit: int | None,
    offset: int,
) -> int:
    """How many match in all; asked (`count`) only if the page does not tell, by being the last one."""
    is_last = (rows or not offset) and (limit is None or len(rows) < limit)
    return offset + len(rows) if is_last else connection.execute(count).scalar_one()
