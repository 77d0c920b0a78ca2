"""Actions on webhooks."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, field_validator

from api.actions.envelope import ActionResponse, Answer, Context, Description, WebhookRequest
from api.domain import webhooks
from api.states import WebhookEvent
from api.store.sealing import Seal
from api.store.session import reading, writing

EventName = Literal["job_ended", "node_status", "bm_node_status"]
WebhookId = Annotated[str, StringConstraints(pattern=r"^w-[0-9A-Za-z]{8}$")]
Url = Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://[\x21-\x7e]+$")]


class CreateWebhookRequest(WebhookRequest):
    """Where to send what happens."""

    url: Url = Field(description="Takes a POST for each event; redirects are not followed.")
    events: list[EventName] = Field(min_length=1, max_length=16)
    description: Description = ""


class CreateWebhookResponse(ActionResponse):
    """The new webhook; its secret is shown this once."""

    webhook_id: str
    secret: str = Field(description="Signs what is sent; `whsec_` and base64.")


def create_webhook(context: Context, request: CreateWebhookRequest) -> Answer:
    """Have events sent to a URL, signed, until they arrive."""
    with writing(context.engine) as connection:
        webhook_id, secret = webhooks.create(
            connection,
            Seal(context.settings.keys),
            context.settings.allowed_networks,
            url=request.url,
            events=[WebhookEvent(event) for event in request.events],
            description=request.description,
        )
    return {"webhook_id": webhook_id, "secret": secret}


class GivenUp(BaseModel):
    """An event that a webhook never got."""

    id: str
    event: str
    create_time: str
    finish_time: str
    attempts: int
    error: str


class WebhookView(BaseModel):
    """A webhook, as shown; never its secret."""

    webhook_id: str
    url: str
    events: list[str]
    description: str
    create_time: str
    status: Literal["good", "failing"]
    failures: int
    next_time: str
    error: str
    error_time: str
    waiting: int
    delivered: int
    failed: int
    given_up: list[GivenUp]


class DescribeWebhooksRequest(WebhookRequest):
    """Which webhooks to show; without ids, all of them."""

    webhook_ids: list[WebhookId] | None = Field(None, max_length=1000)


class DescribeWebhooksResponse(ActionResponse):
    """The webhooks found, how many events reached each, and the last that did not."""

    webhook_set: list[WebhookView]
    total_count: int


def describe_webhooks(context: Context, request: DescribeWebhooksRequest) -> Answer:
    """Show webhooks, and whether they listen."""
    with reading(context.engine) as connection:
        found = webhooks.describe(connection, request.webhook_ids)
    return {"webhook_set": found, "total_count": len(found)}


class DeleteWebhooksRequest(WebhookRequest):
    """Webhooks to delete, all or nothing."""

    webhook_ids: list[WebhookId] = Field(min_length=1, max_length=1000)

    @field_validator("webhook_ids")
    @classmethod
    def _once_each(cls, webhook_ids: list[str]) -> list[str]:
        return list(dict.fromkeys(webhook_ids))


class DeleteWebhooksResponse(ActionResponse):
    """The webhooks that are gone."""

    webhook_ids: list[str]
    total_count: int


def delete_webhooks(context: Context, request: DeleteWebhooksRequest) -> Answer:
    """Delete webhooks; what is on its way to them is not sent any more."""
    with writing(context.engine) as connection:
        webhooks.delete(connection, request.webhook_ids)
    return {"webhook_ids": request.webhook_ids, "total_count": len(request.webhook_ids)}
