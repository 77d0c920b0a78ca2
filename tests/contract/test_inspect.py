"""InspectBMNodes: what it takes, what it refuses, and where its job shows."""

from typing import Any, get_args

import pytest
from sqlalchemy import Engine

from api.actions.job import JobActionName
from api.states import JobAction
from api.store.bm_nodes import update_bm_node
from api.store.jobs import get_job
from api.store.session import reading, writing
from tests.contract.conftest import Api
from tests.machines import asked, plant_images

STEPS = ["ramdisk_boot", "node_probe", "bmc_user", "node_record", "ramdisk_end"]


@pytest.fixture
def machine(engine: Engine, api: Api) -> str:
    """A registered machine, and a ramdisk that it may boot."""
    plant_images(engine, api.settings.images)
    node_ids: list[str] = api.call("RegisterBMNodes", **asked())["node_ids"]
    return node_ids[0]


def test_an_inspection_is_a_job_that_get_status_and_get_log_show(api: Api, machine: str) -> None:
    answer = api.call("InspectBMNodes", request_type="BMNode", node_ids=[machine, machine])

    assert answer.keys() == {"action", "ret_code", "job_id"}
    job = {"job_action": "InspectBMNodes", "job_id": answer["job_id"]}
    status = api.call("GetStatus", **job)
    assert (status["status"], [step["name"] for step in status["steps"]]) == ("step0", STEPS)
    assert [node["node_id"] for node in status["nodes"]] == [machine]
    assert api.call("GetLog", **job)["ret_code"] == 0
    assert api.call("DescribeJobs", job_action="InspectBMNodes")["total_count"] == 1


def test_it_changes_no_status_and_its_end_gives_the_machine_back(api: Api, machine: str) -> None:
    job_id = api.call("InspectBMNodes", node_ids=[machine])["job_id"]
    api.refuse(2200, "ProvisionBMNodes", machine, job_id, node_ids=[machine])

    api.call("CancelJob", job_id=job_id)

    [node] = api.call("DescribeBMNodes", node_ids=[machine])["node_set"]
    assert (node["status"], node["pre_status"]) == ("new", "")
    assert api.call("RetryJob", job_id=job_id)["ret_code"] == 0


def test_interrupt_is_kept_with_the_job(api: Api, engine: Engine, machine: str) -> None:
    with writing(engine) as connection:
        update_bm_node(connection, machine, {"status": "provisioned"})
    api.refuse(2200, "InspectBMNodes", machine, "interrupt 1", node_ids=[machine])

    job_id = api.call("InspectBMNodes", node_ids=[machine], interrupt=1)["job_id"]

    with reading(engine) as connection:
        job = get_job(connection, job_id)
        assert job is not None
        assert job.options == {"interrupt": 1}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("node_ids", "required")),
        ({"node_ids": []}, ("node_ids",)),
        ({"node_ids": ["n-1; reboot"]}, ("node_ids",)),
        ({"interrupt": 2}, ("interrupt",)),
        ({"interrupt": True}, ("interrupt",)),
        ({"erase": 1}, ("erase", "no such parameter")),
        ({"request_type": "Node"}, ("request_type",)),
    ],
)
def test_what_it_does_not_take_is_refused_by_name(
    refusing_api: Api, fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    sent = {"node_ids": ["n-00000000"], **fields} if fields else {}

    refusing_api.refuse(1100, "InspectBMNodes", *words, **sent)


def test_a_machine_nobody_registered_is_named(refusing_api: Api) -> None:
    refusing_api.refuse(2100, "InspectBMNodes", "n-00000000", node_ids=["n-00000000"])


def test_every_kind_of_job_can_be_asked_for() -> None:
    assert set(get_args(JobActionName)) == {action.value for action in JobAction}
