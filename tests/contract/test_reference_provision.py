"""Sections 2.5 to 2.7 of the reference: install machines, and see how far that is."""

import pytest
from sqlalchemy import Engine

from api.states import Reason
from api.store.jobs import add_lines
from api.store.session import writing
from tests.contract.conftest import Api
from tests.contract.test_reference import example
from tests.jobs import end_job
from tests.machines import plant_bm_node, plant_images

# What we answer beyond the reference.
EXTENSIONS = {"job_action", "job_id", "reason", "advice", "steps", "nodes", "progress"}


@pytest.fixture
def machine(engine: Engine, api: Api) -> str:
    """A machine that may be installed."""
    plant_images(engine, api.settings.images)
    return plant_bm_node(engine)


@pytest.fixture
def failed_job(api: Api, engine: Engine, machine: str) -> str:
    job_id: str = api.call("ProvisionBMNodes", node_ids=[machine])["job_id"]
    with writing(engine) as connection:
        end_job(connection, job_id, Reason.WORKER_LOST, "its worker died 3 times")
    return job_id


def test_provision_bm_nodes_answers_as_the_reference(api: Api, machine: str) -> None:
    sent = example("ProvisionBMNodes")["send"] | {"node_ids": [machine]}

    answer = api.answer(api.send(sent))

    assert answer.keys() == example("ProvisionBMNodes")["recv"].keys()
    assert answer["job_id"].startswith("j-")


def test_the_status_is_the_references_and_more(api: Api, failed_job: str) -> None:
    sent = example("GetProvisionBMNodesStatus")["send"] | {"job_id": failed_job}
    expected = example("GetProvisionBMNodesStatus")["recv"]

    answer = api.answer(api.send(sent))

    assert {name: answer[name] for name in expected} == expected
    assert answer.keys() - expected.keys() == EXTENSIONS
    assert [step["name"] for step in answer["steps"]] == [
        "preflight",
        "ramdisk_boot",
        "disk_image",
        "os_config",
        "disk_boot",
        "node_verify",
    ]


def test_the_logs_line_numbers_are_not_padded(api: Api, engine: Engine, failed_job: str) -> None:
    sent = example("GetProvisionBMNodesLog")["send"] | {"job_id": failed_job}

    answer = api.answer(api.send(sent))

    assert answer.keys() == example("GetProvisionBMNodesLog")["recv"].keys()
    assert list(answer["log"]) == ["1"]
    assert answer["log"]["1"].startswith("ProvisionBMNodes: failed: its worker died 3 times. ")
    with writing(engine) as connection:
        more = {"time": 1.0, "job_status": "step0", "node_id": "", "is_failure": False}
        add_lines(connection, failed_job, [more | {"text": "more"} for _ in range(1200)])
    assert list(api.call("GetProvisionBMNodesLog", job_id=failed_job)["log"])[-1] == "1201"


def test_without_a_job_id_the_newest_installation_answers(api: Api, failed_job: str) -> None:
    newest = api.call("RetryJob", job_id=failed_job)["job_id"]

    assert api.call("GetProvisionBMNodesStatus")["job_id"] == newest


def test_get_status_and_get_log_serve_installations_too(api: Api, failed_job: str) -> None:
    asked = {"job_action": "ProvisionBMNodes", "job_id": failed_job, "request_type": "BMNode"}

    assert api.call("GetStatus", **asked)["status"] == "failed"
    assert list(api.call("GetLog", **asked)["log"]) == ["001"]


def test_a_collect_job_is_no_installation(api: Api) -> None:
    job_id = api.call("AddNodes", ip_start="10.10.10.10", ip_end="10.10.10.10")["job_id"]

    answer = api.answer(api.send({"action": "GetProvisionBMNodesStatus", "job_id": job_id}))

    assert answer["ret_code"] == 2100
