"""Writes a run's events into the database while it runs: one transaction for up to a second of them."""

import logging
import math
import queue
import threading
import time
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

from sqlalchemy import Engine

from api.domain.ending import end
from api.errors import Busy
from api.jobs.progress import Progress
from api.registration.plan import plan_of_options
from api.registration.scan_request import addresses_of
from api.settings import Settings
from api.ssh.probe import LLDP_PATIENCE
from api.states import STEPS, JobAction, Reason, WorkStatus
from api.store import runs
from api.store.nodes import names_of
from api.store.session import reading, writing
from api.trail import learn

_BATCH = 1000
_INTERVAL = 0.25  # seconds between two transactions, at most
_LONGEST_SCAN = 4 * 3600.0  # seconds to ask all that a sweep found
_PATIENCE = 120.0  # seconds the database may be away before events are given up

logger = logging.getLogger("firstbox.run")

Events = queue.SimpleQueue[Mapping[str, Any] | None]


class Recorder:
    """Takes events from a queue, off the thread that reads them, and writes what they mean."""

    def __init__(self, engine: Engine, settings: Settings, run: runs.Run) -> None:
        self._engine = engine
        self._run = run
        self.events: Events = queue.SimpleQueue()
        self.error: Exception | None = None
        self._late = math.inf  # on a clock that nobody sets, unlike the deadline that is shown
        with reading(engine) as connection:
            job = runs.get_slice(connection, run.job_id, run.slice_index)
            if job is None or job.status != WorkStatus.RUNNING:
                raise runs.RunLost(run.name)
            rows = runs.get_slice_nodes(connection, run.job_id, run.slice_index)
            node_ids = [row.node_id for row in rows]
            self.nodes = names_of(connection, node_ids)
        self.action = JobAction(job.action)
        self.options: Mapping[str, Any] = job.options
        self.is_cancelled: bool = job.cancel
        # For as long as this process lives: it does nothing else.
        learn(job_id=run.job_id, request_id=job.request_id, action=job.action, user=job.user_id)
        steps = STEPS[self.action]
        asked = addresses_of(plan_of_options(job.options, lambda sealed: sealed).ranges)
        seconds = patience(settings, steps, len(node_ids), asked)
        self.progress = Progress(steps, self.nodes, seconds)
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._write_all,), name="recorder"
        )
        self._thread.start()

    def is_late(self) -> bool:
        """True when the present step is past its deadline, or nothing can be written any more."""
        return self.error is not None or time.monotonic() > self._late

    def close(self) -> None:
        """Write what is left; afterwards `error` says whether anything was lost. Repeatable."""
        self.events.put(None)
        self._thread.join()

    def end(self, *, was_late: bool, rc: int | None) -> None:
        """Close, and end the slice as its events and the playbook's exit code say.

        Raises what kept events from being written: RunLost, Busy, or a fault of ours.
        """
        self.close()
        if self.error is not None:
            raise self.error
        with writing(self._engine) as connection:
            part = runs.lock_run(connection, self._run)
            reason, message = self._verdict(cancelled=part.cancel, was_late=was_late, rc=rc)
            end(connection, part, reason, message)

    def _verdict(
        self, *, cancelled: bool, was_late: bool, rc: int | None
    ) -> tuple[Reason | None, str]:
        if self.progress.is_complete and rc in (0, 2) and not self.progress.failed_task:
            return None, ""  # the nodes decide
        if cancelled:
            return Reason.CANCELLED, "cancelled"
        if was_late:
            return Reason.TIMEOUT, f"step {self.progress.current_step} took longer than it may"
        if self.progress.failed_task:
            return Reason.TASK_FAILED, self.progress.failed_task
        return Reason.RUN_ENDED, f"ansible-playbook ended with code {rc} before its last step"

    def _write_all(self) -> None:
        try:
            while self._write_batch():
                continue
        except Exception as error:  # whatever it is, the run must stop and not end well
            self.error = error

    def _write_batch(self) -> bool:
        """Wait for events, write what they mean; False after the last one."""
        event = self.events.get()
        until = time.monotonic() + _INTERVAL
        taken = 0
        while event is not None:
            self._feed(event)
            taken += 1
            if taken == _BATCH:
                break
            try:
                event = self.events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
        self._write(self.progress.take())
        return event is not None

    def _feed(self, event: Mapping[str, Any]) -> None:
        before = self.progress.deadline
        self.progress.feed(event)
        if self.progress.deadline != before:
            self._late = time.monotonic() + self.progress.allowed

    def _write(self, changes: runs.Changes) -> None:
        give_up = time.monotonic() + _PATIENCE
        while changes:
            try:
                with writing(self._engine) as connection:
                    runs.write_changes(connection, self._run, changes)
                _log(changes)
                return
            except Busy:
                if time.monotonic() > give_up:
                    raise
                time.sleep(1)


def _log(changes: runs.Changes) -> None:
    """What the job's log says of steps and failures is in this process's log, too."""
    for line in changes.lines:
        if line["is_failure"] or not line["node_id"]:
            level = logging.WARNING if line["is_failure"] else logging.INFO
            logger.log(level, "%s", line["text"])


def patience(
    settings: Settings, steps: tuple[str, ...], nodes: int, addresses: int = 0
) -> dict[str, float]:
    """Seconds each step may take for this many nodes, every one of them as slow as allowed.

    `addresses` are those that a scan asks; few of them answer.
    """
    probes = -(-nodes // settings.probe_concurrency)
    bmcs = settings.bmc_silence - (-nodes // settings.bmc_processes) * settings.bmc_deadline
    power = bmcs + settings.power_deadline
    seconds = {
        "node_reach": probes * settings.reach_deadline,
        "node_probe": probes * (settings.probe_deadline + LLDP_PATIENCE),
        "bmc_power": power + settings.soft_off_deadline,
        "preflight": bmcs,
        # An inspection shuts down what it interrupts.
        "ramdisk_boot": 2 * power + settings.soft_off_deadline + settings.ramdisk_deadline,
        "disk_image": max(settings.image_deadline, settings.installer_deadline),
        "os_config": settings.os_config_deadline,
        # An installer's machine switches itself off first, and is then switched on.
        "disk_boot": 2 * power + settings.soft_off_deadline + settings.os_deadline,
        # On a network of our own, 25 a second where all are there and nobody answers.
        "bmc_sweep": settings.bmc_silence + addresses / 20,
        "bmc_identify": bmcs + min(addresses * settings.bmc_deadline, _LONGEST_SCAN),
        # Two scripts, and two rounds of logins.
        "bmc_user": 2 * (probes * settings.probe_deadline + bmcs),
        "ramdisk_end": 2 * power + 60,
        "bmc_register": 5 * probes + addresses / 20,
        "node_verify": probes * settings.probe_deadline,
    }
    return {name: 60 + seconds.get(name, 5 * probes) for name in steps}
