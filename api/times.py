"""Times on the wire: `YYYY-MM-DD HH:MM:SS`, UTC."""

import time
from datetime import UTC, datetime

_FORM = "%Y-%m-%d %H:%M:%S"


def wire_time(seconds: float | None) -> str:
    """`YYYY-MM-DD HH:MM:SS`, UTC; "" for a time that has not come."""
    return time.strftime(_FORM, time.gmtime(seconds)) if seconds else ""


def seconds(wire: str) -> float:
    """Seconds since 1970 of a time on the wire. Raises ValueError."""
    return datetime.strptime(wire, _FORM).replace(tzinfo=UTC).timestamp()
