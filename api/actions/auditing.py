"""What of a request goes into the audit: the fields it gives, without secrets, and the ids it made."""

import json
from collections.abc import Callable
from typing import Any

from api.actions.envelope import ActionRequest, Answer, Context
from api.domain.audit import recorded
from api.domain.webhooks import origin
from api.errors import FirstboxError
from api.registration.rules import MASK
from api.store.audit import Asking, add_audit
from api.store.session import writing
from api.trail import trail

_LONGEST = 100_000  # characters of one text; of longer ones, lists lose their ends
_SHORT_LIST = 100
_WHO = {"action", "USER_ID", "PASSWORD", "request_type"}
_SECRET_WORDS = ("password", "secret")
_IDS = ("job_id", "webhook_id", "node_ids")


def audited(
    context: Context, name: str, request: ActionRequest, handler: Callable[[Any, Any], Answer]
) -> Answer:
    """The handler's answer, with a row before and a row after it."""
    with recorded(context.engine, _asking(context, name), asked(request)) as entry:
        answer = handler(context, request)
        entry.answer = _made(request, answer)
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
        left = len(value) - len(shown)
        return [*shown, f"and {left} more"] if left else shown
    if value and any(word in name.lower() for word in _SECRET_WORDS):
        return MASK
    return origin(value) if name == "url" and isinstance(value, str) else value


def _made(request: ActionRequest, answer: Answer) -> str:
    """The ids an answer tells that its request did not give."""
    ids = {name: answer[name] for name in _IDS if answer.get(name)}
    new = {name: value for name, value in ids.items() if getattr(request, name, None) != value}
    return _json(new) if new else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _asking(context: Context, name: str) -> Asking:
    return Asking(context.caller.user_id, context.address, name, trail().request_id)
