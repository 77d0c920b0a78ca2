"""From a request's body to its answer, the same for every action; knows no HTTP."""

import asyncio
import logging
import reprlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Engine

from api.actions import ACTIONS, Action
from api.actions.auditing import audited, write_refused
from api.actions.envelope import ActionRequest, Answer, Context
from api.auth.callers import Callers
from api.auth.roles import require
from api.domain.progress import RecentStatuses
from api.domain.queueing import Queue
from api.errors import FirstboxError, Malformed, NotAllowed, OurFault
from api.settings import Settings
from api.trail import learn

logger = logging.getLogger("firstbox.api")


class _Short(reprlib.Repr):
    """A caller's value in a message, however large or deep it is; of objects, nothing secret."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return "{...}" if x else "{}"


_SHORT = _Short()
_SHORT.maxstring = 64
_SECRET_FIELDS = frozenset({"PASSWORD", "password", "ipmi_password"})


@dataclass(frozen=True, slots=True)
class Means:
    """What this process answers with."""

    settings: Settings
    engine: Engine
    queue: Queue
    callers: Callers
    statuses: RecentStatuses
    threads: ThreadPoolExecutor  # handlers wait for the database there


def read_body(body: bytes) -> dict[str, Any]:
    """The request's JSON object. Raises Malformed."""
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"The request body is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise Malformed("The request body is JSON, but not an object.")
    return read


def find_action(body: dict[str, Any], name: str | None) -> str:
    """The action's name: from the URL, else from the body; both must agree. Raises Malformed."""
    given = name if body.get("action") is None else body["action"]
    if given is None:
        raise Malformed.field("action", "is missing: it names what to do")
    if not isinstance(given, str):
        raise Malformed.field("action", f"is not a text, but {_SHORT.repr(given)}")
    if name is not None and given != name:
        raise Malformed.field("action", f"is {given[:64]!r}, but the address says {name}")
    return given


async def answer(
    means: Means, name: str, body: dict[str, Any], authorization: str | None, address: str
) -> dict[str, Any]:
    """Do what the request asks for; every failure is an answer too."""
    try:
        done = await _do(means, name, body, authorization, address)
        return {"action": f"{name}Response", "ret_code": 0, **done}
    except FirstboxError as error:
        return refusal(name, error)
    except Exception:
        number = secrets.token_hex(4)
        logger.exception("fault %s in %s", number, name)
        return refusal(name, OurFault(f"A fault of the service; its log has it under {number}."))


def refusal(name: str, error: FirstboxError) -> dict[str, Any]:
    """The envelope of a refusal."""
    return {
        "action": f"{name[:64]}Response",
        "ret_code": error.ret_code,
        "message": error.message,
        "errors": error.errors,
    }


async def _do(
    means: Means, name: str, body: dict[str, Any], authorization: str | None, address: str
) -> Answer:
    action = ACTIONS.get(name)
    if action is None:
        raise Malformed.field("action", f"there is no action {name[:64]!r}")
    caller = await means.callers.admit(
        _text(body, "USER_ID"), _text(body, "PASSWORD"), authorization, address
    )
    learn(user=caller.user_id)
    context = Context(
        means.settings, means.engine, means.queue, caller, means.callers, means.statuses, address
    )
    loop = asyncio.get_running_loop()
    try:
        require(caller, action.role)
    except NotAllowed as error:
        await loop.run_in_executor(means.threads, write_refused, context, name, error)
        raise
    request = _read(action, body)
    known = action.recall(context, request) if action.recall else None
    if known is not None:
        return known
    return await loop.run_in_executor(means.threads, _carry_out, action, context, request)


def _carry_out(action: Action, context: Context, request: ActionRequest) -> Answer:
    if action.is_audited(context, request):
        return audited(context, action.name, request, action.handler)
    return action.handler(context, request)


def _text(body: dict[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is not None and not isinstance(value, str):
        raise Malformed.field(field, f"is not a text, but of type {type(value).__name__}")
    return value


def _read(action: Action, body: dict[str, Any]) -> ActionRequest:
    try:
        return action.request.model_validate(body)
    except ValidationError as error:
        errors = [_field_error(detail) for detail in error.errors(include_url=False)[:100]]
        first = errors[0]
        raise Malformed(f"{first['field']}: {first['message']}", errors) from None


def _field_error(detail: Any) -> dict[str, str]:
    field = ".".join(str(part) for part in detail["loc"])[:128] or "request"
    if not field.isprintable():
        field = repr(field)
    if detail["type"] == "extra_forbidden":
        return {"field": field, "message": "this action has no such parameter"}
    message = str(detail["msg"]).removeprefix("Value error, ")
    is_secret = not _SECRET_FIELDS.isdisjoint(detail["loc"])
    if detail["type"] != "missing" and detail["loc"] and not is_secret:
        message += f", not {_SHORT.repr(detail['input'])}"
    return {"field": field, "message": message[:1].lower() + message[1:]}
