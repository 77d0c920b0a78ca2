"""What a chore is: something small that a worker does again and again beside its jobs.

It works in portions of some seconds, so that the others come to their turn, and says whether there is
more to do.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from api.settings import Settings


@dataclass(frozen=True, slots=True)
class Means:
    """What a chore works with."""

    settings: Settings
    engine: Engine
    stop: threading.Event  # set when the worker stops: begin nothing new


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do again and again."""

    name: str  # as in "cannot <name> just now"
    interval: float  # seconds from its end to its next beginning
    do: Callable[[Means], bool]  # True: more is left to do, and it is called again in its turn
