"""Writes down what machines were seen to do, as many as there are in one transaction.

A thousand machines that fetch their boot scripts at once wait for no write: they are answered, and
the next transaction takes all that came in the meantime.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from api.domain.booting import Repeats, loudly
from api.errors import Busy
from api.store.boots import Sighting, record
from api.store.session import writing

_PATIENCE = 20.0  # seconds a database may be away until what was seen is given up
_PAUSE = 0.5

logger = logging.getLogger("firstbox.boot")


class Recorder:
    """What was seen, on its way into the database; one for all threads of a process."""

    def __init__(self) -> None:
        self._waiting: list[Sighting] = []
        self._repeats = Repeats()
        self._is_writing = False
        self._lock = threading.Lock()

    def put(self, sighting: Sighting, engine: Engine, threads: ThreadPoolExecutor) -> None:
        """Have it written soon, by one of `threads`."""
        with self._lock:
            self._waiting += loudly([sighting], self._repeats)
            if self._is_writing:
                return
            self._is_writing = True
        threads.submit(self._write, engine)

    def _write(self, engine: Engine) -> None:
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._is_writing = False
                    return
            _write_batch(engine, batch)


def _write_batch(engine: Engine, batch: Sequence[Sighting]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with writing(engine) as connection:
                record(connection, batch)
            return
        except Busy as error:
            if time.monotonic() > deadline:
                logger.error("%d things machines did are not in the log: %s", len(batch), error)
                return
            time.sleep(_PAUSE)
        except Exception:  # what is wrong with one batch must not end the recording of the next
            logger.exception("%d things machines did are not in the log", len(batch))
            return
