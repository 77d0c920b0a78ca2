"""Fakes that tests share: one that works, one that always fails."""

from sqlalchemy import Connection

from api.errors import Busy


class RecordingQueue:
    """A queue that keeps what was put into it."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, str]] = []

    def enqueue(self, connection: Connection, job_id: str, attempt: int, zone_id: str) -> None:
        self.entries.append((job_id, attempt, zone_id))

    def check(self) -> None:
        pass


class BusyQueue:
    """A queue that cannot be reached."""

    def enqueue(self, connection: Connection, job_id: str, attempt: int, zone_id: str) -> None:
        raise Busy

    def check(self) -> None:
        raise Busy


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
