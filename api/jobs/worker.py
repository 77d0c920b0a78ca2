"""A worker: takes jobs from its zone's queue, holds their leases, and takes over from the dead."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.engine import Engine

from api.domain import jobs as rules
from api.errors import Busy
from api.jobs import directory, guard, queue
from api.jobs.lease import LEASE, RENEW, SILENCE, new_worker_id
from api.settings import Settings
from api.states import BOOTING, DEFAULT_ZONE, Reason
from api.store import jobs
from api.store.session import open_database, reading, writing

_GRACE = 8.0  # seconds a cancelled run has to write down its end
_GRACE_TO_STAND_DOWN = 150.0  # and to switch off the machines it was installing
_LOOK = 1.0  # seconds between two looks at the cancel flag

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK", "TMPDIR")

logger = logging.getLogger("firstbox.worker")


def work(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT; their runs end with us and the jobs go back."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    Worker(settings).run_until(stop)


class Worker:
    """Runs jobs until `stop`; everything it started is ended with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine = open_database(
            settings.database, pool_size=settings.worker_concurrency + 3
        )
        self._queue = queue.JobQueue(self._engine)
        self._id = new_worker_id()
        self._stopping = threading.Event()

    def run_until(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then end the runs and put their jobs back."""
        engine = queue.work(self._settings, self._id, self.run_job)
        logger.info("worker %s serves zone %s", self._id, DEFAULT_ZONE)
        try:
            while not stop.wait(RENEW):
                self._take_over()
        finally:
            self._stopping.set()
            engine.destroy(workflow_completion_timeout_sec=15)
            self._engine.dispose()

    def run_job(self, job_id: str, attempt: int) -> None:
        """One attempt of a job, from the claim to its end (called by the job engine)."""
        run = jobs.Run(job_id, attempt, self._id)
        with writing(self._engine) as connection:
            if self._stopping.is_set() or not jobs.claim(connection, run, LEASE):
                return
            job = jobs.get_job(connection, job_id)
            assert job is not None  # noqa: S101  # claimed two lines above
        with (self._settings.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                _command(run, job.action),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd=self._settings.content,
            )
        try:
            self._hold(run, process)
        finally:
            assert process.stdin is not None  # noqa: S101  # asked for above
            process.stdin.close()  # the guard ends whatever is left
            process.wait()
            directory.remove(f"{job_id}.{attempt}")
        self._settle(run)

    def _hold(self, run: jobs.Run, process: "subprocess.Popen[bytes]") -> None:
        """Renew the lease while the run lives; pass a cancel on; stop when the job is lost."""
        renewed = time.monotonic()
        is_cancelled = False
        while not self._stopping.is_set():
            if _has_ended(process, _LOOK):
                return
            try:
                if time.monotonic() - renewed >= RENEW:
                    with writing(self._engine) as connection:
                        jobs.renew(connection, run, LEASE)
                    renewed = time.monotonic()
                    _tell(process, guard.ALIVE)
                with reading(self._engine) as connection:
                    job = jobs.get_job(connection, run.job_id)
            except Busy:
                continue  # not renewed: after SILENCE seconds of this the guard ends the run
            except jobs.RunLost:
                return
            if job is not None and job.cancel and not is_cancelled:
                is_cancelled = True
                _tell(process, guard.CANCEL)

    def _settle(self, run: jobs.Run) -> None:
        """If the run left no end in the database, write one, or let the job be tried again."""
        give_up = time.monotonic() + LEASE
        while time.monotonic() < give_up:
            try:
                with writing(self._engine) as connection:
                    job = jobs.lock_run(connection, run)
                    self._try_again(connection, job, "its run ended without a word")
                return
            except jobs.RunLost:
                return
            except Busy:
                time.sleep(1)  # the reaper of some worker will see to it

    def _take_over(self) -> None:
        """Put jobs back that dead workers left: those they held, and those they never claimed."""
        now = time.time()
        try:
            with reading(self._engine) as connection:
                abandoned = jobs.abandoned_jobs(connection, now)
                unclaimed = jobs.unclaimed_jobs(connection, now - LEASE)
            unclaimed = [
                job for job in unclaimed if not self._queue.is_waiting(job.job_id, job.attempt)
            ]
            for job in [*abandoned, *unclaimed]:
                with writing(self._engine) as connection:
                    if not jobs.lock_unchanged(connection, job):
                        continue  # another worker was faster, or its own is back
                    self._try_again(connection, job, f"worker {job.worker or '?'} fell silent")
                self._queue.free(job.job_id, job.attempt)
                directory.remove(f"{job.job_id}.{job.attempt}")
        except Busy as error:
            logger.warning("cannot look after other workers' jobs: %s", error)

    def _try_again(self, connection: Connection, job: Row[Any], what: str) -> None:
        is_last = job.attempt >= self._settings.max_attempts and not self._stopping.is_set()
        # What booted machines begins once more when it is cancelled, only to switch them off.
        is_ours = job.action in BOOTING and not job.command
        stands_down = is_ours and not is_last
        if job.cancel and not stands_down:
            rules.end(connection, job, Reason.CANCELLED, "cancelled")
        elif job.command:
            rules.end(connection, job, Reason.RUN_ENDED, "the shell that ran it is gone")
        elif is_last:
            rules.end(connection, job, Reason.WORKER_LOST, f"{what}, {job.attempt} times over")
        elif jobs.start_over(connection, job):
            line = {
                "time": time.time(),
                "job_status": job.status,
                "node_id": "",
                "is_failure": False,
                "text": f"{job.action}: {what}; attempt {job.attempt + 1} begins from the start",
            }
            jobs.add_lines(connection, job.job_id, [line])
            self._queue.enqueue(connection, job.job_id, job.attempt + 1, job.zone_id)


def _command(run: jobs.Run, action: str) -> list[str]:
    grace = _GRACE_TO_STAND_DOWN if action in BOOTING else _GRACE
    fence = [sys.executable, "-I", guard.__file__, str(SILENCE), str(grace)]
    attempt = [run.job_id, str(run.attempt), run.worker]
    return [*fence, sys.executable, "-m", "api.jobs.run", *attempt]


def _has_ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _tell(process: "subprocess.Popen[bytes]", word: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  # a pipe was asked for
    try:
        process.stdin.write(word)
        process.stdin.flush()
    except BrokenPipeError:
        return  # the guard is gone; its exit is seen by the wait


def _environment() -> dict[str, str]:
    """What a run gets of this process's environment: its settings, and little else."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("FIRSTBOX_")}
    kept |= {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept["PYTHONPATH"] = str(Path(__file__).parents[2])
    return kept
