"""Queries about the audit: who asked what, and what came of it. Rows are only ever added."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, insert, or_, select

from api.store.tables import Audit, columns

AUDIT = columns(Audit)
_ANSWER = AUDIT.alias("answer")
# An answer belongs to what was asked, and is no entry of its own.
_IS_ENTRY: ColumnElement[bool] = AUDIT.c.answers.is_(None)
_END = AUDIT.alias("ending")  # the same rows, to find entries by
_IS_ITS: ColumnElement[bool] = _END.c.answers == AUDIT.c.number


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for what."""

    user_id: str
    address: str  # where from; `shell` for a command on the service's own host
    action: str
    request_id: str = ""


def add_audit(
    connection: Connection,
    asking: Asking,
    text: str,
    *,
    ret_code: int | None = None,
    answers: int | None = None,
) -> int:
    """One more row; its number. Without a ret_code, the answer is to come as a row of its own."""
    values = {
        "time": time.time(),
        "user_id": asking.user_id,
        "address": asking.address,
        "action": asking.action,
        "request_id": asking.request_id,
        "ret_code": ret_code,
        "text": text,
        "answers": answers,
    }
    added = connection.execute(insert(AUDIT).values(values).returning(AUDIT.c.number))
    return int(added.scalar_one())


def find_audit(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]] = (),
    *,
    reverse: bool = True,
    limit: int,
    offset: int = 0,
) -> tuple[int, Sequence[Row[Any]]]:
    """How many entries match, and one page of them in the order of their numbers, with the answers."""
    order = AUDIT.c.number.desc() if reverse else AUDIT.c.number.asc()
    page: Select[Any] = select(
        *(column for column in AUDIT.c if column.name != "ret_code"),
        func.coalesce(AUDIT.c.ret_code, _ANSWER.c.ret_code).label("ret_code"),
        _ANSWER.c.time.label("answer_time"),
        func.coalesce(_ANSWER.c.text, "").label("answer_text"),
    ).select_from(AUDIT.outerjoin(_ANSWER, _ANSWER.c.answers == AUDIT.c.number))
    rows = connection.execute(
        page.where(_IS_ENTRY, *conditions).order_by(order).limit(limit).offset(offset)
    ).all()
    count = select(func.count()).select_from(AUDIT).where(_IS_ENTRY, *conditions)
    return connection.execute(count).scalar_one(), rows


def matches(
    *,
    equal: dict[str, str],
    ret_code: int | None,
    since: float | None,
    until: float | None,
    search_word: str | None,
) -> list[ColumnElement[bool]]:
    """The conditions of DescribeAudit; all must hold. `since` is within, `until` is not."""
    conditions: list[ColumnElement[bool]] = [
        AUDIT.c[name] == value for name, value in equal.items()
    ]
    if ret_code is not None:
        ended = exists().where(_IS_ITS, _END.c.ret_code == ret_code)
        conditions.append(or_(AUDIT.c.ret_code == ret_code, ended))
    if since is not None:
        conditions.append(AUDIT.c.time >= since)
    if until is not None:
        conditions.append(AUDIT.c.time < until)
    if search_word:
        answered = exists().where(_IS_ITS, _END.c.text.icontains(search_word, autoescape=True))
        conditions.append(or_(AUDIT.c.text.icontains(search_word, autoescape=True), answered))
    return conditions
