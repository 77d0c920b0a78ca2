"""What docs/webhooks.md tells receivers is so."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.domain.webhooks import new_secret, signed
from api.settings import Settings
from api.states import WebhookEvent

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
BODY = '{"event": "test", "message": "größer"}'.encode()

Verify = Callable[[str, dict[str, str], bytes], None]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def verify() -> Verify:
    """The function on the page."""
    namespace: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "webhooks.md", "exec"), namespace)  # noqa: S102  # our page
    found: Verify = namespace["verify"]
    return found


def test_example_and_the_standards_own_library_accept_what_we_sign(verify: Verify) -> None:
    secret = new_secret()
    headers = signed(secret, "m-12345678", int(time.time()), BODY)

    verify(secret, headers, BODY)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize("change", ["body", "id", "time", "secret", "age"])
def test_example_and_library_refuse_what_somebody_else_made_of_it(
    change: str, verify: Verify
) -> None:
    now = int(time.time())
    secret = new_secret()
    headers = signed(secret, "m-12345678", now - 600 if change == "age" else now, BODY)
    headers |= {
        "id": {"webhook-id": "m-87654321"},
        "time": {"webhook-timestamp": str(now + 1)},
    }.get(change, {})
    body = BODY.replace(b"test", b"best") if change == "body" else BODY
    used = new_secret() if change == "secret" else secret

    with pytest.raises(ValueError, match=r"event|secret"):
        verify(used, headers, body)
    with pytest.raises(WebhookVerificationError):
        Webhook(used).verify(body, headers)


def test_examples_of_events_are_objects_of_known_events() -> None:
    events = [json.loads(block) for block in blocks("json")]

    assert {one["event"] for one in events} <= set(WebhookEvent)
    assert all(f"| `{event}` |" in PAGE for event in WebhookEvent)


def test_settings_are_those_there_are() -> None:
    named = re.findall(r"FIRSTBOX_(\w+)`\W+\((\d+)", PAGE)

    assert {name.lower(): float(value) for name, value in named} == {
        name: getattr(Settings(), name) for name in ("webhook_deadline", "webhook_hours")
    }
