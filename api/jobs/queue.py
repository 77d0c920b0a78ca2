"""The job engine's one seam: everything we ask of DBOS stands here.

DBOS keeps who waits in which queue, in our own database, so that a job and its place in the queue
are committed together. What it does not give (leases, takeover) stands in the job_slice table.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Connection, Engine

from api.domain.queueing import Entry, Limits
from api.settings import Settings
from api.store.ids import chunks
from api.store.runs import run_name
from api.store.session import connect_args, translated

_WORKFLOW = "run_slice"
# Pinned: DBOS hands a job only to workers of the version it was enqueued under, and an upgrade
# must not strand what waits.
_VERSION = "1"
_NAME = "firstbox"
_SECONDS_TO_BEGIN = 60.0  # that the engine has for a slice it took
_OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def prepare(settings: Settings) -> None:
    """Make or migrate the engine's tables; safe to repeat."""
    DBOS.migrate(settings.database)


class JobQueue:
    """Where slices of jobs wait; implements `api.domain.queueing.Queue`."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.limits = Limits(
            settings.slice_nodes, settings.provision_at_once, settings.max_failures
        )
        self._client = DBOSClient(
            system_database_engine=engine,
            application_name=_NAME,
            lazy=True,
            retry_connection_errors=False,
        )

    def enqueue(self, connection: Connection, entry: Entry) -> None:
        """Put an attempt of a slice in its zone's queue, in the caller's transaction."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": _WORKFLOW,
                "queue_name": _queue(entry.zone_id),
                "workflow_id": run_name(entry.job_id, entry.slice_index, entry.attempt),
                "app_version": _VERSION,
                "priority": entry.priority,
            },
            entry.job_id,
            entry.slice_index,
            entry.attempt,
        )

    def free(self, job_id: str, slice_index: int, attempt: int) -> None:
        """End the entry of an attempt whose worker died, so that it counts as running no more."""
        with translated():
            self._client.cancel_workflow(run_name(job_id, slice_index, attempt))

    def waiting(self, names: Sequence[str]) -> set[str]:
        """Those of these attempts (`<job>.<slice>.<attempt>`) that wait in a queue: no worker took them."""
        found: set[str] = set()
        for some in chunks(names):
            with translated():
                left = self._client.list_workflows(
                    workflow_ids=list(some),
                    status=["ENQUEUED", "DELAYED"],
                    load_input=False,
                    load_output=False,
                )
            found.update(entry.workflow_id for entry in left)
        return found

    def forget(self, before: float, most: int) -> int:
        """Remove up to `most` entries that were over before then (seconds since 1970); how many."""
        until = datetime.fromtimestamp(before, UTC).isoformat()
        with translated():
            over = self._client.list_workflows(
                completed_before=until, limit=most, load_input=False, load_output=False
            )
            names = [entry.workflow_id for entry in over if entry.status in _OVER]
            if names:
                self._client.delete_workflows(names)
        return len(names)

    def check(self) -> None:
        """Raise Busy unless jobs can be enqueued now."""
        with translated():
            self._client.list_workflows(limit=1)


class Server:
    """Takes slices out of the queues of some zones, or of all of them, until it is closed.

    Each is a call of `run_slice(job_id, slice_index, attempt)` in a thread of its own.
    """

    def __init__(
        self, settings: Settings, worker_id: str, run_slice: Callable[[str, int, int], None]
    ) -> None:
        self._settings = settings
        self._known: set[str] = set()
        self._places = _Places(settings.worker_concurrency)

        @DBOS.workflow(name=_WORKFLOW)
        def run(job_id: str, slice_index: int, attempt: int) -> None:
            try:
                run_slice(job_id, slice_index, attempt)
            finally:
                self._places.give_back(run_name(job_id, slice_index, attempt))

        self._dbos = DBOS(config=_config(settings, worker_id))
        if settings.served_zones:
            DBOS.listen_queues([_queue(zone_id) for zone_id in settings.served_zones])
        DBOS.launch()
        self._places.limit(self._dbos)
        self.serve(settings.served_zones)

    def serve(self, zones: Collection[str]) -> None:
        """Make the queues of these zones, if they are not there yet."""
        for zone_id in set(zones) - self._known:
            most = self._settings.zone_concurrency.get(zone_id)
            DBOS.register_queue(
                _queue(zone_id),
                worker_concurrency=min(self._settings.worker_concurrency, most or 64),
                global_concurrency=most,
                polling_interval_sec=self._settings.queue_poll,
                on_conflict="always_update",
            )
            self._known.add(zone_id)

    def rest(self) -> None:
        """Take nothing more; what runs goes on."""
        self._places.most = 0

    def is_idle(self) -> bool:
        """Whether nothing runs. A slice that is taken in this very moment is not seen yet."""
        return not self._dbos._active_workflows_set.activeList()

    def close(self, seconds: int) -> None:
        """Take nothing more, and wait so long for what runs."""
        self._dbos.destroy(workflow_completion_timeout_sec=seconds)


def _config(settings: Settings, worker_id: str) -> DBOSConfig:
    driver = connect_args(settings.database)
    return {
        "db_engine_kwargs": {"connect_args": driver} if driver else {},
        "name": _NAME,
        "system_database_url": settings.database,
        "executor_id": worker_id,
        "application_version": _VERSION,
        "log_level": "WARNING",
        "use_listen_notify": False,  # `firstbox init` makes the tables without it
        "run_migrations": False,
        "scheduler_polling_interval_sec": 3600.0,
        "notification_listener_polling_interval_sec": 2.0,
    }


class _Places:
    """Holds this worker to so many slices at a time, in all of its queues together.

    DBOS keeps one limit per queue in the database, the same for every worker, and looks into each
    queue in a thread of its own. So we put our limit where it reads that of the database, and let one
    thread at a time take what there are places for.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._taken: dict[str, float] = {}  # name of the run -> when, by the monotonic clock

    def limit(self, engine: DBOS) -> None:
        """Put the limit into the engine."""
        system: Any = engine._sys_db
        read, take = system.get_queue, system.start_queued_workflows

        def get_queue(name: str) -> Any:
            found = read(name)
            if found is not None and name.startswith(_queue("")):
                found._worker_concurrency = self.most
            return found

        def start_queued_workflows(
            queue: Any, executor: str, version: str, key: str | None, running: int = 0, **rest: Any
        ) -> Any:
            if not queue.name.startswith(_queue("")):
                return take(queue, executor, version, key, running, **rest)
            with self._lock:
                self._forget(engine._active_workflows_set.activeList())
                queue._worker_concurrency = running + max(0, self.most - len(self._taken))
                names, why = take(queue, executor, version, key, running, **rest)
                self._taken |= dict.fromkeys(names, time.monotonic())
            return names, why

        system.get_queue, system.start_queued_workflows = get_queue, start_queued_workflows

    def give_back(self, name: str) -> None:
        """The run of this name is over."""
        with self._lock:
            self._taken.pop(name, None)

    def _forget(self, running: Collection[str]) -> None:
        """Nobody gives back what the engine took and could not begin."""
        before = time.monotonic() - _SECONDS_TO_BEGIN
        lost = [name for name, when in self._taken.items() if when < before and name not in running]
        for name in lost:
            del self._taken[name]


def _queue(zone_id: str) -> str:
    return f"zone-{zone_id}"
