"""Fakes that tests share: one that works, one that always fails."""

from sqlalchemy import Connection

from api.domain.queueing import Entry, Limits
from api.errors import Busy


class RecordingQueue:
    """A queue that keeps what was put into it."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.entries: list[Entry] = []

    def enqueue(self, connection: Connection, entry: Entry) -> None:
        self.entries.append(entry)

    def check(self) -> None:
        pass


class BusyQueue:
    """A queue that cannot be reached."""

    limits = Limits()

    def enqueue(self, connection: Connection, entry: Entry) -> None:
        raise Busy

    def check(self) -> None:
        raise Busy


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
