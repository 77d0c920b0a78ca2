from dataclasses import replace
from pathlib import Path

import pytest

from api.hardware.model import Hardware
from api.hardware.parse import parse_probe
from api.os_config.layout import Nic, place
from api.os_config.verify import differences
from api.os_config.wanted import Wanted
from tests.unit import hardware
from tests.unit.os_config.machines import wanted

RECORDED = Path(hardware.__file__).parent / "recorded/debian12_dell_bond_vlan_bridge.txt"
BOOT, SECOND = "e4:43:4b:0a:11:20", "e4:43:4b:0a:11:21"
NICS = [Nic("eno1np0", BOOT, True), Nic("eno2np1", SECOND, True)]


@pytest.fixture
def found() -> Hardware:
    """A Dell with 10.20.0.17/22 in VLAN 200 on an 802.3ad bond of two cards."""
    return parse_probe(RECORDED.read_text(), "10.20.0.17")


def asked(**values: object) -> Wanted:
    return wanted(
        **{
            "hostname": "storage-07",
            "pxe_network_mac_addr": BOOT,
            "mgmt_network_address": "10.20.0.17",
            "mgmt_network_netmask": "255.255.252.0",
            "is_mgmt_config_vlan": 1,
            "mgmt_network_vlan_id": 200,
            "is_mgmt_config_bond": 1,
            "mgmt_bond_members": [BOOT, SECOND],
            "mgmt_bond_mode": "802.3ad",
            **values,
        }
    )


def wrong(found: Hardware, **values: object) -> list[str]:
    return differences(asked(**values), place(asked(**values), NICS), found)


def test_a_system_as_asked_has_no_differences(found: Hardware) -> None:
    assert wrong(found) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hostname": "r01n01"}, "its hostname is storage-07, not r01n01"),
        ({"os_version": "13"}, "its OS is bookworm 12.5, not 13"),
        ({"mgmt_network_address": "10.20.0.18"}, "no interface has the mgmt address 10.20.0.18"),
        ({"mgmt_network_netmask": "255.255.255.0"}, "bond0.200 has 10.20.0.17/22, not /24"),
        ({"mgmt_network_vlan_id": 100}, "10.20.0.17 is on bond0.200, not in VLAN 100"),
        ({"is_mgmt_config_vlan": 0}, "10.20.0.17 is on bond0.200, and should not be in a VLAN"),
        ({"mgmt_bond_mode": "active-backup"}, "bond0 is a bond of mode 802.3ad, not active-backup"),
    ],
)
def test_each_difference_is_a_sentence(
    found: Hardware, values: dict[str, object], sentence: str
) -> None:
    assert sentence in wrong(found, **values)


def test_a_member_that_did_not_join_is_missed(found: Hardware) -> None:
    alone = [net for net in found.networks if net.mac_address != SECOND or net.type != "common"]

    assert wrong(replace(found, networks=tuple(alone))) == [f"bond0 lacks {SECOND}"]


@pytest.mark.parametrize("release", ["12", "12.5", "12.5.1"])
def test_a_release_may_be_asked_for_more_or_less_exactly(found: Hardware, release: str) -> None:
    assert wrong(found, os_version=release) == []
