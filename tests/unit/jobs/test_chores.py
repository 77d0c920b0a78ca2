"""A worker's chores come again and again, in turn, and end with it."""

import logging
import threading
import time
from itertools import pairwise

import pytest

from api.errors import Busy
from api.jobs.chore import Chore, Means
from api.jobs.chores import done_beside
from api.settings import Settings
from tests.service import wait_until

OFTEN = 0.01  # seconds


def test_chore_comes_again_after_its_interval_and_ends_with_the_worker(settings: Settings) -> None:
    times: list[float] = []

    def note(_means: Means) -> bool:
        times.append(time.monotonic())
        return False

    with done_beside(settings, threading.Event(), [Chore("note", 0.05, note)]):
        wait_until(lambda: len(times) >= 3, 10, what="the chore is done three times")

    count = len(times)
    assert min(b - a for a, b in pairwise(times)) >= 0.05
    assert "chores" not in {thread.name for thread in threading.enumerate()}
    assert len(times) == count


def test_chore_with_more_to_do_lets_the_others_have_their_turn(settings: Settings) -> None:
    done: list[str] = []

    def endless(_means: Means) -> bool:
        done.append("endless")
        return True

    def short(_means: Means) -> bool:
        done.append("short")
        return False

    with done_beside(
        settings, threading.Event(), [Chore("a", 3600, endless), Chore("b", OFTEN, short)]
    ):
        wait_until(lambda: done.count("short") >= 2, 10, what="the short one had two turns")

    assert done.count("endless") > 1


@pytest.mark.parametrize(
    ("error", "level"), [(Busy("away"), logging.WARNING), (ValueError("odd"), logging.ERROR)]
)
def test_chore_that_fails_is_told_of_and_tried_again(
    error: Exception, level: int, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def fail(_means: Means) -> bool:
        tries.append(1)
        raise error

    with done_beside(settings, threading.Event(), [Chore("tidy up", OFTEN, fail)]):
        wait_until(lambda: len(tries) >= 2, 10, what="it is tried again")

    assert caplog.records[0].levelno == level
    assert "cannot tidy up" in caplog.text


def test_stopping_worker_is_known_to_a_chore_at_work(settings: Settings) -> None:
    began, seen = threading.Event(), threading.Event()

    def wait(means: Means) -> bool:
        began.set()
        if means.stop.wait(10):
            seen.set()
        return True

    with done_beside(settings, threading.Event(), [Chore("wait", OFTEN, wait)]):
        assert began.wait(10)

    assert seen.is_set()


def test_host_without_chores_does_none(settings: Settings) -> None:
    done: list[int] = []
    without = settings.model_copy(update={"chores": False})

    with done_beside(
        without, threading.Event(), [Chore("note", OFTEN, lambda _means: bool(done.append(1)))]
    ):
        assert "chores" not in {thread.name for thread in threading.enumerate()}

    assert done == []
