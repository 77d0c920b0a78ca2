"""Section 2.8 of the reference and the two after it: scan, and see what was found."""

import sqlite3

import pytest
from sqlalchemy import Engine

from api.registration.plan import plan_of_options
from api.states import Reason, ScanOutcome
from api.store.jobs import add_lines, get_job
from api.store.scans import put_results
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.contract.conftest import Api
from tests.contract.test_reference import example
from tests.jobs import end_job
from tests.machines import a_range, plant_bm_node

# What we answer beyond the reference.
EXTENSIONS = {"job_action", "job_id", "reason", "advice", "steps", "nodes", "progress"}
EXTENSIONS |= {"dry_run", "results"}
PASSWORD = a_range()["credentials"][0]["password"]


@pytest.fixture
def machine(engine: Engine, api: Api) -> str:
    """A machine whose BMC can be asked."""
    sealed = Seal(api.settings.keys).close(PASSWORD)
    return plant_bm_node(engine, ipmi_password=sealed)


@pytest.fixture
def failed_job(api: Api, engine: Engine, machine: str) -> str:
    job_id: str = api.call("ScanBMNodes", node_ids=[machine])["job_id"]
    with writing(engine) as connection:
        end_job(connection, job_id, Reason.WORKER_LOST, "its worker died 3 times")
    return job_id


def test_scan_bm_nodes_answers_as_the_reference(api: Api, machine: str) -> None:
    sent = example("ScanBMNodes")["send"] | {"node_ids": [machine]}

    answer = api.answer(api.send(sent))

    assert answer.keys() == example("ScanBMNodes")["recv"].keys()
    assert answer["job_id"].startswith("j-")


def test_the_status_is_the_references_and_more(api: Api, failed_job: str) -> None:
    sent = example("GetScanBMNodesStatus")["send"] | {"job_id": failed_job}
    expected = example("GetScanBMNodesStatus")["recv"]

    answer = api.answer(api.send(sent))

    assert {name: answer[name] for name in expected} == expected
    assert answer.keys() - expected.keys() == EXTENSIONS
    steps = [step["name"] for step in answer["steps"]]
    assert steps == ["bmc_sweep", "bmc_identify", "bmc_register"]


def test_the_logs_line_numbers_are_not_padded(api: Api, engine: Engine, failed_job: str) -> None:
    sent = example("GetScanBMNodesLog")["send"] | {"job_id": failed_job}

    answer = api.answer(api.send(sent))

    assert answer.keys() == example("GetScanBMNodesLog")["recv"].keys()
    assert list(answer["log"]) == ["1"]
    assert answer["log"]["1"].startswith("ScanBMNodes: failed: its worker died 3 times. ")
    with writing(engine) as connection:
        more = {"time": 1.0, "job_status": "step0", "node_id": "", "is_failure": False}
        add_lines(connection, failed_job, [more | {"text": "more"} for _ in range(1200)])
    assert list(api.call("GetScanBMNodesLog", job_id=failed_job)["log"])[-1] == "1201"


def test_without_a_job_id_the_newest_scan_answers(api: Api, failed_job: str) -> None:
    newest = api.call("RetryJob", job_id=failed_job)["job_id"]

    assert api.call("GetScanBMNodesStatus")["job_id"] == newest


def test_get_status_and_get_log_serve_scans_too(api: Api, failed_job: str) -> None:
    asked = {"job_action": "ScanBMNodes", "job_id": failed_job, "request_type": "BMNode"}

    assert api.call("GetStatus", **asked)["status"] == "failed"
    assert list(api.call("GetLog", **asked)["log"]) == ["001"]


def test_a_scan_of_a_range_is_a_job_without_nodes(api: Api, engine: Engine) -> None:
    job_id = api.call("ScanBMNodes", **a_range(dry_run=1))["job_id"]

    status = api.call("GetScanBMNodesStatus", job_id=job_id)

    assert (status["status"], status["progress"], status["nodes"]) == ("step0", 0.0, [])
    assert (status["dry_run"], status["results"]) == (1, [])
    with reading(engine) as connection:
        job = get_job(connection, job_id)
        assert job is not None
        plan = plan_of_options(job.options, Seal(api.settings.keys).open)
    assert [(one.start, one.end, one.logins) for one in plan.ranges] == [
        ("10.1.0.1", "10.1.0.254", ("factory",))
    ]
    assert plan.logins["factory"].password == PASSWORD


def test_a_credentials_password_is_nowhere_in_clear(api: Api) -> None:
    job_id = api.call("ScanBMNodes", **a_range())["job_id"]

    with sqlite3.connect(api.settings.home / "firstbox.db") as database:
        assert PASSWORD not in "".join(database.iterdump())
    for action in ("GetScanBMNodesStatus", "GetScanBMNodesLog"):
        assert PASSWORD not in api.send({"action": action, "job_id": job_id}).text
    assert PASSWORD not in api.send({"action": "DescribeJobs"}).text


def test_a_failed_scan_of_a_range_is_tried_again_as_it_was_asked(api: Api, engine: Engine) -> None:
    job_id = api.call("ScanBMNodes", **a_range())["job_id"]
    with writing(engine) as connection:
        end_job(connection, job_id, Reason.RUN_ENDED, "the playbook ended")

    again = api.call("RetryJob", job_id=job_id)["job_id"]

    with reading(engine) as connection:
        first, second = get_job(connection, job_id), get_job(connection, again)
        assert first is not None
        assert second is not None
        assert second.options["ranges"] == first.options["ranges"]


def test_the_results_say_per_address_what_became_of_it(api: Api, engine: Engine) -> None:
    job_id = api.call("ScanBMNodes", **a_range())["job_id"]
    rows = [
        {"address": "10.1.0.10", "outcome": ScanOutcome.NEW, "credential": "factory"},
        {
            "address": "10.1.0.9",
            "outcome": ScanOutcome.FAILED,
            "reason": Reason.BMC_LOGIN_REFUSED,
            "message": "refused factory",
        },
    ]
    with writing(engine) as connection:
        put_results(connection, job_id, rows)
        put_results(connection, job_id, [rows[0] | {"node_id": "n-11111111"}])

    results = api.call("GetScanBMNodesStatus", job_id=job_id)["results"]

    assert [(one["address"], one["outcome"], one["node_id"]) for one in results] == [
        ("10.1.0.9", "failed", ""),
        ("10.1.0.10", "new", "n-11111111"),
    ]
    assert "Correct the BMC's user name" in results[0]["advice"]
    assert results[1]["credential"] == "factory"


def test_a_machine_without_a_bmc_login_cannot_be_asked(api: Api, engine: Engine) -> None:
    node_id = plant_bm_node(engine, ipmi_username="")

    answer = api.answer(api.send({"action": "ScanBMNodes", "node_ids": [node_id]}))

    assert answer["ret_code"] == 2200
    assert f"Node {node_id} has no BMC address and login" in answer["message"]
