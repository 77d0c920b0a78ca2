"""What happened is noted with the change itself, and sent by one worker at a time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Row, select, text, update
from sqlalchemy.exc import OperationalError

from api.domain import jobs
from api.registration.rules import NOTHING
from api.states import BmNodeStatus, JobAction, NodeStatus, Reason, WebhookEvent, WorkStatus
from api.store import outbox
from api.store.bm_nodes import add_bm_nodes, move_bm_nodes
from api.store.nodes import add_nodes, move_nodes
from api.store.outbox import DELIVERY, WEBHOOK
from api.store.session import reading, writing
from api.store.webhooks import add_webhook, delete_webhooks
from tests.fakes import RecordingQueue
from tests.jobs import end_job

ALL = list(WebhookEvent)


def plant(engine: Engine, *events: WebhookEvent) -> str:
    """A webhook that wants these events, or all; its id."""
    with writing(engine) as connection:
        return add_webhook(
            connection, url="http://h", sealed="", events=events or ALL, description=""
        )


def fill(engine: Engine, count: int) -> None:
    """Something happens `count` times."""
    happened = [{"place": place} for place in range(count)]
    with writing(engine) as connection:
        outbox.tell(connection, WebhookEvent.JOB_ENDED, lambda: happened)


def bodies(engine: Engine) -> list[dict[str, Any]]:
    """What is to be sent, in order, without ids and times."""
    with reading(engine) as connection:
        rows = connection.execute(select(DELIVERY).order_by(DELIVERY.c.number)).all()
    found = []
    for row in rows:
        body = json.loads(row.body)
        assert body.pop("id") == row.event_id
        assert len(body.pop("time")) == 19
        assert body["event"] == row.event
        found.append(body)
    return found


def take(engine: Engine, webhook_id: str, most: int = 10, seconds: float = 60) -> list[Row[Any]]:
    """What a worker gets to send."""
    with writing(engine) as connection:
        return list(outbox.take(connection, webhook_id, seconds=seconds, most=most))


def due(engine: Engine) -> list[str]:
    """Webhooks that have something to be sent."""
    with reading(engine) as connection:
        return [row.webhook_id for row in outbox.due_webhooks(connection)]


def later(engine: Engine, table: Any, column: str, seconds: float) -> None:
    """Let time pass: what was to be at a time is to be so much earlier."""
    with writing(engine) as connection:
        connection.execute(update(table).values({column: table.c[column] - seconds}))


def test_node_tells_what_a_job_makes_of_it(any_engine: Engine) -> None:
    plant(any_engine, WebhookEvent.NODE_STATUS)
    with writing(any_engine) as connection:
        [node_id] = add_nodes(connection, ["10.0.0.1"], "z1")
        job_id = jobs.start(
            connection, RecordingQueue(), JobAction.COLLECT_NODES, [node_id], user_id="u"
        )
        failed = {"status": WorkStatus.FAILED, "reason": Reason.SSH_SILENT, "message": "no answer"}
        end_job(connection, job_id, None, "", {node_id: failed})

    node = {"node_id": node_id, "zone_id": "z1", "address": "10.0.0.1", "hostname": ""}
    nothing = {"job_id": "", "reason": "", "message": ""}
    why = {"job_id": job_id, "reason": "ssh_silent", "message": "no answer"}
    assert bodies(any_engine) == [
        {"event": "node_status", "node": node, "old_status": old, "new_status": new, **cause}
        for old, new, cause in (
            ("", "pending", nothing),
            ("pending", "collecting", nothing | {"job_id": job_id}),
            ("collecting", "unreachable", why),
        )
    ]


def test_machine_tells_that_it_is_new_and_where_it_stands(any_engine: Engine) -> None:
    plant(any_engine)
    machine = NOTHING | {"serial_number": None, "zone_id": "z1", "description": ""}
    with writing(any_engine) as connection:
        [node_id] = add_bm_nodes(connection, [machine])
        move_bm_nodes(connection, {node_id: BmNodeStatus.PROVISIONING})
        move_nodes(connection, {node_id: NodeStatus.COLLECTING})  # not a node to anybody yet

    told = bodies(any_engine)

    steps = [(one["event"], one["old_status"], one["new_status"]) for one in told]
    assert steps == [
        ("bm_node_status", "", "new"),
        ("bm_node_status", "new", "provisioning"),
    ]
    assert set(told[0]["node"]) == {
        "node_id", "zone_id", "hostname", "serial_number", "ipmi_network_address",
        "pxe_network_mac_addr",
    }  # fmt: skip


def test_status_that_does_not_change_is_no_event(any_engine: Engine) -> None:
    with writing(any_engine) as connection:
        [node_id] = add_nodes(connection, ["10.0.0.1"], "default")
    plant(any_engine)

    with writing(any_engine) as connection:
        assert move_nodes(connection, {node_id: NodeStatus.AVAILABLE}) == [node_id]

    assert bodies(any_engine) == []


def test_job_tells_that_it_ended(any_engine: Engine) -> None:
    plant(any_engine, WebhookEvent.JOB_ENDED)
    with writing(any_engine) as connection:
        node_ids = add_nodes(connection, ["10.0.0.1", "10.0.0.2"], "default")
        job_id = jobs.start(
            connection, RecordingQueue(), JobAction.COLLECT_NODES, node_ids, user_id="alice"
        )
        done = {"status": WorkStatus.SUCCESSFUL}
        end_job(connection, job_id, Reason.CANCELLED, "cancelled", {node_ids[0]: done})

    [told] = bodies(any_engine)

    assert told["event"] == "job_ended"
    assert (told["old_status"], told["new_status"]) == ("step0", "failed")
    assert (told["reason"], told["message"]) == ("cancelled", "cancelled")
    assert told["job"]["job_id"] == job_id
    assert told["job"]["job_action"] == "CollectNodes"
    assert told["job"]["user_id"] == "alice"
    assert told["job"]["nodes"] == {"successful": 1, "failed": 1}
    assert told["job"]["finish_time"] >= told["job"]["create_time"]


def test_what_is_taken_back_was_never_told(any_engine: Engine) -> None:
    plant(any_engine)

    def change_and_fail() -> None:
        with writing(any_engine) as connection:
            add_nodes(connection, ["10.0.0.1"], "default")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()

    assert bodies(any_engine) == []


def test_nobody_is_told_what_they_do_not_want(any_engine: Engine) -> None:
    plant(any_engine, WebhookEvent.JOB_ENDED)

    def never() -> list[dict[str, Any]]:
        raise AssertionError("nobody wants to know")

    with writing(any_engine) as connection:
        outbox.tell(connection, WebhookEvent.NODE_STATUS, never)

    assert due(any_engine) == []


@pytest.mark.parametrize("any_engine", ["postgresql"], indirect=True)  # SQLite has one writer
def test_webhook_is_not_deleted_under_an_event_that_is_being_noted(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)

    def delete() -> None:
        with any_engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
            delete_webhooks(connection, [webhook_id])

    with writing(any_engine) as connection:
        outbox.tell(connection, WebhookEvent.JOB_ENDED, lambda: [{"place": 1}])
        with pytest.raises(OperationalError, match="lock timeout"):
            delete()

    delete()
    assert rows(any_engine) == []


def test_one_event_has_one_id_for_all_webhooks(any_engine: Engine) -> None:
    first, second = plant(any_engine), plant(any_engine)
    fill(any_engine, 1)

    assert due(any_engine) == sorted([first, second])
    [one], [other] = take(any_engine, first), take(any_engine, second)
    assert one.event_id == other.event_id


def test_what_one_worker_sends_no_other_gets_until_its_time_is_over(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 3)

    first = take(any_engine, webhook_id, most=2)
    second = take(any_engine, webhook_id, most=2)

    assert [json.loads(row.body)["place"] for row in first + second] == [0, 1, 2]
    assert take(any_engine, webhook_id) == []
    assert due(any_engine) == []
    later(any_engine, DELIVERY, "next_time", 61)
    assert due(any_engine) == [webhook_id]
    assert len(take(any_engine, webhook_id)) == 3


@pytest.mark.parametrize("any_engine", ["postgresql"], indirect=True)  # SQLite has one writer
def test_two_workers_in_the_same_moment_get_different_ones(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 4)

    with writing(any_engine) as one, writing(any_engine) as other:
        first = outbox.take(one, webhook_id, seconds=60, most=2)
        second = outbox.take(other, webhook_id, seconds=60, most=10)

    assert [json.loads(row.body)["place"] for row in [*first, *second]] == [0, 1, 2, 3]


def test_delivered_is_delivered(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 1)
    taken = take(any_engine, webhook_id)

    with writing(any_engine) as connection:
        outbox.note_delivered(connection, taken)

    [row] = rows(any_engine)
    assert (row.status, row.attempts, row.finish_time is None) == ("delivered", 1, False)
    later(any_engine, DELIVERY, "next_time", 3600)
    assert due(any_engine) == []


def test_what_was_not_sent_waits_again(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 1)

    with writing(any_engine) as connection:
        outbox.put_back(connection, outbox.take(connection, webhook_id, seconds=60, most=1))

    [row] = take(any_engine, webhook_id)
    assert row.attempts == 0


def test_worker_that_was_too_slow_does_not_overwrite_what_another_found(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 1)
    slow = take(any_engine, webhook_id)
    later(any_engine, DELIVERY, "next_time", 61)
    quick = take(any_engine, webhook_id)

    with writing(any_engine) as connection:
        outbox.note_delivered(connection, quick)
        outbox.note_refused(connection, slow[0], "refused", pause=1, hours=0)

    assert rows(any_engine)[0].status == "delivered"


def test_refused_event_is_tried_again_and_given_up_in_the_end(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 1)

    refuse(any_engine, webhook_id)

    assert due(any_engine) == []
    later(any_engine, DELIVERY, "next_time", 61)
    assert due(any_engine) == [webhook_id]
    later(any_engine, DELIVERY, "create_time", 3601)
    refuse(any_engine, webhook_id)
    [row] = rows(any_engine)
    assert (row.status, row.attempts, row.error) == ("failed", 2, "HTTP 400")


def test_silent_webhook_is_left_alone_and_its_old_events_are_given_up(any_engine: Engine) -> None:
    webhook_id = plant(any_engine)
    fill(any_engine, 1)
    later(any_engine, DELIVERY, "create_time", 3601)
    fill(any_engine, 1)

    assert on_webhook(any_engine, lambda c, hook: outbox.note_ill(c, hook, "silent", **HOUR)) == 1

    assert [row.status for row in rows(any_engine)] == ["failed", "waiting"]
    assert due(any_engine) == []
    later(any_engine, WEBHOOK, "next_time", 61)
    assert due(any_engine) == [webhook_id]
    hook = on_webhook(any_engine, lambda _, hook: hook)
    assert (hook.failures, hook.error) == (1, "silent")
    on_webhook(any_engine, lambda c, hook: outbox.note_well(c, hook.webhook_id))
    assert on_webhook(any_engine, lambda _, hook: hook.failures) == 0


HOUR: dict[str, Any] = {"pause": 60, "hours": 1}


def refuse(engine: Engine, webhook_id: str) -> None:
    with writing(engine) as connection:
        [taken] = outbox.take(connection, webhook_id, seconds=30, most=1)
        outbox.note_refused(connection, taken, "HTTP 400", **HOUR)


def on_webhook(engine: Engine, act: Callable[[Connection, Row[Any]], Any]) -> Any:
    with writing(engine) as connection:
        return act(connection, connection.execute(select(WEBHOOK)).one())


def rows(engine: Engine) -> list[Row[Any]]:
    with reading(engine) as connection:
        return list(connection.execute(select(DELIVERY).order_by(DELIVERY.c.number)))
