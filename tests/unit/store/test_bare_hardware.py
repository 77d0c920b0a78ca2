import json
from typing import Any

import pytest
from sqlalchemy import Engine

from api.errors import Conflict
from api.hardware.model import to_json
from api.hardware.parse import parse_probe
from api.store.bare_hardware import Recorded, record_bare_hardware
from api.store.bm_nodes import get_bm_nodes, update_bm_node
from api.store.nodes import update_node
from api.store.session import reading, writing
from tests.machines import plant_bm_node
from tests.unit.hardware.conftest import RECORDED

NOTHING = {"brand": "", "product": "", "serial_number": None, "cpu_arch": "", "boot_mode": ""}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the probe tells of a real server."""
    text = (RECORDED / "debian12_dell_bond_vlan_bridge.txt").read_text()
    hardware: dict[str, Any] = to_json(parse_probe(text))
    return hardware


def test_the_hardware_of_a_bare_machine_stands_with_its_registration(
    any_engine: Engine, found: dict[str, Any]
) -> None:
    machine = plant_bm_node(any_engine, **NOTHING)

    recorded = record(any_engine, machine, found)

    assert recorded == Recorded(changed=True, is_complete=False)
    document = json.loads(column(any_engine, machine, "hardware"))
    assert document.keys() == {"cpu", "memory", "disks", "networks"}
    assert document["cpu"] == found["cpu"]
    assert document["disks"][0].keys() == {"name", "id", "type", "size", "serial", "model"}
    assert {network["name"] for network in document["networks"]} == {
        network["name"] for network in found["networks"]
    }
    assert column(any_engine, machine, "hardware_source") == "ramdisk"
    assert column(any_engine, machine, "hardware_time") > 0


def test_it_is_no_hardware_of_a_node_with_a_system(
    any_engine: Engine, found: dict[str, Any]
) -> None:
    machine = plant_bm_node(any_engine, **NOTHING)

    record(any_engine, machine, found)

    with reading(any_engine) as connection:
        [node] = connection.exec_driver_sql(
            f"SELECT hardware, hostname, address FROM node WHERE node_id = '{machine}'"  # noqa: S608
        )
    assert tuple(node) == ("", "", None)


def test_what_nobody_told_is_filled_in_and_what_was_told_stays(
    any_engine: Engine, found: dict[str, Any]
) -> None:
    empty = plant_bm_node(any_engine, **NOTHING)
    told = {"brand": "ours", "product": "one", "serial_number": found["system"]["serial_number"]}

    record(any_engine, empty, found, boot_mode="uefi")
    shown = {name: column(any_engine, empty, name) for name in NOTHING}
    with writing(any_engine) as connection:
        update_bm_node(connection, empty, told | {"boot_mode": "bios"})
    record(any_engine, empty, found, boot_mode="uefi")

    assert shown == {
        "brand": "dell",
        "product": found["system"]["product"],
        "serial_number": found["system"]["serial_number"],
        "cpu_arch": "x86_64",
        "boot_mode": "uefi",
    }
    assert {name: column(any_engine, empty, name) for name in told} == told
    assert column(any_engine, empty, "boot_mode") == "bios"


def test_the_second_time_nothing_is_new(any_engine: Engine, found: dict[str, Any]) -> None:
    machine = plant_bm_node(any_engine, **NOTHING)
    record(any_engine, machine, found)

    assert record(any_engine, machine, found) == Recorded(changed=False, is_complete=False)


@pytest.mark.parametrize("collected", [False, True])
def test_a_serial_number_of_another_machine_is_a_conflict(
    any_engine: Engine, found: dict[str, Any], collected: bool
) -> None:
    serial = found["system"]["serial_number"]
    other = plant_bm_node(any_engine, 2, serial_number="SN-2" if collected else serial)
    machine = plant_bm_node(any_engine, **NOTHING)
    if collected:
        with writing(any_engine) as connection:
            update_node(connection, other, {"serial_number": serial})

    with pytest.raises(Conflict, match=f"{other} has the serial number {serial} too"):
        record(any_engine, machine, found)

    assert column(any_engine, machine, "hardware") == ""


def test_another_serial_number_than_the_registered_one_is_a_conflict(
    any_engine: Engine, found: dict[str, Any]
) -> None:
    machine = plant_bm_node(any_engine)

    with pytest.raises(Conflict, match="and SN0001 is registered"):
        record(any_engine, machine, found)

    assert column(any_engine, machine, "hardware") == ""


def test_a_discovered_machine_is_new_once_nothing_is_missing(
    any_engine: Engine, found: dict[str, Any]
) -> None:
    whole = {"status": "discovered", "ipmi_password": "sealed"}
    complete = plant_bm_node(any_engine, **NOTHING, **whole)
    half = plant_bm_node(any_engine, 2, **NOTHING, **whole | {"os_version": ""})
    with writing(any_engine) as connection:
        other = {**found, "system": {**found["system"], "serial_number": ""}}
        half_recorded = record_bare_hardware(connection, half, other, boot_mode="")

    assert record(any_engine, complete, found) == Recorded(changed=True, is_complete=True)
    assert column(any_engine, complete, "status") == "new"
    assert not half_recorded.is_complete
    assert column(any_engine, half, "status") == "discovered"


def test_what_no_registration_takes_is_not_filled_in(
    any_engine: Engine, found: dict[str, Any]
) -> None:
    machine = plant_bm_node(any_engine, **NOTHING)

    record(any_engine, machine, {**found, "cpu": {**found["cpu"], "cpu_arch": "riscv64"}}, "efi")

    assert column(any_engine, machine, "cpu_arch") == ""
    assert column(any_engine, machine, "boot_mode") == ""


def record(
    engine: Engine, node_id: str, found: dict[str, Any], boot_mode: str = "bios"
) -> Recorded:
    with writing(engine) as connection:
        return record_bare_hardware(connection, node_id, found, boot_mode=boot_mode)


def column(engine: Engine, node_id: str, name: str) -> Any:
    with reading(engine) as connection:
        if name == "hardware":
            query = f"SELECT hardware FROM bm_node WHERE node_id = '{node_id}'"  # noqa: S608
            return connection.exec_driver_sql(query).scalar_one()
        return getattr(get_bm_nodes(connection, [node_id])[node_id], name)
