"""How servers write their own log: for people, or one JSON object a line."""

import logging
from datetime import UTC, datetime
from typing import Literal

import orjson

from api.trail import trail

# What we stand on says more than anybody wants to read; httpx the whole URL of a webhook, which may be
# as good as a password.
_NOISY = ("alembic", "asyncssh", "dbos", "httpx")


def log_to_stderr(log_format: Literal["text", "json"]) -> None:
    """All of this process's log goes to stderr, in one format."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if log_format == "json" else TextLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # DBOS has a handler of its own, with its own idea of a line.
    engine = logging.getLogger("dbos")
    engine.handlers = [handler]
    engine.propagate = False


class TextLine(logging.Formatter):
    """`2026-01-31 12:00:00,123 INFO firstbox.api: what happened (r-1f0c9a2be4d6a870 j-8AQZMLrm)`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The line without its traceback."""
        known = " ".join(filter(None, (trail().request_id, trail().job_id)))
        line = super().formatMessage(record)
        return f"{line} ({known})" if known else line


class JsonLine(logging.Formatter):
    """An object whose `time` is RFC 3339 in UTC; fields of the trail that are not known are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in the message."""
        where = trail()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": where.request_id,
            "job_id": where.job_id,
            "action": where.action,
            "user": where.user,
            "traceback": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return orjson.dumps({name: value for name, value in line.items() if value}).decode()
