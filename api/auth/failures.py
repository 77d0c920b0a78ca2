"""Failed logins: slowed down per user and address, and written down, at a bounded rate."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_FREE = 5  # failures in a row before we begin to wait
_LONGEST = 30.0
_FORGET = 900.0  # seconds without a failure after which all is forgotten
_MOST = 10_000
_ROW_EVERY = 1.0  # seconds between two audit rows about the same user and address
_ROW_EVERY_ADDRESS = 0.1  # the same about one address, whatever user ids it makes up

Key = tuple[str, str]


@dataclass(slots=True)
class _Streak:
    count: int
    time: float


class Failures:
    """Failures in a row by (user, address), in memory; the oldest are forgotten first.

    To make us forget a streak early takes 10,000 failures elsewhere: slower than waiting.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._streaks: dict[Key, _Streak] = {}
        self._rows: dict[tuple[str, ...], float] = {}  # by (user, address), and by (address,)

    def delay(self, user_id: str, address: str) -> float:
        """Seconds to wait before the next try: 0 at first, then 1, 2, 4, ... 30."""
        streak = self._streaks.get((user_id, address))
        if streak is None or streak.count < _FREE or self._is_over(streak):
            return 0.0
        return float(min(_LONGEST, 2 ** min(streak.count - _FREE, 5)))

    def add(self, user_id: str, address: str) -> None:
        """One more failure."""
        key = (user_id, address)
        with self._lock:
            streak = self._streaks.pop(key, None)
            count = 0 if streak is None or self._is_over(streak) else streak.count
            self._streaks[key] = _Streak(count + 1, self._clock())
            _shrink(self._streaks)

    def clear(self, user_id: str, address: str) -> None:
        """The user is proven: start from zero."""
        self._streaks.pop((user_id, address), None)

    def is_worth_a_row(self, user_id: str, address: str) -> bool:
        """False while the audit has a row about this from a moment ago."""
        with self._lock:
            return self._is_due((user_id, address), _ROW_EVERY) and self._is_due(
                (address,), _ROW_EVERY_ADDRESS
            )

    def _is_due(self, key: tuple[str, ...], interval: float) -> bool:
        now = self._clock()
        if 0 <= now - self._rows.get(key, float("-inf")) < interval:
            return False
        self._rows.pop(key, None)
        self._rows[key] = now
        _shrink(self._rows)
        return True

    def _is_over(self, streak: _Streak) -> bool:
        return not 0 <= self._clock() - streak.time < _FORGET


def _shrink(entries: dict[Any, Any]) -> None:
    while len(entries) > _MOST:
        del entries[next(iter(entries))]
