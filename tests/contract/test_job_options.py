"""What requests may say about a job's way through the queue."""

from typing import Any

import pytest

from tests.contract.conftest import Api


@pytest.fixture
def node_ids(api: Api) -> list[str]:
    """Five nodes that nobody is at."""
    added = api.call("AddNodes", ip_start="10.0.0.1", ip_end="10.0.0.5")
    api.call("CancelJob", job_id=added["job_id"])
    ids: list[str] = added["node_ids"]
    return ids


def shown(api: Api, job_id: str) -> dict[str, Any]:
    (job,) = api.call("DescribeJobs", job_ids=[job_id])["job_set"]
    return {name: job[name] for name in ("priority", "slice_count", "zone_id", "node_count")}


def test_a_job_is_normal_and_in_one_piece_unless_somebody_says_otherwise(
    api: Api, node_ids: list[str]
) -> None:
    job_id = api.call("CollectNodes", node_ids=node_ids)["job_id"]

    assert shown(api, job_id) == {
        "priority": "normal",
        "slice_count": 1,
        "zone_id": "default",
        "node_count": 5,
    }


def test_priority_and_at_once_are_as_asked_and_a_retry_keeps_them(
    api: Api, node_ids: list[str]
) -> None:
    asked = {"priority": "low", "at_once": 2, "max_failures": 1}
    job_id = api.call("CollectNodes", node_ids=node_ids, **asked)["job_id"]
    api.call("CancelJob", job_id=job_id)
    again = api.call("RetryJob", job_id=job_id)["job_id"]

    for one in (job_id, again):
        assert shown(api, one) | {"zone_id": ""} == {
            "priority": "low",
            "slice_count": 3,
            "zone_id": "",
            "node_count": 5,
        }


def test_a_job_over_two_zones_names_both(api: Api, node_ids: list[str]) -> None:
    api.call("ModifyNodeAttributes", node_id=node_ids[0], zone_id="z2")

    job_id = api.call("CollectNodes", node_ids=node_ids)["job_id"]

    assert (shown(api, job_id)["zone_id"], shown(api, job_id)["slice_count"]) == ("default,z2", 2)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"priority": "urgent"}, "priority"),
        ({"priority": 1}, "priority"),
        ({"at_once": 0}, "at_once"),
        ({"at_once": "2"}, "at_once"),
        ({"max_failures": -1}, "max_failures"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    refusing_api: Api, asked: dict[str, Any], field: str
) -> None:
    answer = refusing_api.refuse(1100, "CollectNodes", node_ids=["n-00000001"], **asked)

    assert [error["field"] for error in answer["errors"]] == [field]
