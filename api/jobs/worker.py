"""A worker: takes slices of jobs from its zones' queues, holds their leases, and takes over from the dead."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.engine import Engine

from api.domain.admission import admit_slices, enqueue
from api.domain.counting import count_lost_run
from api.domain.ending import end
from api.errors import Busy
from api.jobs import directory, guard
from api.jobs.chores import done_beside
from api.jobs.lease import Lease, new_worker_id
from api.jobs.queue import JobQueue, Server
from api.jobs.silences import Silences
from api.jobs.spans import record_job, record_run
from api.settings import Settings
from api.states import BOOTING, DEFAULT_ZONE, Reason, step_status
from api.store import jobs, runs, workers
from api.store.session import open_database, reading, writing
from api.tracing import Tracing
from api.trail import Trail, following

_GRACE = 8.0  # seconds a cancelled run has to write down its end
_GRACE_TO_STAND_DOWN = 150.0  # and to switch off the machines it was installing
_LOOK = 1.0  # seconds between two looks at the cancel flag
_LONGEST_GOODBYE = 10.0  # seconds to end after all is closed
_MOST_PAUSE = 5.0  # seconds between two looks after what others left

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK", "TMPDIR")

logger = logging.getLogger("firstbox.worker")


def work(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT; their runs end with us and the jobs go back.

    After SIGUSR1 nothing more is begun, and we end when the last run has ended by itself.
    """
    stop, retire = threading.Event(), threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        (retire if number == signal.SIGUSR1 else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, on_signal)
    with done_beside(settings, stop):
        Worker(settings).run_until(stop, retire)
    # What waits for a database that is away (the engine's threads) must not keep us for ever; runs
    # are over by now, and their slices are another's after their lease.
    last_moment = threading.Timer(_LONGEST_GOODBYE, os._exit, [1])
    last_moment.daemon = True
    last_moment.start()


class Worker:
    """Runs jobs until `stop`; everything it started is ended with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine = open_database(
            settings.database, pool_size=settings.worker_concurrency + 3
        )
        self._queue = JobQueue(self._engine, settings)
        self._lease = Lease(settings.lease)
        self._tracing = Tracing(settings, "firstbox-worker")
        self._id = new_worker_id()
        self._silences = Silences(self._lease.seconds)
        self._stopping = threading.Event()
        self._idle_looks = 0  # since it is to retire

    def run_until(self, stop: threading.Event, retire: threading.Event) -> None:
        """Work until `stop` is set, then end the runs and put their jobs back.

        After `retire` is set, begin nothing, and end when nothing runs.
        """
        server = Server(self._settings, self._id, self.run_slice)
        zones = self._settings.served_zones
        if not zones:
            server.serve([DEFAULT_ZONE])
        logger.info("worker %s serves %s", self._id, ", ".join(zones) or "every zone")
        with suppress(Busy):
            self._beat()
        try:
            while not stop.wait(min(self._lease.renew, _MOST_PAUSE)):
                self._look_after(server)
                if retire.is_set() and self._has_retired(server):
                    logger.info("worker %s has finished what it had", self._id)
                    return
        finally:
            self._stopping.set()
            server.close(15)
            self._leave()
            self._tracing.close()
            self._engine.dispose()

    def run_slice(self, job_id: str, slice_index: int, attempt: int) -> None:
        """One attempt of a slice, from the claim to its end (called by the job engine)."""
        run = runs.Run(job_id, attempt, self._id, slice_index)
        part = self._claim(run)
        if part is None:
            return
        with _belonging_to(part):
            logger.info("run %s begins in zone %s", run.name, part.zone_id)
            began = time.time()
            self._run(run, part.action)
            logger.info("run %s ended after %.1f s", run.name, time.time() - began)
            if part.trace:
                with suppress(Busy), reading(self._engine) as connection:
                    record_run(self._tracing, connection, run, began=began)
        with suppress(Busy):  # then the next look after the others' does it
            self._admit()

    def _claim(self, run: runs.Run) -> Row[Any] | None:
        began = time.monotonic()
        with writing(self._engine) as connection:
            if self._stopping.is_set() or not runs.claim(connection, run, self._lease.seconds):
                return None
            part = runs.get_slice(connection, run.job_id, run.slice_index)
        # Later than that, the guard would begin to count too late.
        return part if time.monotonic() < began + self._lease.answer else None

    def _run(self, run: runs.Run, action: str) -> None:
        with (self._settings.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                _command(run, action, self._lease),
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
            directory.remove(run.name)
        self._settle(run)

    def _hold(self, run: runs.Run, process: "subprocess.Popen[bytes]") -> None:
        """Renew the lease while the run lives; pass a cancel on; stop when the job is lost."""
        renewed = time.monotonic()
        is_cancelled = False
        while not self._stopping.is_set():
            if _has_ended(process, _LOOK):
                return
            try:
                began = time.monotonic()
                if began - renewed >= self._lease.renew:
                    with writing(self._engine) as connection:
                        cancel = runs.renew(connection, run, self._lease.seconds)
                    renewed = began  # the lease counts from before the database was asked
                    if time.monotonic() < began + self._lease.answer:
                        _tell(process, guard.ALIVE)
                else:
                    with reading(self._engine) as connection:
                        cancel = runs.is_cancelled(connection, run.job_id)
            except Busy:
                continue  # not renewed: after some time of this the guard ends the run
            except runs.RunLost:
                return
            if cancel and not is_cancelled:
                is_cancelled = True
                _tell(process, guard.CANCEL)

    def _settle(self, run: runs.Run) -> None:
        """If the run left no end in the database, write one, or let the slice be tried again."""
        give_up = time.monotonic() + self._lease.seconds
        while time.monotonic() < give_up:
            try:
                with writing(self._engine) as connection:
                    part = runs.lock_run(connection, run)
                    self._try_again(connection, part, "its run ended without a word")
                return
            except runs.RunLost:
                return
            except Busy:
                time.sleep(1)  # the reaper of some worker will see to it

    def _look_after(self, server: Server) -> None:
        """What every worker does for all: take over from the dead, let in who was held back."""
        try:
            self._beat()
            self._take_over()
            self._admit()
            if not self._settings.served_zones:
                with reading(self._engine) as connection:
                    zones = runs.waiting_zones(connection)
                server.serve(zones)
        except Busy as error:
            logger.warning("cannot look after other workers' jobs: %s", error)

    def _has_retired(self, server: Server) -> bool:
        """Whether nothing runs, at two looks in a row: at the first, a slice may have just been taken."""
        server.rest()
        self._idle_looks = self._idle_looks + 1 if server.is_idle() else 0
        return self._idle_looks >= 2

    def _beat(self) -> None:
        with writing(self._engine) as connection:
            workers.beat(
                connection,
                self._id,
                zones=self._settings.served_zones,
                concurrency=self._settings.worker_concurrency,
                lease=self._lease.seconds,
            )

    def _leave(self) -> None:
        with suppress(Busy), writing(self._engine) as connection:
            workers.leave(connection, self._id)

    def _admit(self) -> None:
        with reading(self._engine) as connection:
            if not runs.held_slices(connection):
                return
        with writing(self._engine) as connection:
            admit_slices(connection, self._queue)

    def _take_over(self) -> None:
        """Put slices back that dead workers left: those they held, and those they never claimed."""
        with reading(self._engine) as connection:
            silent = self._silences.too_long(runs.slices_under_way(connection))
        unclaimed = [_name(part) for part in silent if part.worker is None]
        waiting = self._queue.waiting(unclaimed)
        for seen in silent:
            if _name(seen) in waiting:
                self._silences.wait_again(seen)
            else:
                self._take(seen)

    def _take(self, seen: Row[Any]) -> None:
        with writing(self._engine) as connection:
            part = runs.lock_unchanged(connection, seen)
            if part is None:
                return  # another worker was faster, or its own is back
            with _belonging_to(part):
                self._try_again(connection, part, f"worker {part.worker or '?'} fell silent")
        if part.trace:
            with reading(self._engine) as connection:
                record_job(self._tracing, connection, part.job_id, part.slice_index)
        self._queue.free(part.job_id, part.slice_index, part.attempt)
        directory.remove(_name(part))

    def _try_again(self, connection: Connection, part: Row[Any], what: str) -> None:
        logger.warning("run %s: %s", _name(part), what)
        is_last = part.attempt >= self._settings.max_attempts and not self._stopping.is_set()
        # What booted machines begins once more when it is cancelled, only to switch them off.
        is_ours = part.action in BOOTING and not part.command
        stands_down = is_ours and not is_last
        if part.cancel and not stands_down:
            end(connection, part, Reason.CANCELLED, "cancelled")
        elif part.command:
            end(connection, part, Reason.RUN_ENDED, "the shell that ran it is gone")
        elif is_last:
            end(connection, part, Reason.WORKER_LOST, f"{what}, {part.attempt} times over")
        elif runs.start_over(connection, part):
            line = {
                "time": time.time(),
                "job_status": step_status(part.step_index),
                "node_id": "",
                "is_failure": False,
                "text": f"{part.action}: {what}; attempt {part.attempt + 1} begins from the start",
            }
            jobs.add_lines(connection, part.job_id, [line])
            count_lost_run(connection, part.action)
            again = runs.get_slice(connection, part.job_id, part.slice_index)
            assert again is not None  # noqa: S101  # changed some lines above
            enqueue(connection, self._queue, again)


def _belonging_to(part: Row[Any]) -> AbstractContextManager[Trail]:
    """What is done within is done for this slice: the log says so."""
    return following(
        job_id=part.job_id,
        request_id=part.request_id,
        action=part.action,
        user=part.user_id,
    )


def _name(part: Row[Any]) -> str:
    return runs.run_name(part.job_id, part.slice_index, part.attempt)


def _command(run: runs.Run, action: str, lease: Lease) -> list[str]:
    grace = _GRACE_TO_STAND_DOWN if action in BOOTING else _GRACE
    fence = [sys.executable, "-I", guard.__file__, str(lease.silence), str(grace)]
    attempt = [run.job_id, str(run.slice_index), str(run.attempt), run.worker]
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
