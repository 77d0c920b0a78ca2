"""Each recorded output gives exactly the record beside it."""

import json
import time

import pytest

from api.hardware.model import to_json
from api.hardware.parse import parse_probe
from tests.unit.hardware.conftest import RECORDED

NAMES = sorted(path.stem for path in RECORDED.glob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_recording_gives_its_whole_record(name: str, recordings: dict[str, str]) -> None:
    expected = json.loads((RECORDED / f"{name}.json").read_text())

    assert to_json(parse_probe(recordings[name])) == expected


def test_reference_machine_gives_the_references_disks(recordings: dict[str, str]) -> None:
    hardware = parse_probe(recordings["ubuntu1604_kvm_bridge"])

    os_disk = to_json(hardware.os_disk)
    named = {"id": "virtio-i-1j2kjemk", "name": "vda", "size": 53.7, "type": "sata"}
    parts = {"root_part": "vda1", "root_size": 53.7, "rest_part": "vda2", "rest_size": 0.0}
    assert os_disk | named | parts | {"swap_part": "vdb", "swap_size": 0.0} == os_disk
    assert [(disk.name, disk.id, disk.type) for disk in hardware.data_disks] == [
        ("vdc", "virtio-vol-z7lv8fbw", "sata"),
        ("vdd", "virtio-vol-znk2mhbu", "ssd"),
    ]


@pytest.mark.parametrize(
    ("name", "reached_at", "interface", "address"),
    [
        ("debian12_dell_bond_vlan_bridge", "10.20.0.17", "bond0.200", "10.20.0.17"),
        ("debian12_dell_bond_vlan_bridge", "2001:db8:10:0::17", "br0", "2001:db8:10::17"),
        ("debian12_dell_bond_vlan_bridge", "192.168.122.1", "virbr0", "192.168.122.1"),
        ("ubuntu1404_supermicro_raid1", "10.3.0.113", "eth0", "10.3.0.113"),
        ("ubuntu1404_supermicro_raid1", "198.51.100.7", "eth0", "10.3.0.13"),
        ("ubuntu1404_supermicro_raid1", "ceph-osd3.example.com", "eth0", "10.3.0.13"),
    ],
)
def test_management_network_is_the_one_we_reached(
    name: str, reached_at: str, interface: str, address: str, recordings: dict[str, str]
) -> None:
    hardware = parse_probe(recordings[name], reached_at)

    assert (hardware.mgmt_network.name, hardware.mgmt_network.address) == (interface, address)
    assert interface in [network.name for network in hardware.networks]


def test_output_with_carriage_returns_and_a_banner_is_the_same(
    recordings: dict[str, str],
) -> None:
    text = recordings["centos7_dell_perc_lvm"]

    noisy = "Authorized use only!\r\n\r\n" + text.replace("\n", "\r\n")

    assert parse_probe(noisy) == parse_probe(text)


def test_a_record_is_parsed_in_milliseconds(recordings: dict[str, str]) -> None:
    text = recordings["rhel8_hpe_multipath"]

    def measure() -> float:
        start = time.perf_counter()
        parse_probe(text)
        return time.perf_counter() - start

    assert min(measure() for _ in range(20)) < 0.01
