"""Who holds a job, and how long without a word, in seconds; the three must stay in this order."""

import os
import socket
import uuid

RENEW = 5.0  # between two renewals
SILENCE = 18.0  # the guard ends a run whose worker renewed nothing for this long
LEASE = 30.0  # after this another worker may take the job


def new_worker_id() -> str:
    """Unique per process start, so that no worker takes itself for one that died."""
    return f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
