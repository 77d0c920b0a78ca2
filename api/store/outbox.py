"""What happened, on its way to webhooks: noted with the change itself, sent later, never lost.

A worker holds what it sends until a time in the row; when that is past, another may send it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, insert, select, update

from api.states import DeliveryStatus, WebhookEvent
from api.store.ids import chunks, new_id
from api.store.now import now
from api.store.tables import Delivery, Webhook, columns
from api.times import wire_time

DELIVERY = columns(Delivery)
WEBHOOK = columns(Webhook)
_WAITS = DELIVERY.c.status == DeliveryStatus.WAITING

Happening = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a node has another status: what a job made of it."""

    job_id: str = ""
    reason: str = ""
    message: str = ""


NO_CAUSES: Mapping[str, Cause] = {}  # somebody asked for it, or it was found


def tell(
    connection: Connection, event: WebhookEvent, happened: Callable[[], Iterable[Happening]]
) -> None:
    """Note what happened for every webhook that wants to know, in the transaction of the change.

    `happened` is called only if there is one.
    """
    webhooks = select(WEBHOOK.c.webhook_id, WEBHOOK.c.events)
    # Locked, so that none is deleted before what is noted for it is there.
    rows = connection.execute(webhooks.with_for_update(read=True, key_share=True)).all()
    wanting = [row.webhook_id for row in rows if event in row.events]
    if not wanting:
        return
    time = now(connection)
    messages = [message(event, time, one) for one in happened()]
    notes = [
        {
            "webhook_id": webhook_id,
            "event_id": event_id,
            "event": event,
            "body": body,
            "status": DeliveryStatus.WAITING,
            "attempts": 0,
            "create_time": time,
            "next_time": 0,
            "error": "",
        }
        for event_id, body in messages
        for webhook_id in wanting
    ]
    for chunk in chunks(notes):
        connection.execute(insert(DELIVERY), chunk)


def causes(job_id: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Cause]:
    """What a job made of each of its nodes."""
    return {row["node_id"]: Cause(job_id, row["reason"], row["message"]) for row in rows}


def tell_changes(
    connection: Connection,
    event: WebhookEvent,
    changes: Select[Any],
    node_ids: Iterable[str],
    causes: Mapping[str, Cause] = NO_CAUSES,
) -> None:
    """Note that these nodes are new, or have another status.

    `changes` selects status, pre_status, and all that is told of a node.
    """

    def happened() -> Iterator[Happening]:
        node_id = changes.selected_columns["node_id"]
        for chunk in chunks(sorted(node_ids)):
            for row in connection.execute(changes.where(node_id.in_(chunk))):
                yield _change(row, causes.get(row.node_id, Cause()))

    tell(connection, event, happened)


def _change(row: Row[Any], cause: Cause) -> Happening:
    node = {name: value or "" for name, value in row._mapping.items()}
    old, new = node.pop("pre_status"), node.pop("status")
    return {"node": node, "old_status": old, "new_status": new, **asdict(cause)}


def message(event: str, time: float, happening: Happening) -> tuple[str, str]:
    """A new event's id, and its body as it is sent."""
    event_id = new_id("m")
    body = {"event": event, "id": event_id, "time": wire_time(time), **happening}
    return event_id, json.dumps(body, ensure_ascii=False)


def due_webhooks(connection: Connection) -> Sequence[Row[Any]]:
    """Webhooks that something is to be sent to now."""
    time = now(connection)
    is_due = exists().where(
        DELIVERY.c.webhook_id == WEBHOOK.c.webhook_id, _WAITS, DELIVERY.c.next_time <= time
    )
    query = select(WEBHOOK).where(WEBHOOK.c.next_time <= time, is_due)
    return connection.execute(query.order_by(WEBHOOK.c.webhook_id)).all()


def take(
    connection: Connection, webhook_id: str, *, seconds: float, most: int
) -> Sequence[Row[Any]]:
    """Up to `most` of the oldest that wait for this webhook, in order, to be sent in `seconds`.

    Nobody else gets them until then.
    """
    time = now(connection)
    waiting = (
        select(DELIVERY.c.number)
        .where(DELIVERY.c.webhook_id == webhook_id, _WAITS, DELIVERY.c.next_time <= time)
        .order_by(DELIVERY.c.number)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    taken = connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.number.in_(connection.execute(waiting).scalars().all()))
        .values(next_time=time + seconds)
        .returning(DELIVERY)
    )
    return sorted(taken.all(), key=lambda row: int(row.number))


def lock_webhook(connection: Connection, webhook_id: str) -> bool:
    """Before anything is noted of a webhook and its events; False if it is gone with all of them."""
    query = select(WEBHOOK.c.webhook_id).where(WEBHOOK.c.webhook_id == webhook_id)
    return connection.execute(query.with_for_update(key_share=True)).first() is not None


def note_delivered(connection: Connection, taken: Sequence[Row[Any]]) -> None:
    """The receiver has these."""
    end = {"status": DeliveryStatus.DELIVERED, "finish_time": now(connection)}
    _note(connection, taken, attempts=DELIVERY.c.attempts + 1, error="", **end)


def note_refused(
    connection: Connection, taken: Row[Any], error: str, *, pause: float, hours: float
) -> None:
    """The receiver does not take this one: try again after `pause` seconds, or give it up."""
    time = now(connection)
    is_over = taken.create_time < time - hours * 3600
    end = {"status": DeliveryStatus.FAILED, "finish_time": time} if is_over else {}
    attempts = DELIVERY.c.attempts + 1
    _note(connection, [taken], next_time=time + pause, attempts=attempts, error=error, **end)


def put_back(connection: Connection, taken: Sequence[Row[Any]]) -> None:
    """These were not sent, after all."""
    _note(connection, taken, next_time=0)


def _note(connection: Connection, taken: Sequence[Row[Any]], **values: Any) -> None:
    for row in taken:
        # Whoever sent too slowly has lost it to another, who writes down what came of it.
        is_held = (DELIVERY.c.next_time == row.next_time) & _WAITS
        connection.execute(
            update(DELIVERY).where(DELIVERY.c.number == row.number, is_held).values(**values)
        )


def note_well(connection: Connection, webhook_id: str) -> None:
    """A webhook answers again."""
    connection.execute(
        update(WEBHOOK)
        .where(WEBHOOK.c.webhook_id == webhook_id, WEBHOOK.c.failures > 0)
        .values(failures=0, next_time=0)
    )


def note_ill(
    connection: Connection, webhook: Row[Any], error: str, *, pause: float, hours: float
) -> int:
    """A webhook does not answer: leave it alone for `pause` seconds.

    What has waited for more than `hours` is given up; how much that was.
    """
    time = now(connection)
    connection.execute(
        update(WEBHOOK)
        .where(WEBHOOK.c.webhook_id == webhook.webhook_id)
        .values(
            failures=WEBHOOK.c.failures + 1, next_time=time + pause, error=error, error_time=time
        )
    )
    given_up = connection.execute(
        update(DELIVERY)
        .where(
            DELIVERY.c.webhook_id == webhook.webhook_id,
            _WAITS,
            DELIVERY.c.create_time < time - hours * 3600,
        )
        .values(status=DeliveryStatus.FAILED, finish_time=time, error=error)
    )
    return given_up.rowcount
