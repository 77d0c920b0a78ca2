"""One attempt of one job, in a process of its own: `python -m api.jobs.run JOB ATTEMPT WORKER`."""

import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from api.jobs.recorder import Recorder
from api.jobs.runner import Outcome, run_playbook
from api.settings import Settings, load_settings
from api.states import PLAYBOOKS
from api.store import jobs
from api.store.session import open_database


def main(job_id: str, attempt: int, worker: str) -> int:
    """Run the job's playbook and end the job; 0 when the end is in the database."""
    settings = load_settings()
    engine = open_database(settings.database, pool_size=2)
    try:
        recorder = Recorder(engine, settings, jobs.Run(job_id, attempt, worker))
        outcome = None
        try:
            outcome = _play(settings, recorder, f"{job_id}.{attempt}")
        finally:
            if outcome is None:
                recorder.close()
        recorder.end(was_late=outcome.was_stopped, rc=outcome.rc)
    except jobs.RunLost:
        return 3  # the worker that holds the job now writes its end
    return 0


def _play(settings: Settings, recorder: Recorder, name: str) -> Outcome:
    directory = Path(tempfile.mkdtemp(prefix="firstbox-", dir=_fast_directory()))
    try:
        (directory / "nodes").write_text("\n".join(recorder.nodes) + "\n")
        (directory / "found").mkdir(mode=0o700)
        return run_playbook(
            settings.content / "playbooks" / PLAYBOOKS[recorder.action],
            directory,
            environment={"FIRSTBOX_NODES": f"@{directory / 'nodes'}", "FIRSTBOX_JOB": name},
            variables={
                "firstbox_run_dir": str(directory / "found"),
                "node_reach_deadline": settings.reach_deadline,
                "node_probe_deadline": settings.probe_deadline,
                "node_probe_at_once": settings.probe_concurrency,
            },
            proof=secrets.token_urlsafe(32),
            events=recorder.events,
            should_stop=recorder.is_late,
        )
    finally:
        _keep_output(settings, directory, name)
        shutil.rmtree(directory)


def _fast_directory() -> str | None:
    """Memory where there is some: ansible-runner writes a file per event."""
    shared = Path("/dev/shm")  # noqa: S108  # a fresh 0700 directory is made in it
    return str(shared) if shared.is_dir() else None


def _keep_output(settings: Settings, directory: Path, name: str) -> None:
    """Keep what ansible-playbook printed, for the day a log line is not enough."""
    printed = next((directory / "artifacts").glob("*/stdout"), None)
    if printed is not None:
        kept = settings.home / "runs"
        kept.mkdir(mode=0o700, exist_ok=True)
        shutil.move(printed, kept / f"{name}.txt")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
