"""What ended runs left on this host goes: their output, their directories, and a log that grew long."""

import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine

from api.jobs import directory
from api.jobs.chore import Means
from api.settings import Settings
from api.store.runs import ended_runs
from api.store.session import reading

_DAY = 86400.0  # seconds
_GRACE = 600.0  # seconds a run has to clear up behind itself
_LONG_LOG = 20_000_000  # bytes

logger = logging.getLogger("firstbox.pruning")


def tidy(means: Means) -> bool:
    """Remove what is old on this host; each host's worker does its own."""
    _remove_output(means.settings)
    _remove_directories(means.engine)
    _begin_log_anew(means.settings.home / "worker.log")
    return False


def _remove_output(settings: Settings) -> None:
    """What ansible-playbook printed more than `run_days` ago."""
    if not settings.run_days:
        return
    before = time.time() - settings.run_days * _DAY
    gone = 0
    for path in (settings.home / "runs").glob("*.txt"):
        if _age_below(path, before):
            path.unlink(missing_ok=True)  # another worker of this host may be at it, too
            gone += 1
    if gone:
        logger.info("removed the output of %d runs", gone)


def _remove_directories(engine: Engine) -> None:
    """Directories of runs that were killed together with their worker.

    Only of runs that the database knows as ended: other services on this host have theirs there, too.
    """
    before = time.time() - _GRACE
    left = {name: path for name, path in directory.left().items() if _age_below(path, before)}
    for name in _ended(engine, left):
        shutil.rmtree(left[name], ignore_errors=True)
        logger.warning("removed %s, which run %s left", left[name], name)


def _ended(engine: Engine, left: Mapping[str, Path]) -> set[str]:
    if not left:
        return set()
    with reading(engine) as connection:
        return ended_runs(connection, set(left))


def _begin_log_anew(log: Path) -> None:
    """Keep the log so far beside it; runs under way go on in the one they have open."""
    if log.exists() and log.stat().st_size > _LONG_LOG:
        os.replace(log, log.with_name(f"{log.name}.1"))


def _age_below(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False
