"""How long work says how far it is: callers pass functions, so that nothing here knows a terminal."""

from collections.abc import Callable

Say = Callable[[str], None]  # what is done now
Advance = Callable[[int, int], None]  # bytes done, bytes in all; 0 in all when nobody knows
