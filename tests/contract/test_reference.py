"""The examples of the API reference, sent as they stand there, and answered as they stand there."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import EXAMPLES, Api, Reply
from tests.users import ADMIN_PASSWORD

# What we answer beyond the reference; a new field is added here on purpose or not at all.
EXTENSIONS = {
    "DescribeNodes.node_set[].address",
    "DescribeNodes.node_set[].serial_number",
    "AddNodes.job_id",
    "AddNodes.existing",
    "GetStatus.job_id",
    "GetStatus.reason",
    "GetStatus.advice",
    "GetStatus.steps",
    "GetStatus.nodes",
    "GetStatus.progress",
}

# Where the example is not a fact about its machine: ids, times, and its slips.
NOT_COMPARED = {
    "disk_id",
    "network_id",
    "raw_device_id",
    "node_id",
    "create_time",
    "update_time",
    "os_name",  # the example names 14.04's codename beside 16.04.5
    "size",  # the example counts 215.0 for a disk of 200 GiB, which is 214.7 GB
    "pre_status",  # the example skips `collecting`
    "zone_id",  # every node has one: `default`
}


@pytest.fixture(params=["token", "password"])
def ask(request: pytest.FixtureRequest, api: Api) -> Callable[..., Reply]:
    """Sends an example's request with other ids in it, and proves the caller in either way."""

    def ask(name: str, **ids: Any) -> Reply:
        body = example(name)["send"] | ids
        if request.param == "token":
            return api.answer(api.send(body))
        body |= {"USER_ID": "admin", "PASSWORD": api.password(ADMIN_PASSWORD)}
        return api.answer(api.send(body, user=None))

    return ask


def test_describe_nodes_answers_as_the_reference(ask: Callable[..., Reply], node_id: str) -> None:
    answer = ask("DescribeNodes", node_ids=[node_id])

    assert_like_example("DescribeNodes", answer)
    [node] = answer["node_set"]
    [expected] = example("DescribeNodes")["recv"]["node_set"]
    assert facts(node) == facts(expected)
    assert [disk["size"] for disk in node["data_disks"]] == [214.7, 214.7]
    assert node["os_disk"]["size"] == 53.7


def test_a_nodes_parts_point_at_each_other(ask: Callable[..., Reply], node_id: str) -> None:
    [node] = ask("DescribeNodes", node_ids=[node_id])["node_set"]

    [bridge] = node["networks"]
    parts = [bridge, bridge["raw_device_info"], node["os_disk"], *node["data_disks"]]
    assert {part["node_id"] for part in parts} == {node["node_id"]} == {node_id}
    assert bridge["raw_device_id"] == bridge["raw_device_info"]["network_id"]
    assert bridge["raw_device_id"] != bridge["network_id"]


def test_a_pending_node_has_the_same_shape(ask: Callable[..., Reply], api: Api) -> None:
    [node_id] = api.call("AddNodes", ip_start="10.10.10.10", ip_end="10.10.10.10")["node_ids"]

    [node] = ask("DescribeNodes", node_ids=[node_id])["node_set"]

    [expected] = example("DescribeNodes")["recv"]["node_set"]
    assert differences(node, expected | {"data_disks": [], "networks": []}) == []


def test_add_nodes_answers_as_the_reference(ask: Callable[..., Reply], api: Api) -> None:
    answer = ask("AddNodes")

    assert_like_example("AddNodes", answer)
    assert answer["total_count"] == len(answer["node_ids"]) == 11
    nodes = api.call("DescribeNodes", node_ids=answer["node_ids"], fields=["address"])["node_set"]
    assert [node["address"] for node in nodes] == [f"10.10.10.{last}" for last in range(10, 21)]


def test_delete_nodes_answers_as_the_reference(
    ask: Callable[..., Reply], api: Api, node_id: str
) -> None:
    answer = ask("DeleteNodes", node_ids=[node_id])

    assert_like_example("DeleteNodes", answer)
    assert (answer["node_ids"], answer["total_count"]) == ([node_id], 1)
    assert api.call("DescribeNodes")["total_count"] == 0


def test_collect_nodes_answers_as_the_reference(ask: Callable[..., Reply], node_id: str) -> None:
    answer = ask("CollectNodes", node_ids=[node_id])

    assert_like_example("CollectNodes", answer)


def test_get_status_answers_as_the_reference(ask: Callable[..., Reply], failed_job: str) -> None:
    answer = ask("GetStatus", job_id=failed_job)

    assert_like_example("GetStatus", answer)
    expected = example("GetStatus")["recv"]
    assert {name: answer[name] for name in expected} == expected


def test_get_log_answers_as_the_reference(ask: Callable[..., Reply], failed_job: str) -> None:
    answer = ask("GetLog", job_id=failed_job)

    assert list(answer["log"]) == ["001"]
    assert_like_example("GetLog", answer)


def test_without_a_job_id_the_newest_job_answers(
    ask: Callable[..., Reply], api: Api, failed_job: str
) -> None:
    newest = api.call("RetryJob", job_id=failed_job)["job_id"]

    assert ask("GetStatus", job_id=None)["job_id"] == newest


def test_modify_node_attributes_answers_as_the_reference(
    ask: Callable[..., Reply], api: Api, node_id: str
) -> None:
    answer = ask("ModifyNodeAttributes", node_id=node_id, data_disks="vdd, vdc")

    assert_like_example("ModifyNodeAttributes", answer)
    [node] = api.call("DescribeNodes", node_ids=[node_id])["node_set"]
    decided = [(disk["name"], disk["type"], disk["status"]) for disk in node["data_disks"]]
    assert decided == [("vdc", "ssd", 0), ("vdd", "ssd", 0)]


def example(name: str) -> dict[str, Reply]:
    """The reference's request (`send`) and answer (`recv`), its JSON slips mended."""
    pair: dict[str, Reply] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return pair


def assert_like_example(name: str, answer: Reply) -> None:
    assert differences(answer, example(name)["recv"], name) == []


def differences(ours: Any, expected: Any, at: str = "DescribeNodes.node_set[]") -> list[str]:
    """Where an answer is not of the example's shape."""
    if type(ours) is not type(expected):
        return [f"{at} is {ours!r}, in the example {expected!r}"]
    if isinstance(expected, list):
        return [line for item in ours for line in differences(item, expected[0], f"{at}[]")]
    if not isinstance(expected, dict) or at == "GetLog.log":
        return []
    lines = [f"{at}.{name} is missing" for name in expected.keys() - ours.keys()]
    more = {f"{at}.{name}" for name in ours.keys() - expected.keys()} - EXTENSIONS
    lines += [f"{name} is not in the example" for name in sorted(more)]
    for name in expected.keys() & ours.keys():
        lines += differences(ours[name], expected[name], f"{at}.{name}")
    return lines


def facts(value: Any) -> Any:
    """What the example says about the machine."""
    if isinstance(value, list):
        return [facts(item) for item in value]
    if not isinstance(value, dict):
        return value
    beyond = {name.rpartition(".")[2] for name in EXTENSIONS if "node_set" in name}
    return {
        name: facts(item)
        for name, item in value.items()
        if name not in NOT_COMPARED and name not in beyond
    }
