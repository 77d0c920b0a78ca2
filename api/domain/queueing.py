"""The seam to the job engine: what the domain needs of a queue."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at a time, as the settings of these names say."""

    slice_nodes: int = 200
    provision_at_once: int = 200
    max_failures: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt of a slice, as it waits in its zone's queue."""

    job_id: str
    slice_index: int
    attempt: int
    zone_id: str
    priority: int


class Queue(Protocol):
    """Where slices of jobs wait for a worker; `api.jobs.queue` is the real one."""

    @property
    def limits(self) -> Limits:
        """How much at a time."""

    def enqueue(self, connection: Connection, entry: Entry) -> None:
        """Put an attempt of a slice in its zone's queue, in the caller's transaction."""

    def check(self) -> None:
        """Raise Busy unless jobs can be enqueued now."""
