"""The audit: what is asked stands in it before it is done, and its end after.

A process that dies in between leaves the asking without an end, which an auditor sees.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row

from api.errors import Busy, FirstboxError, OurFault
from api.store.audit import Asking, add_audit
from api.store.session import writing
from api.times import wire_time

logger = logging.getLogger("firstbox.audit")


@dataclass(slots=True)
class Entry:
    """An entry that is being made."""

    answer: str = ""  # what to say of a good end


@contextmanager
def recorded(engine: Engine, asking: Asking, text: str) -> Iterator[Entry]:
    """A row before what is done within, and one after it with its ret_code."""
    with writing(engine) as connection:
        number = add_audit(connection, asking, text)
    entry = Entry()
    try:
        yield entry
    except FirstboxError as error:
        _write_end(engine, asking, number, error.ret_code, error.message)
        raise
    except Exception:
        _write_end(engine, asking, number, OurFault.ret_code, "A fault; the log has it.")
        raise
    _write_end(engine, asking, number, 0, entry.answer)


def _write_end(engine: Engine, asking: Asking, number: int, ret_code: int, text: str) -> None:
    try:
        with writing(engine) as connection:
            add_audit(connection, asking, text, ret_code=ret_code, answers=number)
    except Busy as error:
        # It is done or refused already: the caller is told so, whether or not it could be noted.
        logger.error(
            "the audit lacks the end of its row %d, %s: ret_code %d (%s)",
            number, asking.action, ret_code, error,
        )  # fmt: skip


def view(row: Row[Any]) -> dict[str, Any]:
    """An entry as DescribeAudit shows it; without a ret_code, its end was never written."""
    return {
        "number": row.number,
        "time": wire_time(row.time),
        "user_id": row.user_id,
        "address": row.address,
        "action": row.action,
        "request_id": row.request_id,
        "text": row.text,
        "ret_code": row.ret_code,
        "answer_time": wire_time(row.answer_time),
        "answer": row.answer_text,
    }
