"""Queries about webhooks: who wants to be told of what, and whether it reaches them."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from api.states import DeliveryStatus
from api.store.ids import new_id
from api.store.outbox import DELIVERY, WEBHOOK


def add_webhook(
    connection: Connection, *, url: str, sealed: str, events: Sequence[str], description: str
) -> str:
    """A new webhook, whose secret is sealed; its id."""
    webhook_id = new_id("w")
    values = {
        "webhook_id": webhook_id,
        "url": url,
        "secret": sealed,
        "events": list(events),
        "description": description,
        "create_time": time.time(),
        "failures": 0,
        "next_time": 0,
        "error": "",
    }
    connection.execute(insert(WEBHOOK).values(values))
    return webhook_id


def count_webhooks(connection: Connection) -> int:
    """How many there are."""
    return connection.execute(select(func.count()).select_from(WEBHOOK)).scalar_one()


def get_webhooks(
    connection: Connection, webhook_ids: Sequence[str] | None = None
) -> Sequence[Row[Any]]:
    """All of them, or those with these ids, in the order they were made."""
    query = select(WEBHOOK).order_by(WEBHOOK.c.create_time, WEBHOOK.c.webhook_id)
    if webhook_ids is not None:
        query = query.where(WEBHOOK.c.webhook_id.in_(webhook_ids))
    return connection.execute(query).all()


def delete_webhooks(connection: Connection, webhook_ids: Sequence[str]) -> None:
    """Remove webhooks with all that is on its way to them."""
    connection.execute(delete(WEBHOOK).where(WEBHOOK.c.webhook_id.in_(webhook_ids)))


def count_deliveries(connection: Connection) -> dict[str, dict[str, int]]:
    """Per webhook: how many deliveries have which status."""
    query = select(DELIVERY.c.webhook_id, DELIVERY.c.status, func.count())
    counts: dict[str, dict[str, int]] = {}
    rows = connection.execute(query.group_by(DELIVERY.c.webhook_id, DELIVERY.c.status))
    for webhook_id, status, number in rows:
        counts.setdefault(webhook_id, {})[status] = number
    return counts


def last_given_up(connection: Connection, most: int) -> dict[str, list[Row[Any]]]:
    """Per webhook: the newest deliveries that were given up, the newest first."""
    place = func.row_number().over(
        partition_by=DELIVERY.c.webhook_id, order_by=DELIVERY.c.number.desc()
    )
    shown = ("webhook_id", "event_id", "event", "create_time", "finish_time", "attempts", "error")
    failed = (
        select(*(DELIVERY.c[name] for name in shown), place.label("place"))
        .where(DELIVERY.c.status == DeliveryStatus.FAILED)
        .subquery()
    )
    query = select(failed).where(failed.c.place <= most).order_by(failed.c.place)
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.webhook_id, []).append(row)
    return found
