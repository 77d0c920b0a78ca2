"""What time it is for all hosts: leases are measured by the database's clock."""

import time

from sqlalchemy import Connection, text


def now(connection: Connection) -> float:
    """Seconds since 1970 by the database's clock; of SQLite, that of this host."""
    if connection.dialect.name == "sqlite":
        return time.time()
    clock = text("SELECT extract(epoch FROM clock_timestamp())")
    return float(connection.execute(clock).scalar_one())
