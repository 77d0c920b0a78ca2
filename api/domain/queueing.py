"""The seam to the job engine: what the domain needs of a queue."""

from typing import Protocol

from sqlalchemy import Connection


class Queue(Protocol):
    """Where jobs wait for a worker; `api.jobs.queue` is the real one."""

    def enqueue(self, connection: Connection, job_id: str, attempt: int, zone_id: str) -> None:
        """Put attempt `attempt` of a job in the zone's queue, in the caller's transaction."""

    def check(self) -> None:
        """Raise Busy unless jobs can be enqueued now."""
