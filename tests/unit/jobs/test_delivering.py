"""What happened reaches every webhook, once, in its order, whatever the others do."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from api.domain import webhooks
from api.jobs import delivering
from api.jobs.chore import Means
from api.logs import log_to_stderr
from api.settings import Settings
from api.states import WebhookEvent
from api.store import outbox
from api.store.outbox import DELIVERY, WEBHOOK
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.receiver import Receiver, receiving

Plant = Callable[[], Receiver]

# What the queries do on both is tested with the queries; a database of PostgreSQL is dear.
SQLITE = pytest.mark.parametrize("any_engine", ["sqlite"], indirect=True)


@pytest.fixture
def means(settings: Settings, any_engine: Engine) -> Means:
    """What a worker's chore works with."""
    return Means(
        settings.model_copy(update={"webhook_deadline": 0.5}), any_engine, threading.Event()
    )


@pytest.fixture
def plant(means: Means) -> Iterator[Plant]:
    """Makes a webhook with a receiver at its end."""
    with ExitStack() as stack:

        def one() -> Receiver:
            receiver = stack.enter_context(receiving())
            with writing(means.engine) as connection:
                webhooks.create(
                    connection,
                    Seal(means.settings.keys),
                    means.settings.allowed_networks,
                    url=receiver.url,
                    events=[WebhookEvent.JOB_ENDED],
                    description="",
                )
            return receiver

        yield one


def happen(means: Means, *places: int) -> None:
    with writing(means.engine) as connection:
        outbox.tell(
            connection, WebhookEvent.JOB_ENDED, lambda: [{"place": place} for place in places]
        )


def later(means: Means, seconds: float, table: Any = DELIVERY, column: str = "next_time") -> None:
    with writing(means.engine) as connection:
        connection.execute(update(table).values({column: table.c[column] - seconds}))


def shown(means: Means) -> dict[str, Any]:
    """The only webhook, as it is described."""
    with reading(means.engine) as connection:
        [found] = webhooks.describe(connection, None)
    return found


@SQLITE
def test_events_come_in_their_order_over_one_connection(means: Means, plant: Plant) -> None:
    receiver = plant()
    happen(means, *range(20))

    assert delivering.deliver(means) is False

    assert receiver.places == list(range(20))
    assert receiver.connections == 1
    assert (shown(means)["delivered"], shown(means)["waiting"]) == (20, 0)
    assert delivering.deliver(means) is False
    assert len(receiver.received) == 20


@SQLITE
def test_more_than_a_turn_holds_is_left_for_the_next(means: Means, plant: Plant) -> None:
    receiver = plant()
    happen(means, *range(51))

    assert delivering.deliver(means) is True
    assert delivering.deliver(means) is False

    assert receiver.places == list(range(51))


def test_two_workers_never_send_the_same(means: Means, plant: Plant) -> None:
    receiver = plant()
    receiver.answer = lambda _: time.sleep(0.002) or 204
    happen(means, *range(200))

    with ThreadPoolExecutor(2) as workers:
        for _ in range(5):
            list(workers.map(lambda _: delivering.deliver(means), range(2)))

    assert sorted(receiver.places) == list(range(200))


def test_webhook_that_does_not_answer_is_tried_again_later_and_in_order(
    means: Means, plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    receiver, well = plant(), plant()
    receiver.answer = lambda _: 503
    happen(means, 1, 2)

    delivering.deliver(means)
    delivering.deliver(means)

    assert receiver.places == [1]
    assert well.places == [1, 2]
    assert "does not answer: HTTP 503; again in 5 s" in caplog.text
    receiver.answer = lambda _: 200
    later(means, 6, WEBHOOK)
    delivering.deliver(means)
    assert receiver.places == [1, 1, 2]
    first, again = receiver.received[:2]
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body


@SQLITE
def test_silent_webhook_does_not_hold_up_the_others(means: Means, plant: Plant) -> None:
    end = threading.Event()
    silent, well = plant(), plant()
    silent.answer = lambda _: end.wait(10) and 500
    happen(means, 1, 2, 3)
    began = time.monotonic()

    delivering.deliver(means)

    end.set()
    assert time.monotonic() - began < 5
    assert well.places == [1, 2, 3]


@SQLITE
def test_event_that_is_not_wanted_does_not_hold_up_the_next(
    means: Means, plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = plant()
    receiver.answer = lambda received: 422 if received.event["place"] == 2 else 200
    happen(means, 1, 2, 3)

    delivering.deliver(means)

    assert receiver.places == [1, 2, 3]
    found = shown(means)
    assert (found["status"], found["delivered"], found["waiting"]) == ("good", 2, 1)
    assert "does not want m-" in caplog.text


@SQLITE
def test_what_nobody_took_for_a_day_is_given_up_and_shown(
    means: Means, plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = plant()
    receiver.answer = lambda _: 500
    happen(means, 1, 2)
    later(means, 24 * 3600 + 1, column="create_time")

    delivering.deliver(means)

    found = shown(means)
    assert (found["status"], found["failed"], found["waiting"]) == ("failing", 2, 0)
    assert found["error"] == "HTTP 500"
    assert [one["error"] for one in found["given_up"]] == ["HTTP 500", "HTTP 500"]
    assert found["given_up"][1]["id"] == receiver.received[0].event["id"]
    assert "given up" in caplog.text


@SQLITE
def test_stopping_worker_sends_nothing_more_and_another_may(means: Means, plant: Plant) -> None:
    receiver = plant()

    def stop_at_second(_received: object) -> int:
        if len(receiver.received) == 2:
            means.stop.set()
        return 204

    receiver.answer = stop_at_second
    happen(means, *range(10))

    delivering.deliver(means)

    assert receiver.places == [0, 1]
    means.stop.clear()
    delivering.deliver(means)
    assert receiver.places == list(range(10))


@SQLITE
def test_webhook_deleted_while_something_is_sent_is_no_fault(means: Means, plant: Plant) -> None:
    receiver = plant()

    def delete(_received: object) -> int:
        with writing(means.engine) as connection:
            connection.execute(WEBHOOK.delete())
        return 204

    receiver.answer = delete
    happen(means, 1)

    delivering.deliver(means)

    with reading(means.engine) as connection:
        assert connection.execute(select(DELIVERY)).all() == []


@SQLITE
def test_secret_sealed_with_a_lost_key_is_told_not_sent(means: Means, plant: Plant) -> None:
    receiver = plant()
    happen(means, 1)
    with writing(means.engine) as connection:
        connection.execute(update(WEBHOOK).values(secret="gAAAAA"))

    delivering.deliver(means)

    assert receiver.received == []
    assert "sealed with a key" in shown(means)["error"]


@SQLITE
def test_worker_logs_nothing_secret(
    means: Means, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = plant()
    receiver.answer = lambda _: 500
    happen(means, 1)

    before = logging.root.handlers[:], logging.root.level
    try:
        log_to_stderr("text")
        delivering.deliver(means)
    finally:
        logging.root.handlers[:], logging.root.level = before

    written = capsys.readouterr().err
    assert "does not answer: HTTP 500" in written
    assert "key=x" not in written
    assert "whsec" not in written
