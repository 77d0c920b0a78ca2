"""Who holds a slice of a job, and how long without a word."""

import os
import socket
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """Times in seconds: `answer + silence` and what it takes to end a run stay below `seconds`."""

    seconds: float  # after this another worker may take the slice

    @property
    def renew(self) -> float:
        """Between two renewals."""
        return self.seconds / 6

    @property
    def answer(self) -> float:
        """A renewal that took longer comes too late to let the run go on."""
        return self.seconds * 0.15

    @property
    def silence(self) -> float:
        """The guard ends a run whose worker renewed nothing for this long."""
        return self.seconds * 0.6


def new_worker_id() -> str:
    """Unique per process start, so that no worker takes itself for one that died."""
    return f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
