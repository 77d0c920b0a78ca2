"""Webhooks are made, shown without their secret, and deleted, by admins."""

import base64
from ipaddress import ip_network

import pytest
from sqlalchemy import select

from api.domain.webhooks import MOST
from api.settings import Settings
from api.states import WebhookEvent
from api.store.outbox import WEBHOOK
from api.store.sealing import Seal
from api.store.session import open_database, reading
from tests.contract.conftest import Api, serving

URL = "https://hooks.example.org:8443/firstbox?key=x"
EVENTS = [event.value for event in WebhookEvent]


def test_webhook_is_shown_as_it_was_made_but_for_its_secret(api: Api) -> None:
    made = api.call("CreateWebhook", url=URL, events=[*EVENTS, "job_ended"], description="chat")

    [found] = api.call("DescribeWebhooks")["webhook_set"]

    assert found["webhook_id"] == made["webhook_id"]
    assert (found["url"], found["description"]) == (URL, "chat")
    assert found["events"] == EVENTS
    assert (found["status"], found["waiting"], found["given_up"]) == ("good", 0, [])
    assert made["secret"] not in str(found)
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32


def test_secret_is_sealed_in_the_database(api: Api) -> None:
    secret = api.call("CreateWebhook", url=URL, events=EVENTS)["secret"]

    engine = open_database(api.settings.database)
    with reading(engine) as connection:
        stored = connection.execute(select(WEBHOOK.c.secret)).scalar_one()
    engine.dispose()

    assert secret not in str(api.dump())
    assert Seal(api.settings.keys).open(stored) == secret


def test_audit_names_the_host_of_a_webhook_and_nothing_secret(api: Api) -> None:
    secret = api.call("CreateWebhook", url=URL, events=EVENTS)["secret"]

    [entry] = api.call("DescribeAudit")["audit_set"]

    assert "https://hooks.example.org:8443/..." in entry["text"]
    assert "key=x" not in str(entry)
    assert secret not in str(entry)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "file:///etc/passwd",
        "https://",
        "http:///x",
        "https://user:password@h/x",
        "https://user@h/x",
        "https://h/x#fragment",
        "https://h:70000/",
        "https://h x/",
        "https://h/\n",
        "https://[::1/",
        "https://" + "h" * 2048,
        "hooks.example.org",
        7,
    ],
)
def test_what_is_no_url_to_post_to_is_refused(url: object, refusing_api: Api) -> None:
    refusing_api.refuse(1100, "CreateWebhook", "url", url=url, events=EVENTS)


def test_unknown_event_is_refused(refusing_api: Api) -> None:
    refusing_api.refuse(1100, "CreateWebhook", "events", url=URL, events=["rain"])
    refusing_api.refuse(1100, "CreateWebhook", "events", url=URL, events=[])


def test_address_the_service_may_not_talk_to_is_refused(settings: Settings) -> None:
    allowed = [ip_network("10.0.0.0/8")]
    with serving(settings.model_copy(update={"allowed_networks": allowed})) as api:
        api.refuse(
            1100, "CreateWebhook", "169.254.169.254", url="http://169.254.169.254/", events=EVENTS
        )
        assert api.call("CreateWebhook", url="http://10.1.2.3/", events=EVENTS)["ret_code"] == 0


def test_webhooks_are_deleted_all_or_nothing(api: Api) -> None:
    first, second = (
        api.call("CreateWebhook", url=URL, events=EVENTS)["webhook_id"] for _ in range(2)
    )
    api.refuse(2100, "DeleteWebhooks", "w-00000000", webhook_ids=[first, "w-00000000"])

    assert api.call("DeleteWebhooks", webhook_ids=[first, first])["total_count"] == 1

    left = api.call("DescribeWebhooks", webhook_ids=[first, second])["webhook_set"]
    assert [one["webhook_id"] for one in left] == [second]


def test_more_webhooks_than_there_may_be_are_refused(api: Api) -> None:
    for _ in range(MOST):
        assert api.call("CreateWebhook", url=URL, events=EVENTS)["ret_code"] == 0

    api.refuse(2500, "CreateWebhook", str(MOST), url=URL, events=EVENTS)


def test_what_is_asked_of_the_service_is_on_its_way_to_webhooks(api: Api) -> None:
    api.call("CreateWebhook", url=URL, events=EVENTS)

    api.call("AddNodes", ip_start="10.0.0.1", ip_end="10.0.0.2")
    [found] = api.call("DescribeWebhooks")["webhook_set"]

    assert found["waiting"] == 4  # two nodes are new, and a job is at them
