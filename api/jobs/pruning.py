"""What is old goes, in the background: by the settings, in portions nobody waits for, one worker at a time.

A portion is some rows in a transaction of their own, some milliseconds long; the pause after it is longer
than the portion took, and long enough for who waits meanwhile (SQLite's writers look again every 25 ms).
"""

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

from api.jobs.chore import Means
from api.jobs.queue import JobQueue
from api.settings import Settings
from api.store import pruning
from api.store.now import now
from api.store.session import reading, writing
from api.store.turns import end_turn, take_turn

_PORTION = 500  # rows
_PAUSE = 0.03  # seconds between two portions, at least; else twice what the last one took
_SPELL = 3.0  # seconds until other chores have their turn
_TURN = 60.0  # seconds after which a worker that fell silent has lost its turn
_DAY = 86400.0  # seconds
_LEAST_AUDIT_DAYS = 30.01  # the database refuses to delete younger rows
_ENTRY_DAYS = 1.0  # of what is over in the job engine's own tables: nobody asks for it
_DELIVERY_DAYS = 7.0  # of what webhooks were told

Portion = Callable[[], int]  # takes some rows away; how many
logger = logging.getLogger("firstbox.pruning")


def prune(means: Means) -> bool:
    """Take away what is old for a few seconds; True if there may be more of it."""
    with writing(means.engine) as connection:
        until = take_turn(connection, "prune", _TURN)
    if until is None:
        return False
    try:
        return _spell(means)
    finally:
        with writing(means.engine) as connection:
            end_turn(connection, "prune", until)


def _spell(means: Means) -> bool:
    give_up = time.monotonic() + _SPELL
    for name, portion in _portions(means):
        gone = 0
        while taken := _paced(portion, means):
            gone += taken
            if means.stop.is_set() or time.monotonic() > give_up:
                logger.info("pruned %s: %d rows, and there may be more", name, gone)
                return not means.stop.is_set()
        if gone:
            logger.info("pruned %s: %d rows", name, gone)
    return False


def _paced(portion: Portion, means: Means) -> int:
    began = time.monotonic()
    taken = portion()
    if taken:
        means.stop.wait(max(_PAUSE, 2 * (time.monotonic() - began)))
    return taken


def _portions(means: Means) -> Iterator[tuple[str, Portion]]:
    """What is to go, by what it is called; logs before the jobs they belong to."""
    engine, settings = means.engine, means.settings
    with reading(engine) as connection:
        present = now(connection)
    details = _details_days(settings)
    if details:
        text = f"The log was removed: the job ended more than {details:g} days before."
        take = partial(pruning.prune_details, engine, present - details * _DAY, text, _PORTION)
        yield "logs", take
    if settings.job_days:
        before = present - settings.job_days * _DAY
        yield "jobs", partial(pruning.prune_job, engine, before, _PORTION)
    if settings.audit_days:
        before = present - max(settings.audit_days, _LEAST_AUDIT_DAYS) * _DAY
        yield "the audit", partial(pruning.prune_audit, engine, before, _PORTION)
    before = present - _DELIVERY_DAYS * _DAY
    yield "deliveries", partial(pruning.prune_deliveries, engine, before, _PORTION)
    queue = JobQueue(engine, settings)
    yield "the queue", partial(queue.forget, present - _ENTRY_DAYS * _DAY, _PORTION)


def _details_days(settings: Settings) -> float:
    """Days a log is kept: no longer than its job; 0 means for ever."""
    return min((days for days in (settings.log_days, settings.job_days) if days), default=0)
