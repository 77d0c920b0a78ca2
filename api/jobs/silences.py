"""How long nothing was heard of each slice that is under way, by this process's own clock.

Clocks of hosts differ and are set, that of the database too. So nobody compares the time until which a
lease was given with the time it is: who looks waits until what they see did not change for so long.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Seen = TypeVar("Seen", bound=Sequence[Any])


class Silences:
    """Show it again and again what is under way; it says where nothing changes."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds` without a change are too long."""
        self._seconds = seconds
        self._clock = clock
        self._since: dict[tuple[Any, ...], float] = {}

    def too_long(self, seen: Sequence[Seen]) -> list[Seen]:
        """Those of `seen`, which is all that is under way now, that have been as they are for too long."""
        now = self._clock()
        self._since = {tuple(row): self._since.get(tuple(row), now) for row in seen}
        return [row for row in seen if now - self._since[tuple(row)] >= self._seconds]

    def wait_again(self, row: Sequence[Any]) -> None:
        """Nothing is wrong with this one: count from now."""
        self._since[tuple(row)] = self._clock()
