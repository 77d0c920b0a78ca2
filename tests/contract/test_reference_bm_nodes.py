"""Sections 2.1 to 2.4 of the reference: describe, register, delete and modify bare machines."""

from typing import Any

import pytest

from tests.contract.conftest import Api, Reply
from tests.contract.test_reference import differences, example

# What we answer beyond the reference.
EXTENSIONS = {
    "zone_id",
    "image",
    "boot_mode",
    "protected",
    "bmc_type",
    "bmc_port",
    "mgmt_bond_members",
    "mgmt_bond_mode",
    "public_bond_members",
    "public_bond_mode",
    "power_state",
    "power_time",
    "written_disk",
    "product",
    "bmc_mac",
    "hardware",
    "hardware_source",
    "hardware_time",
}


@pytest.fixture
def registered(api: Api) -> str:
    """The machine of the reference's example, registered as in its example."""
    answer = register(api)
    node_ids: list[str] = answer["node_ids"]
    return node_ids[0]


def register(api: Api) -> Reply:
    # The example names no action: its own address does.
    return api.answer(api.send(example("RegisterBMNodes")["send"], path="/api/RegisterBMNodes"))


def send(api: Api, name: str, **ids: Any) -> Reply:
    return api.answer(api.send(example(name)["send"] | ids))


def test_register_bm_nodes_answers_as_the_reference(api: Api) -> None:
    answer = register(api)

    assert differences(answer, example("RegisterBMNodes")["recv"]) == []
    assert answer["total_count"] == len(answer["node_ids"]) == 1
    assert answer["node_ids"][0].startswith("n-")


def test_describe_bm_nodes_answers_as_the_reference(api: Api, registered: str) -> None:
    answer = send(api, "DescribeBMNodes", node_ids=[registered])

    expected = example("DescribeBMNodes")["recv"]
    assert answer.keys() == expected.keys()
    [machine], [expected_machine] = answer["node_set"], expected["node_set"]
    assert machine.keys() - expected_machine.keys() == EXTENSIONS
    own = {"node_id": registered, "create_time": machine["create_time"]}
    own["update_time"] = machine["update_time"]
    shown = {name: machine[name] for name in expected_machine}
    assert shown == expected_machine | own
    assert differences(shown, expected_machine) == []  # types too: 0 is not false
    assert answer["total_count"] == 1


def test_the_flat_form_registers_the_same_machine(api: Api) -> None:
    [machine] = example("RegisterBMNodes")["send"]["bm_nodes"]

    answer = api.call("RegisterBMNodes", **machine)

    [described] = send(api, "DescribeBMNodes", node_ids=answer["node_ids"])["node_set"]
    [expected] = example("DescribeBMNodes")["recv"]["node_set"]
    for group in ("general", "ipmi", "mgmt_network", "public_network", "os_disk", "pxe"):
        assert described[group] == expected[group]


def test_delete_bm_nodes_answers_as_the_reference(api: Api, registered: str) -> None:
    answer = send(api, "DeleteBMNodes", node_ids=[registered])

    # The example leaves out what its own table of fields has.
    assert answer.keys() - example("DeleteBMNodes")["recv"].keys() == {"total_count"}
    assert (answer["node_ids"], answer["total_count"]) == ([registered], 1)
    assert api.call("DescribeBMNodes")["total_count"] == 0


def test_modify_bm_node_attributes_answers_as_the_reference(api: Api, registered: str) -> None:
    answer = send(api, "ModifyBMNodeAttributes", node_id=registered)

    assert answer == example("ModifyBMNodeAttributes")["recv"]
    [machine] = api.call("DescribeBMNodes")["node_set"]
    assert machine["general"]["hostname"] == "testr01n01"
    assert machine["ipmi"]["ipmi_username"] == "admin"
    assert machine["ipmi"]["ipmi_password"] == "ADMIN"


@pytest.mark.parametrize(
    "name", ["DescribeBMNodes", "RegisterBMNodes", "DeleteBMNodes", "ModifyBMNodeAttributes"]
)
def test_request_type_is_bm_node_where_it_is_given(name: str, api: Api, registered: str) -> None:
    sent = example(name)["send"] | {"action": name}

    answer = api.answer(api.send(sent | {"request_type": "Node"}))

    assert [error["field"] for error in answer["errors"]] == ["request_type"]
    fitting = api.answer(api.send(sent | {"request_type": "BMNode"}))
    assert fitting["ret_code"] in (0, 2100, 2200)
