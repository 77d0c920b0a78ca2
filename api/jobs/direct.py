"""The job of a run from a shell: `python -m api.jobs.direct`, started by the callback plugin.

Standard input: one line of JSON that says which playbook runs on which nodes, then the run's
events. Standard output: one line with the job's id, or with what forbids the run.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from api.domain import jobs as rules
from api.errors import FirstboxError
from api.jobs.lease import LEASE, RENEW
from api.jobs.queue import new_worker_id
from api.jobs.recorder import Recorder
from api.settings import Settings, load_settings
from api.states import PLAYBOOKS, JobAction
from api.store import jobs
from api.store.session import open_database, writing


def main() -> int:
    """Make the job, follow the run to its end; 0 when the end is in the database."""
    settings = load_settings()
    engine = open_database(settings.database, pool_size=3)
    lines = iter(sys.stdin)
    try:
        run = _begin(engine, json.loads(next(lines)))
    except FirstboxError as error:
        _say({"error": error.message})
        return 1
    _say({"job_id": run.job_id})
    try:
        return _follow(engine, settings, run, lines)
    except jobs.RunLost:
        return 3
    except FirstboxError as error:
        print(f"Firstbox: the end of this run is not recorded: {error}", file=sys.stderr)
        return 1


def _begin(engine: Engine, start: dict[str, Any]) -> jobs.Run:
    actions = {playbook: action for action, playbook in PLAYBOOKS.items()}
    action: JobAction = actions[start["playbook"]]
    with writing(engine) as connection:
        job_id = rules.begin(
            connection,
            action,
            start["nodes"],
            user_id=f"{start['user']} (shell)",
            command=start["command"],
        )
        run = jobs.Run(job_id, 1, f"shell.{new_worker_id()}")
        jobs.claim(connection, run, LEASE)
    return run


def _follow(engine: Engine, settings: Settings, run: jobs.Run, lines: Iterator[str]) -> int:
    recorder = Recorder(engine, settings, run)
    over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(engine, run, over), daemon=True)
    renewal.start()
    rc = None
    try:
        for line in lines:
            if not line.endswith("\n"):  # the playbook was killed in the middle of it
                break
            event = json.loads(line)
            recorder.events.put(event)
            rc = event["event_data"].get("rc", rc)
        recorder.end(was_late=False, rc=rc)
    finally:
        over.set()
        renewal.join()
    return 0


def _renew(engine: Engine, run: jobs.Run, over: threading.Event) -> None:
    while not over.wait(RENEW):
        try:
            with writing(engine) as connection:
                is_cancelled = jobs.renew(connection, run, LEASE)
        except FirstboxError:
            continue
        except jobs.RunLost:
            return
        if is_cancelled:
            _stop_playbook()


def _stop_playbook() -> None:
    """The playbook is our parent; SIGTERM makes it end its workers and then itself."""
    os.kill(os.getppid(), 15)


def _say(answer: dict[str, str]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
