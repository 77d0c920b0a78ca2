"""Which slices may go into the queue now, and which are held back until there is room."""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.queueing import Entry, Queue
from api.states import JobAction
from api.store import runs


def admit_slices(connection: Connection, queue: Queue) -> None:
    """Put into the queue what is held back, as far as there is room; the urgent and the old first.

    At most `provision_at_once` machines are installed at a time, all jobs together, and at most
    `at_once` nodes of a job are at work where it says so.
    """
    if not runs.held_slices(connection):
        return
    runs.lock_admission(connection)  # two who count at the same time would both find room
    room = _Room(runs.nodes_at_work(connection), queue.limits.provision_at_once)
    for row in runs.held_slices(connection):
        if room.take(row):
            enqueue(connection, queue, row)


def enqueue(connection: Connection, queue: Queue, row: Row[Any]) -> None:
    """Put a slice's present attempt into the queue of its zone."""
    runs.set_enqueued(connection, row.job_id, row.slice_index)
    entry = Entry(row.job_id, row.slice_index, row.attempt, row.zone_id, row.priority)
    queue.enqueue(connection, entry)


class _Room:
    """How many more nodes may be at work."""

    def __init__(self, at_work: Counter[tuple[str, str]], provision_at_once: int) -> None:
        self._of_job = Counter[str]()
        self._left = provision_at_once
        for (job_id, action), nodes in at_work.items():
            self._of_job[job_id] += nodes
            if action == JobAction.PROVISION_BM_NODES:
                self._left -= nodes

    def take(self, row: Row[Any]) -> bool:
        """Take a slice's place, if there is one."""
        most = row.options.get("at_once")
        if most and self._of_job[row.job_id] and self._of_job[row.job_id] + row.nodes > most:
            return False
        if row.action == JobAction.PROVISION_BM_NODES:
            if row.nodes > self._left:
                self._left = 0  # what comes after it must not overtake it for ever
                return False
            self._left -= row.nodes
        self._of_job[row.job_id] += row.nodes
        return True
