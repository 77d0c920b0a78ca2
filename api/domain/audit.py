"""The audit, as it is shown."""

from typing import Any

from sqlalchemy import Row

from api.times import wire_time


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
