"""Actions on the audit."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from api.actions.envelope import ActionResponse, Answer, AuditRequest, Context, Offset, Word
from api.domain import audit
from api.store.audit import find_audit, matches
from api.store.session import reading
from api.times import seconds


def _is_time(text: str) -> str:
    try:
        seconds(text)
    except ValueError:
        raise ValueError("must be like 2026-03-01 17:45:00, UTC") from None
    return text


Time = Annotated[str, AfterValidator(_is_time)]


class AuditView(BaseModel):
    """What somebody asked, and what came of it."""

    number: int
    time: str
    user_id: str
    address: str
    action: str
    request_id: str
    text: str
    ret_code: int | None
    answer_time: str
    answer: str


class DescribeAuditRequest(AuditRequest):
    """Which entries to show; the filters combine with AND."""

    user_id: Word | None = None
    address: Word | None = Field(None, description="Where the request came from.")
    audited_action: Word | None = Field(None, description="Such as `DeleteNodes`, or `Login`.")
    request_id: Word | None = None
    ret_code: int | None = Field(None, ge=0, le=9999, description="How it ended.")
    since: Time | None = Field(None, description="`YYYY-MM-DD HH:MM:SS`, UTC; not before this.")
    until: Time | None = Field(None, description="`YYYY-MM-DD HH:MM:SS`, UTC; before this.")
    limit: int = Field(100, ge=1, le=1000, description="Most entries in the answer.")
    offset: Offset = 0
    reverse: bool = Field(True, description="The newest first.")
    search_word: Word | None = Field(None, description="Part of what was asked or answered.")


class DescribeAuditResponse(ActionResponse):
    """The entries found, a page of them."""

    audit_set: list[AuditView]
    total_count: int


def describe_audit(context: Context, request: DescribeAuditRequest) -> Answer:
    """Show who asked what, from where, and how it ended; the newest first."""
    named = {
        "user_id": request.user_id,
        "address": request.address,
        "action": request.audited_action,
        "request_id": request.request_id,
    }
    conditions = matches(
        equal={name: value for name, value in named.items() if value is not None},
        ret_code=request.ret_code,
        since=_seconds(request.since),
        until=_seconds(request.until),
        search_word=request.search_word,
    )
    with reading(context.engine) as connection:
        total, rows = find_audit(
            connection,
            conditions,
            reverse=request.reverse,
            limit=request.limit,
            offset=request.offset,
        )
    return {"audit_set": [audit.view(row) for row in rows], "total_count": total}


def _seconds(time: str | None) -> float | None:
    return None if time is None else seconds(time)
