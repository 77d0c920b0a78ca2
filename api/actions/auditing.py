"""What changes something, or reveals a secret, is written in the audit: before it is done, and its end.

A process that dies in between leaves the asking without an end, which an auditor sees.
"""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

from api.actions.envelope import ActionRequest, Answer, Context
from api.errors import Busy, FirstboxError, OurFault
from api.store.audit import Asking, add_audit
from api.store.session import writing
from api.trail import trail

MASK = "******"
_LONGEST = 100_000  # characters of one text; of longer ones, lists lose their ends
_SHORT_LIST = 100
_WHO = {"action", "USER_ID", "PASSWORD", "request_type"}
_SECRET_WORDS = ("password", "secret")
_IDS = ("job_id", "webhook_id", "node_ids")

logger = logging.getLogger("firstbox.audit")


def audited(
    context: Context, name: str, request: ActionRequest, handler: Callable[[Any, Any], Answer]
) -> Answer:
    """The handler's answer, with a row before and a row after it."""
    asking = _asking(context, name)
    with writing(context.engine) as connection:
        number = add_audit(connection, asking, asked(request))
    try:
        answer = handler(context, request)
    except FirstboxError as error:
        _write_end(context, asking, number, error.ret_code, error.message)
        raise
    except Exception:
        _write_end(context, asking, number, OurFault.ret_code, "A fault; the log has it.")
        raise
    _write_end(context, asking, number, 0, _made(request, answer))
    return answer


def write_refused(context: Context, name: str, error: FirstboxError) -> None:
    """One row for what was refused at the door, before anybody read what it asks."""
    with writing(context.engine) as connection:
        add_audit(connection, _asking(context, name), error.message, ret_code=error.ret_code)


def asked(request: ActionRequest) -> str:
    """What a request asks, as JSON of the fields it gives, without secrets."""
    given = request.model_dump(mode="json", exclude=_WHO, exclude_unset=True)
    text = _json(_shown(given, None))
    return text if len(text) <= _LONGEST else _json(_shown(given, _SHORT_LIST))


def _shown(value: Any, most: int | None, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _shown(item, most, key) for key, item in value.items()}
    if isinstance(value, list):
        shown = [_shown(item, most, name) for item in value[:most]]
        return shown + (
            [f"and {len(value) - most} more"] if len(value) > len(shown) and most else []
        )
    if value and any(word in name.lower() for word in _SECRET_WORDS):
        return MASK
    return origin(value) if name == "url" and isinstance(value, str) else value


def origin(url: str) -> str:
    """Where a URL leads, without its path, which may be as good as a password."""
    host = re.match(r"(https?://)(?:[^/?#]*@)?([^/?#]*)", url)
    return f"{host[1]}{host[2]}/..." if host else MASK


def _made(request: ActionRequest, answer: Answer) -> str:
    """The ids an answer tells that its request did not give."""
    ids = {name: answer[name] for name in _IDS if answer.get(name)}
    new = {name: value for name, value in ids.items() if getattr(request, name, None) != value}
    return _json(_shown(new, None)) if new else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _asking(context: Context, name: str) -> Asking:
    return Asking(context.caller.user_id, context.address, name, trail().request_id)


def _write_end(context: Context, asking: Asking, number: int, ret_code: int, text: str) -> None:
    try:
        with writing(context.engine) as connection:
            add_audit(connection, asking, text, ret_code=ret_code, answers=number)
    except Busy as error:
        # It is done or refused already: the caller is told so, whether or not it could be noted.
        logger.error(
            "the audit lacks the end of its row %d, %s: ret_code %d (%s)",
            number, asking.action, ret_code, error,
        )  # fmt: skip
