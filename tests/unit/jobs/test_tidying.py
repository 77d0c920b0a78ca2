"""What ended runs left on a host goes; what is at work stays, ours or another service's."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.jobs import directory
from api.jobs.chore import Means
from api.jobs.tidying import tidy
from api.settings import Settings
from api.states import JobAction
from api.store import jobs, runs
from api.store.jobs import Part
from api.store.session import writing
from tests.jobs import the_slice

DAY = 86400.0


@pytest.fixture
def means(settings: Settings, engine: Engine) -> Means:
    return Means(settings, engine, threading.Event())


@pytest.fixture
def left() -> Iterator[dict[str, Path]]:
    """Directories of runs by name, made by a test; removed after it."""
    places: dict[str, Path] = {}
    yield places
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)


def make_old(path: Path, seconds: float) -> Path:
    when = time.time() - seconds
    os.utime(path, (when, when))
    return path


def test_output_of_runs_goes_after_its_days(means: Means) -> None:
    kept = means.settings.home / "runs"
    kept.mkdir()
    for days in (29, 31):
        (kept / f"j-{days}.0.1.txt").touch()
        make_old(kept / f"j-{days}.0.1.txt", days * DAY)

    tidy(Means(means.settings.model_copy(update={"run_days": 0.0}), means.engine, means.stop))
    assert len(list(kept.iterdir())) == 2
    tidy(means)

    assert [path.name for path in kept.iterdir()] == ["j-29.0.1.txt"]


def test_directory_goes_when_its_run_is_known_to_be_over(
    means: Means, engine: Engine, left: dict[str, Path]
) -> None:
    with writing(engine) as connection:
        part = Part("default", {"n-00000001": "available"})
        job_id = jobs.create_job(connection, JobAction.COLLECT_NODES, [part], user_id="u")
        assert runs.claim(connection, runs.Run(job_id, 1, "w"), 30)
        assert runs.start_over(connection, the_slice(connection, job_id))
    names = [f"{job_id}.0.1", f"{job_id}.0.2", "j-elsewhere.0.1", "j-ElseWher.0.1"]
    left |= {name: make_old(directory.make(name), 3600) for name in names}
    young = f"{job_id}.1.1"
    left[young] = directory.make(young)

    tidy(means)

    there = {name for name, place in left.items() if place.exists()}
    assert there == set(left) - {f"{job_id}.0.1"}


def test_log_of_the_runs_is_begun_anew_when_it_is_long(
    means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.jobs.tidying._LONG_LOG", 10)
    log = means.settings.home / "worker.log"
    log.write_text("short")
    tidy(means)
    assert log.exists()

    log.write_text("long enough")
    tidy(means)

    assert not log.exists()
    assert log.with_name("worker.log.1").read_text() == "long enough"
