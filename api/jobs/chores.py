"""What a worker does beside its jobs: chores, one after another in a thread of their own."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.errors import Busy
from api.jobs import delivering, pruning, tidying
from api.jobs.chore import Chore, Means
from api.settings import Settings
from api.store.session import open_database

_LAST_WORDS = 15.0  # seconds a chore has to come to its end when the worker stops

logger = logging.getLogger("firstbox.chores")


# All there are. Each runs in every worker that does chores: two may be at the same one.
CHORES: tuple[Chore, ...] = (
    Chore("deliver webhooks", 1.0, delivering.deliver),
    Chore("prune what is old", 600.0, pruning.prune),
    Chore("tidy up behind runs", 3600.0, tidying.tidy),
)


@contextmanager
def done_beside(
    settings: Settings, stop: threading.Event, chores: Sequence[Chore] = CHORES
) -> Iterator[None]:
    """Chores are done in a thread of their own until `stop` is set, which is at the latest at the end."""
    if not settings.chores or not chores:
        yield
        return
    thread = threading.Thread(
        target=_work, args=(settings, chores, stop), name="chores", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_LAST_WORDS)


def _work(settings: Settings, chores: Sequence[Chore], stop: threading.Event) -> None:
    engine = open_database(settings.database, pool_size=2)
    means = Means(settings, engine, stop)
    due = {chore.name: time.monotonic() for chore in chores}
    try:
        while not stop.wait(max(0.0, min(due.values()) - time.monotonic())):
            for chore in chores:
                if due[chore.name] <= time.monotonic() and not stop.is_set():
                    pause = 0.0 if _do(chore, means) else chore.interval
                    due[chore.name] = time.monotonic() + pause
    finally:
        engine.dispose()


def _do(chore: Chore, means: Means) -> bool:
    """Whether more is left to do. A chore that fails neither ends the others nor the worker."""
    try:
        return chore.do(means)
    except Busy as error:
        logger.warning("cannot %s just now: %s", chore.name, error)
    except Exception:
        logger.exception("a fault in a chore: cannot %s", chore.name)
    return False
