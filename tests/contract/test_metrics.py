"""`GET /metrics`, as Prometheus reads it."""

import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, Engine, event, insert, update

from api.figures import FIGURES
from api.metrics import Metrics
from api.settings import Settings
from api.states import Reason, WorkStatus
from api.store.jobs import JOB, JOB_STEP
from api.store.scans import put_results
from api.store.session import open_database, writing
from api.store.tables import Delivery, columns
from api.store.workers import beat
from docs.reference import DOCS
from tests.contract.conftest import Api
from tests.jobs import end_job
from tests.machines import a_range

Samples = dict[str, dict[tuple[str, ...], float]]


def metrics(api: Api) -> Samples:
    """Sample name -> values of its labels, by their names' alphabet -> value."""
    answer = api.http.get("/metrics")
    assert answer.status_code == 200
    return samples(answer.text)


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[
                tuple(value for _, value in sorted(sample.labels.items()))
            ] = sample.value
    return found


def test_requests_are_counted_by_action_and_kind_of_answer(api: Api) -> None:
    api.call("DescribeNodes")
    api.call("DescribeNodes")
    api.call("CollectNodes", node_ids=["n-nowhere1"])
    api.call("MakeCoffee")
    api.send(b"no json")

    counts = metrics(api)["firstbox_request_seconds_count"]
    assert counts == {
        ("DescribeNodes", "0"): 2,
        ("CollectNodes", "2xxx"): 1,
        ("", "1xxx"): 2,
    }


def test_jobs_that_wait_are_counted_with_their_age_and_who_could_run_them(
    api: Api, engine: Engine, busy: tuple[str, str]
) -> None:
    with writing(engine) as connection:
        connection.execute(update(JOB).values(create_time=time.time() - 100))
        beat(connection, "w1", zones=["default", "z2"], concurrency=4, lease=30)
        beat(connection, "w2", zones=[], concurrency=2, lease=30)

    seen = metrics(api)

    assert seen["firstbox_database_up"] == {(): 1}
    assert seen["firstbox_jobs"] == {("CollectNodes", "step0", "default"): 1}
    assert seen["firstbox_slices"] == {("queued", "default"): 1}
    assert 100 <= seen["firstbox_queue_oldest_seconds"]["default",] < 110
    assert seen["firstbox_queue_oldest_seconds"]["z2",] == 0
    assert seen["firstbox_workers"] == {("default",): 2, ("z2",): 2}
    assert seen["firstbox_worker_slots"] == {("default",): 6, ("z2",): 6}
    assert seen["firstbox_nodes"] == {("collecting",): 1}


def test_a_job_that_ends_is_counted_with_its_steps_and_failures(
    api: Api, engine: Engine, busy: tuple[str, str]
) -> None:
    node_id, job_id = busy
    with writing(engine) as connection:
        connection.execute(
            update(JOB_STEP)
            .where(JOB_STEP.c.step_index == 0)
            .values(status=WorkStatus.FAILED, start_time=1000.0, finish_time=1003.0)
        )
        failed = {"status": WorkStatus.FAILED, "reason": Reason.SSH_SILENT, "message": "silent"}
        end_job(connection, job_id, None, "", {node_id: failed})

    seen = metrics(api)

    assert "firstbox_jobs" not in seen
    assert seen["firstbox_jobs_finished_total"] == {("CollectNodes", "failed", "default"): 1}
    assert seen["firstbox_node_failures_total"] == {("CollectNodes", "ssh_silent"): 1}
    assert set(seen["firstbox_bmc_errors_total"].values()) == {0}
    buckets = seen["firstbox_step_seconds_bucket"]
    assert buckets["CollectNodes", "2", "node_reach"] == 0
    assert buckets["CollectNodes", "5", "node_reach"] == 1
    assert buckets["CollectNodes", "+Inf", "node_reach"] == 1
    assert seen["firstbox_step_seconds_count"] == {("CollectNodes", "node_reach"): 1}
    assert seen["firstbox_step_seconds_sum"] == {("CollectNodes", "node_reach"): 3}


def test_bmcs_that_a_scan_found_silent_are_counted_by_reason(api: Api, engine: Engine) -> None:
    asked = api.call("ScanBMNodes", **a_range())
    job_id = asked["job_id"]
    with writing(engine) as connection:
        rows = [
            {"address": "127.0.0.1", "outcome": "failed", "reason": Reason.BMC_LOGIN_REFUSED},
            {"address": "127.0.0.2", "outcome": "conflict", "reason": Reason.SCAN_CONFLICT},
        ]
        put_results(connection, job_id, rows)
        end_job(connection, job_id, None, "")

    seen = metrics(api)["firstbox_bmc_errors_total"]
    assert {labels: number for labels, number in seen.items() if number} == {
        ("bmc_login_refused",): 1
    }


def test_events_that_no_webhook_took_yet_are_counted_with_their_age(
    api: Api, engine: Engine
) -> None:
    made = api.call("CreateWebhook", url="http://127.0.0.1:9/", events=["job_ended"])
    with writing(engine) as connection:
        put(connection, made["webhook_id"], "waiting", time.time() - 100)
        put(connection, made["webhook_id"], "delivered", time.time() - 1000)

    seen = metrics(api)

    assert seen["firstbox_deliveries_waiting"] == {(): 1}
    assert 100 <= seen["firstbox_deliveries_oldest_seconds"][()] < 110


def put(connection: Connection, webhook_id: str, status: str, moment: float) -> None:
    times = {"create_time": moment, "next_time": moment}
    connection.execute(
        insert(columns(Delivery)).values(
            webhook_id=webhook_id,
            event_id="e-1",
            event="job_ended",
            body="{}",
            status=status,
            attempts=0,
            error="",
            **times,
        )
    )


def test_a_database_that_is_away_is_shown_and_requests_still_are(settings: Settings) -> None:
    shown = Metrics(
        settings.model_copy(update={"database_url": ""}),
        open_database(f"sqlite:///{settings.home}/nowhere/firstbox.db"),
    )
    shown.answered("GetStatus", 5100, 0.1)

    seen = samples(shown.show().decode())
    assert seen["firstbox_database_up"] == {(): 0}
    assert "firstbox_nodes" not in seen
    assert seen["firstbox_request_seconds_count"] == {("GetStatus", "5xxx"): 1}


def test_many_who_scrape_cost_the_database_as_much_as_one(
    settings: Settings, engine: Engine
) -> None:
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    shown = Metrics(settings, engine)

    for _ in range(3):
        shown.show()

    assert len([text for text in asked if text.startswith("SELECT")]) <= 9
    assert not [text for text in asked if text.startswith("BEGIN IMMEDIATE")]


@pytest.mark.parametrize("page", ["alerts.yml", "observability.md"])
def test_page_names_metrics_that_are_shown(page: str) -> None:
    named = set(re.findall(r"\bfirstbox_[a-z_]+", (DOCS / page).read_text()))

    assert named
    assert named <= {
        name
        for figure in FIGURES
        for name in (figure.name, f"{figure.name}_bucket", f"{figure.name}_count")
    }


def test_every_metric_is_told_in_a_sentence_and_named_once() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert [figure.name for figure in FIGURES if not figure.text.endswith(".")] == []
