"""What every request and every answer has in common, and what a handler is given."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Engine

from api.auth.callers import Caller, Callers
from api.domain.progress import RecentStatuses
from api.domain.queueing import Queue
from api.errors import OverLimit
from api.settings import Settings

# A word to look for: whatever fits in a line, but nothing a database chokes on.
Word = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Description = Annotated[
    str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
]
Offset = Annotated[int, Field(ge=0, le=2**62, description="Entries to pass over.")]


class ActionRequest(BaseModel):
    """The common parameters. Unknown fields and values of another type are refused (1100)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: str | None = Field(
        None, description="The action's name; may be left out of its own URL."
    )
    USER_ID: str | None = Field(None, max_length=64, description="User id, with PASSWORD.")
    PASSWORD: str | None = Field(
        None,
        max_length=8192,
        description="The password, encrypted for this server's public key (compact JWE).",
    )


class NodeRequest(ActionRequest):
    """A request about nodes that have an operating system."""

    request_type: Literal["Node"] | None = None


class BMNodeRequest(ActionRequest):
    """A request about machines with a registered BMC."""

    request_type: Literal["BMNode"] | None = None


class PagedRequest(ActionRequest):
    """Paging of lists; without `limit` everything is returned."""

    limit: int | None = Field(None, ge=1, le=100_000, description="Most entries in the answer.")
    offset: Offset = 0
    reverse: bool = Field(False, description="Sort downwards.")
    search_word: Word | None = Field(None, description="Part of a name or address.")


class AnyRequest(ActionRequest):
    """A request that serves several types, such as one about jobs."""

    request_type: Literal["Node", "BMNode"] | None = None


class AuditRequest(ActionRequest):
    """A request about the audit."""

    request_type: Literal["Audit"] | None = None


class WebhookRequest(ActionRequest):
    """A request about webhooks."""

    request_type: Literal["Webhook"] | None = None


class UserRequest(ActionRequest):
    """A request about users."""

    request_type: Literal["User"] | None = None


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class ActionResponse(BaseModel):
    """The common part of every answer; `ret_code` 0 means done."""

    action: str
    ret_code: int
    message: str | None = Field(None, description="Only in a refusal: one sentence that says why.")
    errors: list[FieldError] | None = Field(None, description="Only in a refusal: per field.")


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may use: the caller, and the means of this process."""

    settings: Settings
    engine: Engine
    queue: Queue
    caller: Caller
    callers: Callers
    statuses: RecentStatuses
    address: str = ""  # where the call comes from


Answer = dict[str, Any]


def not_too_many(context: Context, count: int, what: str = "node ids") -> None:
    """Refuse a request about more nodes than one may be about."""
    most = context.settings.max_nodes_per_call
    if count > most:
        raise OverLimit(f"{count} {what} in one request; at most {most}.")
