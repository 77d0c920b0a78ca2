"""A chore: send webhooks what happened, in its order, until they have it or it is too old.

A webhook that does not answer is left alone for a while, longer each time; the others do not wait for
it. Whoever takes events holds them for longer than sending may take, so that no two send the same.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.webhooks import pause_after
from api.errors import FirstboxError
from api.jobs.chore import Means
from api.jobs.posting import Letter, Poster, poster
from api.store import outbox
from api.store.sealing import Seal
from api.store.session import reading, writing

_MOST = 50  # events for one webhook in one turn
_TURN = 10.0  # seconds, after which no further event is sent in this turn
_SLACK = 30.0  # seconds to write down what came of it

logger = logging.getLogger("firstbox.webhooks")


@dataclass(slots=True)
class _Batch:
    """What one webhook is to get in this turn, and what came of it."""

    webhook: Row[Any]
    unsent: list[Row[Any]]  # in order
    delivered: list[Row[Any]] = field(default_factory=list)
    refused: list[tuple[Row[Any], str]] = field(default_factory=list)
    error: str = ""  # the webhook does not answer; the first of `unsent` was tried


def deliver(means: Means) -> bool:
    """Send what is due; True if more is left."""
    with reading(means.engine) as connection:
        due = outbox.due_webhooks(connection)
    if not due:
        return False
    hold = _TURN + means.settings.webhook_deadline + _SLACK
    with writing(means.engine) as connection:
        taken = [
            _Batch(one, list(outbox.take(connection, one.webhook_id, seconds=hold, most=_MOST)))
            for one in due
        ]
    batches = [batch for batch in taken if batch.unsent]  # another worker may have been faster
    asyncio.run(_send_all(means, batches))
    for batch in batches:
        with writing(means.engine) as connection:
            if outbox.lock_webhook(connection, batch.webhook.webhook_id):
                _note(connection, batch, means.settings.webhook_hours)
    return any(len(batch.delivered) == _MOST for batch in batches)


async def _send_all(means: Means, batches: Sequence[_Batch]) -> None:
    until = time.monotonic() + _TURN
    await asyncio.gather(*(_send(means, batch, until) for batch in batches))


async def _send(means: Means, batch: _Batch, until: float) -> None:
    settings = means.settings
    try:
        secret = Seal(settings.keys).open(batch.webhook.secret)
    except FirstboxError as error:
        batch.error = error.message
        return
    async with poster(settings.allowed_networks, settings.webhook_deadline) as open_poster:
        while batch.unsent and time.monotonic() < until and not means.stop.is_set():
            await _send_first(batch, secret, open_poster)
            if batch.error:
                return


async def _send_first(batch: _Batch, secret: str, open_poster: Poster) -> None:
    row = batch.unsent[0]
    outcome = await open_poster.post(Letter(batch.webhook.url, secret, row.event_id, row.body))
    if outcome.error and not outcome.is_about_event:
        batch.error = outcome.error
        return
    del batch.unsent[0]
    if outcome.error:
        batch.refused.append((row, outcome.error))
    else:
        batch.delivered.append(row)


def _note(connection: Connection, batch: _Batch, hours: float) -> None:
    webhook, unsent = batch.webhook, batch.unsent
    outbox.note_delivered(connection, batch.delivered)
    for row, error in batch.refused:
        pause = pause_after(row.attempts + 1)
        outbox.note_refused(connection, row, error, pause=pause, hours=hours)
        logger.warning("webhook %s does not want %s: %s", webhook.webhook_id, row.event_id, error)
    if not batch.error:
        outbox.put_back(connection, unsent)
        if batch.delivered or batch.refused:
            outbox.note_well(connection, webhook.webhook_id)
        return
    outbox.note_refused(connection, unsent[0], batch.error, pause=0, hours=hours)
    outbox.put_back(connection, unsent[1:])
    pause = pause_after(webhook.failures + 1)
    lost = outbox.note_ill(connection, webhook, batch.error, pause=pause, hours=hours)
    more = f"; {lost} events waited for {hours:g} h and are given up" if lost else ""
    logger.warning(
        "webhook %s does not answer: %s; again in %g s%s",
        webhook.webhook_id, batch.error, pause, more,
    )  # fmt: skip
