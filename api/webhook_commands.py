"""The commands `firstbox webhook ...`: who is told by HTTP what happens."""

from typing import Annotated

import typer

from api.errors import FirstboxError
from api.terminal import audited, opened_database, read_settings, say, show_table, tell

app = typer.Typer(help="Who is told by HTTP what happens.", no_args_is_help=True)

WebhookId = Annotated[str, typer.Argument(help="Webhook id, w-...")]


@app.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="Takes a POST for each event.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="job_ended, node_status or bm_node_status; may be repeated; else all."),
    ] = None,
    description: Annotated[str, typer.Option(help="Who listens there.")] = "",
) -> None:
    """Have events sent to a URL. Prints the secret that signs them, this once."""
    from api.domain import webhooks
    from api.states import WebhookEvent
    from api.store.sealing import Seal
    from api.store.session import writing

    try:
        events = [WebhookEvent(name) for name in event or WebhookEvent]
    except ValueError:
        known = ", ".join(WebhookEvent)
        raise FirstboxError(f"There is no such event; there are {known}.") from None
    settings = read_settings()
    asked = {"url": webhooks.origin(url), "events": events, "description": description}
    with (
        opened_database(settings) as engine,
        audited(engine, "CreateWebhook", asked) as entry,
        writing(engine) as connection,
    ):
        webhook_id, secret = webhooks.create(
            connection,
            Seal(settings.keys),
            settings.allowed_networks,
            url=url,
            events=events,
            description=description,
        )
        entry.answer = webhook_id
    tell(f"Webhook {webhook_id} gets {', '.join(events)}, signed with this secret:")
    say(secret)


@app.command("list")
def list_webhooks() -> None:
    """Show the webhooks, and whether they listen."""
    from api.domain import webhooks
    from api.store.session import reading

    with opened_database(read_settings()) as engine, reading(engine) as connection:
        found = webhooks.describe(connection, None)
    shown = ("webhook_id", "status", "waiting", "delivered", "failed", "error", "url")
    show_table([{name: one[name] for name in shown} for one in found])


@app.command("delete")
def delete_webhooks(
    webhook_ids: Annotated[list[str], typer.Argument(help="Webhook ids.")],
) -> None:
    """Delete webhooks; what is on its way to them is not sent any more."""
    from api.domain import webhooks
    from api.store.session import writing

    with (
        opened_database(read_settings()) as engine,
        audited(engine, "DeleteWebhooks", {"webhook_ids": webhook_ids}),
        writing(engine) as connection,
    ):
        webhooks.delete(connection, webhook_ids)
    say(f"Deleted {', '.join(webhook_ids)}.")


@app.command("test")
def try_webhook(webhook_id: WebhookId) -> None:
    """Send an event named `test` from here, now, and say what came of it; exit code 1 if nothing good."""
    import asyncio
    import time

    from api.domain import webhooks
    from api.jobs.posting import Letter, poster
    from api.store.outbox import message
    from api.store.sealing import Seal
    from api.store.session import reading

    settings = read_settings()
    with opened_database(settings) as engine, reading(engine) as connection:
        [row] = webhooks.known(connection, [webhook_id])
    secret = Seal(settings.keys).open(row.secret)
    event_id, body = message("test", time.time(), {"message": "This is a test."})

    async def send() -> str:
        async with poster(settings.allowed_networks, settings.webhook_deadline) as open_poster:
            return (await open_poster.post(Letter(row.url, secret, event_id, body))).error

    error = asyncio.run(send())
    if error:
        raise FirstboxError(f"Webhook {webhook_id} does not take the event {event_id}: {error}.")
    say(f"Webhook {webhook_id} took the event {event_id}.")
