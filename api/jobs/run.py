"""One attempt of a slice of a job, in a process of its own: `python -m api.jobs.run JOB SLICE ATTEMPT WORKER`."""

import logging
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from api.jobs import directory
from api.jobs.recorder import Recorder
from api.jobs.runner import Outcome, run_playbook
from api.jobs.standing_down import stand_down
from api.jobs.variables import variables
from api.logs import log_to_stderr
from api.settings import Settings, load_settings
from api.states import BOOTING, PLAYBOOKS
from api.store.jobs import say
from api.store.runs import Run, RunLost, lock_run
from api.store.session import open_database, writing
from api.trail import trail

logger = logging.getLogger("firstbox.run")


def main(run: Run) -> int:
    """Run the job's playbook on the slice, and end it; 0 when the end is in the database."""
    settings = load_settings()
    log_to_stderr(settings.log_format)
    engine = open_database(settings.database, pool_size=2)
    try:
        recorder = Recorder(engine, settings, run)
        outcome = Outcome(rc=None, was_stopped=False)  # of a job cancelled while it had no run
        try:
            if not recorder.is_cancelled:
                outcome = _play(settings, recorder, run.name)
        finally:
            recorder.close()
        if recorder.action in BOOTING:
            stand_down(engine, settings, run)
        recorder.end(was_late=outcome.was_stopped, rc=outcome.rc)
    except RunLost:
        return 3  # the worker that holds the slice now writes its end
    except OSError as error:
        _say_why(engine, run, error)
        return 4  # the worker lets it be tried again
    return 0


def _say_why(engine: Engine, run: Run, error: OSError) -> None:
    """Write what this host lacks, such as room on a disk, into the job's log."""
    logger.error("run %s: %s", run.name, error)
    with suppress(RunLost), writing(engine) as connection:
        lock_run(connection, run)
        text = f"worker {run.worker} cannot keep the run's files: {error}"
        say(connection, run.job_id, text, is_failure=True)


def _play(settings: Settings, recorder: Recorder, name: str) -> Outcome:
    place = directory.make(name)
    try:
        (place / "nodes").write_text("\n".join(recorder.nodes) + "\n")
        (place / "found").mkdir(mode=0o700)
        return run_playbook(
            settings.content / "playbooks" / PLAYBOOKS[recorder.action],
            place,
            environment={
                "FIRSTBOX_NODES": f"@{place / 'nodes'}",
                "FIRSTBOX_JOB": name,
                "FIRSTBOX_REQUEST": trail().request_id,
            },
            variables={
                "firstbox_run_dir": str(place / "found"),
                **variables(settings, recorder.action, recorder.options),
            },
            proof=secrets.token_urlsafe(32),
            events=recorder.events,
            should_stop=recorder.is_late,
        )
    finally:
        try:
            _keep_output(settings, place, name)
        except OSError as error:  # the job is done all the same
            logger.error("what ansible-playbook printed in %s is not kept: %s", name, error)
        directory.remove(name)


def _keep_output(settings: Settings, place: Path, name: str) -> None:
    """Keep what ansible-playbook printed, for the day a log line is not enough."""
    printed = next((place / "artifacts").glob("*/stdout"), None)
    if printed is not None:
        kept = settings.home / "runs"
        kept.mkdir(mode=0o700, exist_ok=True)
        with (kept / f"{name}.txt").open("wb") as file, printed.open("rb") as source:
            file.write(f"# {trail().action} {name}, request {trail().request_id}\n".encode())
            shutil.copyfileobj(source, file)


if __name__ == "__main__":
    job_id, slice_index, attempt, worker = sys.argv[1:5]
    sys.exit(main(Run(job_id, int(attempt), worker, int(slice_index))))
