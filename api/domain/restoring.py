"""What a restored database may still say of the world: its jobs went on after the backup was made."""

from sqlalchemy import Connection

from api.domain.ending import end
from api.states import Reason
from api.store import runs

_WHY = "the database was restored from a backup that was made before the job's end"


def end_unfinished_jobs(connection: Connection) -> int:
    """End every job that was not over, and say how many there were.

    They must not begin again: what they were to install may be in service since.
    """
    unfinished = runs.unfinished_slices(connection)
    for part in unfinished:
        end(connection, part, Reason.RESTORED, _WHY)
    return len({part.job_id for part in unfinished})
