"""Webhooks: where they may lead, how what is sent proves who sent it, and when it is sent again.

Signed as Standard Webhooks describes it (standardwebhooks.com), which receivers have libraries for.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import httpx
from sqlalchemy import Connection, Row

from api.errors import Malformed, NotFound, OverLimit
from api.registration.addresses import is_allowed
from api.states import DeliveryStatus, WebhookEvent
from api.store import webhooks
from api.store.sealing import Seal
from api.times import wire_time

MOST = 32  # webhooks: each event is written once for each of them
_PREFIX = "whsec_"
_SHOWN = 10  # deliveries given up that are shown
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 3600.0


def create(
    connection: Connection,
    seal: Seal,
    allowed: Sequence[IPv4Network | IPv6Network],
    *,
    url: str,
    events: Sequence[WebhookEvent],
    description: str,
) -> tuple[str, str]:
    """A new webhook: its id, and its secret, which is shown this once."""
    check_url(url, allowed)
    if webhooks.count_webhooks(connection) >= MOST:
        raise OverLimit(f"There are {MOST} webhooks, and no more may be: delete one first.")
    secret = new_secret()
    webhook_id = webhooks.add_webhook(
        connection,
        url=url,
        sealed=seal.close(secret),
        events=list(dict.fromkeys(events)),
        description=description,
    )
    return webhook_id, secret


def check_url(url: str, allowed: Sequence[IPv4Network | IPv6Network]) -> None:
    """Raise Malformed unless a webhook may lead there. A name's addresses are checked at each call."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Malformed.field("url", f"is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Malformed.field("url", "is not like https://host/path")
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise Malformed.field("url", f"has the port {parsed.port}, which is none")
    if parsed.userinfo or parsed.fragment:
        raise Malformed.field("url", "has a user, a password or a fragment, which are not sent")
    if _is_address(parsed.host) and not is_allowed(parsed.host, allowed):
        raise Malformed.field(
            "url", f"{parsed.host} is outside of the networks this service may talk to"
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def origin(url: str) -> str:
    """Where a URL leads, without its path, which may be as good as a password."""
    host = re.match(r"(https?://)(?:[^/?#]*@)?([^/?#]*)", url)
    return f"{host[1]}{host[2]}/..." if host else "..."


def delete(connection: Connection, webhook_ids: Sequence[str]) -> None:
    """Remove webhooks, all or nothing; what is on its way to them is not sent any more."""
    known(connection, webhook_ids)
    webhooks.delete_webhooks(connection, webhook_ids)


def known(connection: Connection, webhook_ids: Sequence[str]) -> list[Row[Any]]:
    """The rows of these webhooks; NotFound lists the ids that none has."""
    rows = webhooks.get_webhooks(connection, webhook_ids)
    missing = [one for one in webhook_ids if one not in {row.webhook_id for row in rows}]
    if missing:
        raise NotFound(f"There is no webhook {', '.join(missing)}.")
    return list(rows)


def describe(connection: Connection, webhook_ids: Sequence[str] | None) -> list[dict[str, Any]]:
    """Webhooks as they are shown: never the secret, but whether they listen."""
    counts = webhooks.count_deliveries(connection)
    given_up = webhooks.last_given_up(connection, _SHOWN)
    return [
        _view(row, counts.get(row.webhook_id, {}), given_up.get(row.webhook_id, ()))
        for row in webhooks.get_webhooks(connection, webhook_ids)
    ]


def _view(row: Row[Any], counts: Mapping[str, int], given_up: Sequence[Row[Any]]) -> dict[str, Any]:
    return {
        "webhook_id": row.webhook_id,
        "url": row.url,
        "events": row.events,
        "description": row.description,
        "create_time": wire_time(row.create_time),
        "status": "failing" if row.failures else "good",
        "failures": row.failures,
        "next_time": wire_time(row.next_time) if row.failures else "",
        "error": row.error,
        "error_time": wire_time(row.error_time),
        **{str(status): counts.get(status, 0) for status in DeliveryStatus},
        "given_up": [
            {
                "id": one.event_id,
                "event": one.event,
                "create_time": wire_time(one.create_time),
                "finish_time": wire_time(one.finish_time),
                "attempts": one.attempts,
                "error": one.error,
            }
            for one in given_up
        ],
    }


def new_secret() -> str:
    """A secret that two sides share, in the form the standard gives it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed(secret: str, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove to whoever shares the secret who sent this body, and when."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    content = b".".join([event_id.encode(), str(timestamp).encode(), body])
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 5, 10, 20, ... an hour."""
    return float(min(_FIRST_PAUSE * 2 ** min(failures - 1, 20), _LONGEST_PAUSE))
