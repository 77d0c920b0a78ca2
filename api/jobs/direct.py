"""The job of a run from a shell: `python -m api.jobs.direct`, started by the callback plugin.

Standard input: one line of JSON that says which playbook runs on which nodes, then the run's
events. Standard output: one line with the job's id, or with what forbids the run.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Engine

from api.domain import jobs as rules
from api.errors import FirstboxError
from api.jobs.lease import Lease, new_worker_id
from api.jobs.recorder import Recorder
from api.settings import Settings, load_settings
from api.states import PLAYBOOKS, POWER_STATES, JobAction
from api.store import runs
from api.store.session import open_database, writing


def main() -> int:
    """Make the job, follow the run to its end; 0 when the end is in the database."""
    settings = load_settings()
    # Who typed the command sees all of it on the terminal already.
    logging.getLogger("firstbox").addHandler(logging.NullHandler())
    engine = open_database(settings.database, pool_size=3)
    lines = iter(sys.stdin)
    try:
        run = _begin(engine, Lease(settings.lease), json.loads(next(lines)))
    except FirstboxError as error:
        _say({"error": error.message})
        return 1
    _say({"job_id": run.job_id, "run": run.name})
    try:
        return _follow(engine, settings, run, lines)
    except runs.RunLost:
        return 3
    except FirstboxError as error:
        print(f"Firstbox: the end of this run is not recorded: {error}", file=sys.stderr)
        return 1


def _begin(engine: Engine, lease: Lease, start: dict[str, Any]) -> runs.Run:
    action, options = asked_for(start["playbook"], start["variables"])
    with writing(engine) as connection:
        job_id = rules.begin(
            connection,
            action,
            start["nodes"],
            user_id=f"{start['user']} (shell)",
            command=start["command"],
            options=options,
        )
        run = runs.Run(job_id, 1, f"shell.{new_worker_id()}")
        runs.claim(connection, run, lease.seconds)
    return run


def asked_for(playbook: str, variables: Mapping[str, str]) -> tuple[JobAction, dict[str, Any]]:
    """What the API would call a run of this playbook with these variables: action and options."""
    fit = [action for action, name in PLAYBOOKS.items() if name == playbook]
    state = variables.get("bmc_power_state") or "status"
    by_state = {state: action for action, state in POWER_STATES.items()}
    action = by_state.get(state, JobAction.POWER_OFF_BM_NODES) if len(fit) > 1 else fit[0]
    given = {
        "erase": _is_true(variables.get("disk_image_erase", "")),
        "reinstall": _is_true(variables.get("preflight_reinstall", "")),
        "soft": state == "soft",
        "interrupt": _is_true(variables.get("ramdisk_boot_interrupt", "")),
    }
    return action, {name: 1 for name, value in given.items() if value}


def _is_true(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")


def _follow(engine: Engine, settings: Settings, run: runs.Run, lines: Iterator[str]) -> int:
    recorder = Recorder(engine, settings, run)
    watch = _Watch(engine, Lease(settings.lease), run, recorder)
    watch.start()
    rc = None
    try:
        for line in lines:
            if not line.endswith("\n"):  # the playbook was killed in the middle of it
                break
            event = json.loads(line)
            recorder.events.put(event)
            rc = event["event_data"].get("rc", rc)
        recorder.end(was_late=watch.was_late, rc=rc)
    finally:
        watch.stop()
        recorder.close()
    return 0


class _Watch(threading.Thread):
    """Holds the lease while the playbook runs; ends the playbook when the job must stop."""

    def __init__(self, engine: Engine, lease: Lease, run: runs.Run, recorder: Recorder) -> None:
        super().__init__(name="watch", daemon=True)
        self._engine = engine
        self._lease = lease
        self._run = run
        self._recorder = recorder
        self._over = threading.Event()
        self._playbook = os.getppid()
        self._fence = threading.Timer(lease.silence, self._stop_playbook)
        self._fence.start()
        self.was_late = False

    def run(self) -> None:
        while not self._over.wait(self._lease.renew):
            self.was_late = self._recorder.is_late()
            if self.was_late or self._must_stop():
                self._stop_playbook()

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._fence.cancel()

    def _must_stop(self) -> bool:
        began = time.monotonic()
        try:
            with writing(self._engine) as connection:
                is_cancelled = runs.renew(connection, self._run, self._lease.seconds)
        except runs.RunLost:
            return True  # the job was taken for dead: it may be another's by now
        except FirstboxError:
            return False
        self._put_off_fence(began + self._lease.silence)
        return is_cancelled

    def _put_off_fence(self, until: float) -> None:
        """Without another renewal the playbook ends then: before the nodes may be another's."""
        self._fence.cancel()
        self._fence = threading.Timer(max(0.0, until - time.monotonic()), self._stop_playbook)
        self._fence.start()

    def _stop_playbook(self) -> None:
        """SIGTERM makes it end its workers and then itself; one that is stopped must go on first."""
        if os.getppid() == self._playbook:
            os.kill(self._playbook, signal.SIGTERM)
            os.kill(self._playbook, signal.SIGCONT)


def _say(answer: dict[str, str]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
