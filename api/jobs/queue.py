"""The job engine's one seam: everything we ask of DBOS stands here.

DBOS keeps who waits in which queue, in our own database, so that a job and its place in the queue
are committed together. What it does not give (leases, takeover) stands in the job table.
"""

from collections.abc import Callable

from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Connection, Engine

from api.settings import Settings
from api.states import DEFAULT_ZONE
from api.store.session import translated

_WORKFLOW = "run_job"
# Pinned: DBOS hands a job only to workers of the version it was enqueued under, and an upgrade
# must not strand what waits.
_VERSION = "1"
_NAME = "firstbox"


def prepare(settings: Settings) -> None:
    """Make or migrate the engine's tables; safe to repeat."""
    DBOS.migrate(settings.database)


class JobQueue:
    """Where jobs wait; implements `api.domain.queueing.Queue`."""

    def __init__(self, engine: Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine,
            application_name=_NAME,
            lazy=True,
            retry_connection_errors=False,
        )

    def enqueue(self, connection: Connection, job_id: str, attempt: int, zone_id: str) -> None:
        """Put an attempt of a job in the zone's queue, in the caller's transaction."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": _WORKFLOW,
                "queue_name": _queue(zone_id),
                "workflow_id": _entry(job_id, attempt),
                "app_version": _VERSION,
            },
            job_id,
            attempt,
        )

    def free(self, job_id: str, attempt: int) -> None:
        """End the entry of an attempt whose worker died, so that it counts as running no more."""
        with translated():
            self._client.cancel_workflow(_entry(job_id, attempt))

    def is_waiting(self, job_id: str, attempt: int) -> bool:
        """True while the entry waits in its queue; False once a worker took it, or it is gone."""
        with translated():
            found = self._client.list_workflows(workflow_ids=[_entry(job_id, attempt)])
        return bool(found) and found[0].status in ("ENQUEUED", "DELAYED")

    def check(self) -> None:
        """Raise Busy unless jobs can be enqueued now."""
        with translated():
            self._client.list_workflows(limit=1)


def work(settings: Settings, worker_id: str, run_job: Callable[[str, int], None]) -> DBOS:
    """Call `run_job(job_id, attempt)` for what waits in this zone's queue, until destroyed.

    At most `worker_concurrency` calls at a time, each in a thread of its own.
    """

    @DBOS.workflow(name=_WORKFLOW)
    def run(job_id: str, attempt: int) -> None:
        run_job(job_id, attempt)

    config: DBOSConfig = {
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
    worker = DBOS(config=config)
    DBOS.listen_queues([_queue(DEFAULT_ZONE)])
    DBOS.launch()
    DBOS.register_queue(
        _queue(DEFAULT_ZONE),
        worker_concurrency=settings.worker_concurrency,
        polling_interval_sec=settings.queue_poll,
        on_conflict="always_update",
    )
    return worker


def _queue(zone_id: str) -> str:
    return f"zone-{zone_id}"


def _entry(job_id: str, attempt: int) -> str:
    return f"{job_id}.{attempt}"
