import copy
import json
from typing import Any

import pytest
from sqlalchemy import Engine, select

from api.actions.node import NodeField
from api.domain import nodes as rules
from api.hardware.model import to_json
from api.hardware.parse import parse_probe
from api.store.hardware import decide_disks, record_hardware
from api.store.nodes import NODE, add_nodes, delete_nodes, find_nodes
from api.store.session import reading, writing
from tests.unit.hardware.conftest import RECORDED

Found = dict[str, Any]


@pytest.fixture
def found() -> Found:
    """What a probe told: an OS disk vda, data disks vdc and vdd, br0 on eth0."""
    return recorded("ubuntu1604_kvm_bridge")


@pytest.fixture
def node_id(any_engine: Engine) -> str:
    with writing(any_engine) as connection:
        return add_nodes(connection, ["172.16.80.3"], "default")[0]


def test_ids_stay_over_collects(any_engine: Engine, node_id: str, found: Found) -> None:
    first = record(any_engine, node_id, found)
    found["memory"]["memory_size"] = 127.0

    second = record(any_engine, node_id, found)

    assert second["memory"] == {"memory_size": 127.0}
    assert ids(second) == ids(first)
    assert all(ids(first).values())


def test_recording_the_same_again_changes_nothing(
    any_engine: Engine, node_id: str, found: Found
) -> None:
    with writing(any_engine) as connection:
        assert record_hardware(connection, node_id, found)
    with writing(any_engine) as connection:
        assert not record_hardware(connection, node_id, found)


def test_a_disk_under_another_name_is_the_same_disk(
    any_engine: Engine, node_id: str, found: Found
) -> None:
    first = record(any_engine, node_id, found)
    found["disks"][1]["name"], found["disks"][2]["name"] = "vdd", "vdc"

    second = record(any_engine, node_id, found)

    assert ids(second)["vdc"] == ids(first)["vdd"]
    assert ids(second)["vdd"] == ids(first)["vdc"]


def test_a_disk_put_back_in_gets_its_id_back(
    any_engine: Engine, node_id: str, found: Found
) -> None:
    first = record(any_engine, node_id, found)
    without = copy.deepcopy(found)
    del without["disks"][1]

    assert "vdc" not in ids(record(any_engine, node_id, without))
    assert ids(record(any_engine, node_id, found)) == ids(first)


def test_an_operators_decision_stays(any_engine: Engine, node_id: str, found: Found) -> None:
    record(any_engine, node_id, found)
    decide(any_engine, node_id, ["vdc"], disk_type="nvme", status=0)
    assert disks(document(any_engine, node_id)) == {"vdc": ("nvme", 0), "vdd": ("ssd", 1)}
    without = copy.deepcopy(found)
    del without["disks"][1]

    record(any_engine, node_id, without)
    again = record(any_engine, node_id, found)

    assert disks(again) == {"vdc": ("nvme", 0), "vdd": ("ssd", 1)}


def test_a_decision_about_one_thing_leaves_the_other_to_the_probe(
    any_engine: Engine, node_id: str, found: Found
) -> None:
    record(any_engine, node_id, found)
    decide(any_engine, node_id, ["vdc", "vdd"], status=0)
    found["disks"][1]["type"] = "sas"

    assert disks(record(any_engine, node_id, found)) == {"vdc": ("sas", 0), "vdd": ("ssd", 0)}


def test_a_decision_names_data_disks_alone(any_engine: Engine, node_id: str, found: Found) -> None:
    assert decide(any_engine, node_id, ["vdc"], status=0) == ["vdc"]  # not collected yet
    record(any_engine, node_id, found)

    assert decide(any_engine, node_id, ["vdc", "vda", "vdz"], status=0) == ["vda", "vdz"]

    assert disks(document(any_engine, node_id)) == {"vdc": ("sata", 1), "vdd": ("ssd", 1)}


def test_a_machine_without_an_os_disk_has_an_empty_one(
    any_engine: Engine, node_id: str, found: Found
) -> None:
    del found["disks"][0]

    recorded = record(any_engine, node_id, found)

    assert recorded["os_disk"]["disk_id"] == ""
    assert recorded["os_disk"].keys() == recorded["data_disks"][0].keys()


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.txt")))
def test_every_raw_device_has_its_id(name: str, any_engine: Engine, node_id: str) -> None:
    networks = record(any_engine, node_id, recorded(name))["networks"]

    assert all(type(network["raw_device_info"]) is dict for network in networks)
    below = [network["raw_device_info"] for network in networks if network["raw_device_info"]]
    named = {network["name"]: network["network_id"] for network in (*networks, *below)}
    for network in (*networks, *below):
        assert bool(network["raw_device"]) == bool(network["raw_device_id"])
        assert (
            named.get(network["raw_device"], network["raw_device_id"]) == (network["raw_device_id"])
        )
    assert len(set(named.values())) == len(named)


def test_a_raw_device_two_floors_down_has_an_id_too(any_engine: Engine, node_id: str) -> None:
    found = recorded("debian12_dell_bond_vlan_bridge")
    found["networks"] = [network for network in found["networks"] if network["name"] == "br0"]

    [bridge] = record(any_engine, node_id, found)["networks"]

    vlan = bridge["raw_device_info"]
    assert (bridge["raw_device"], vlan["raw_device"]) == ("bond0.100", "bond0")
    assert len({bridge["network_id"], bridge["raw_device_id"], vlan["raw_device_id"]}) == 3
    assert vlan["raw_device_id"].startswith("e-")


def test_two_nodes_with_the_same_hardware_share_no_id(any_engine: Engine, found: Found) -> None:
    with writing(any_engine) as connection:
        first, second = add_nodes(connection, ["172.16.80.3", "172.16.80.4"], "default")

    one, other = record(any_engine, first, found), record(any_engine, second, found)

    assert not set(ids(one).values()) & set(ids(other).values())


def test_deleting_a_node_forgets_its_parts(any_engine: Engine, node_id: str, found: Found) -> None:
    record(any_engine, node_id, found)

    with writing(any_engine) as connection:
        delete_nodes(connection, [node_id])
        for table in ("disk", "network"):
            count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}")  # noqa: S608
            assert count.scalar_one() == 0


def test_fields_to_ask_for_are_the_fields_there_are(
    any_engine: Engine, node_id: str, found: Found
) -> None:
    record(any_engine, node_id, found)

    with reading(any_engine) as connection:
        _, [row] = find_nodes(connection, [], sort_key="node_id", reverse=False, limit=1, offset=0)

    assert set(NodeField.__args__) == rules.view(row, set(NodeField.__args__)).keys()  # type: ignore[attr-defined]
    assert {*json.loads(row.hardware)} <= set(NodeField.__args__)  # type: ignore[attr-defined]


def recorded(name: str) -> Found:
    whole: Found = to_json(parse_probe((RECORDED / f"{name}.txt").read_text()))
    return whole


def record(engine: Engine, node_id: str, found: Found) -> Found:
    with writing(engine) as connection:
        record_hardware(connection, node_id, found)
    return document(engine, node_id)


def document(engine: Engine, node_id: str) -> Found:
    with reading(engine) as connection:
        whole: Found = json.loads(
            connection.execute(
                select(NODE.c.hardware).where(NODE.c.node_id == node_id)
            ).scalar_one()
        )
    return whole


def decide(
    engine: Engine,
    node_id: str,
    names: list[str],
    *,
    disk_type: str | None = None,
    status: int | None = None,
) -> list[str]:
    with writing(engine) as connection:
        return decide_disks(connection, node_id, names, disk_type=disk_type, status=status)


def ids(document: Found) -> dict[str, str]:
    """Name -> id, of disks and networks."""
    disks = [document["os_disk"], *document["data_disks"]]
    networks = [*document["networks"], *(net["raw_device_info"] for net in document["networks"])]
    return {disk["name"]: disk["disk_id"] for disk in disks} | {
        network["name"]: network["network_id"] for network in networks if network
    }


def disks(document: Found) -> dict[str, tuple[str, int]]:
    """Name -> type and status, of data disks."""
    return {disk["name"]: (disk["type"], disk["status"]) for disk in document["data_disks"]}
