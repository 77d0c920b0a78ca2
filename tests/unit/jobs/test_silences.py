"""Who fell silent, by the observer's own clock."""

import pytest

from api.jobs.silences import Silences
from tests.fakes import Clock

FIRST, SECOND = ("j-1", 0, "w1", 1000.0), ("j-2", 0, "w1", 1000.0)
RENEWED = ("j-1", 0, "w1", 1010.0)


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


@pytest.fixture
def silences(clock: Clock) -> Silences:
    return Silences(30, clock)


def test_what_did_not_change_for_a_lease_is_silent(silences: Silences, clock: Clock) -> None:
    assert silences.too_long([FIRST, SECOND]) == []
    clock.now = 29
    assert silences.too_long([FIRST, SECOND]) == []
    clock.now = 30
    assert silences.too_long([FIRST, SECOND]) == [FIRST, SECOND]


@pytest.mark.parametrize("written", [RENEWED[-1], -3600.0, 9e9])
def test_whoever_writes_anything_is_not_silent(
    silences: Silences, clock: Clock, written: float
) -> None:
    silences.too_long([FIRST])
    clock.now = 29
    silences.too_long([(*FIRST[:-1], written)])
    clock.now = 58
    assert silences.too_long([(*FIRST[:-1], written)]) == []


def test_a_slice_that_comes_again_is_counted_anew(silences: Silences, clock: Clock) -> None:
    silences.too_long([FIRST])
    silences.too_long([])
    clock.now = 31
    assert silences.too_long([FIRST]) == []


def test_who_rightly_waits_is_asked_again_a_lease_later(silences: Silences, clock: Clock) -> None:
    silences.too_long([FIRST])
    clock.now = 30
    silences.wait_again(FIRST)
    clock.now = 59
    assert silences.too_long([FIRST]) == []
    clock.now = 60
    assert silences.too_long([FIRST]) == [FIRST]
