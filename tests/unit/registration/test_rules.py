from typing import Any

import pytest

from api.registration.rules import NOTHING, REQUIRED, faults, missing, with_consequences
from api.settings import Settings
from tests.machines import asked

ANYWHERE = Settings.model_fields["allowed_networks"].default


def wrong(**fields: Any) -> set[str]:
    """The fields at fault in a machine that is good but for these."""
    machine = NOTHING | with_consequences(asked(1, **fields))
    return {field for field, _ in faults(machine, ANYWHERE)}


@pytest.mark.parametrize(
    ("address", "netmask", "gateway"),
    [
        ("10.0.0.5", "255.255.255.0", "10.0.0.1"),
        ("10.0.0.5", "255.255.255.0", ""),
        ("10.0.0.0", "255.255.255.254", "10.0.0.1"),  # of a pair, both are machines
        ("10.0.0.5", "255.255.255.255", ""),
        ("10.0.0.255", "255.255.254.0", "10.0.1.0"),
        ("fd00::5", "64", "fd00::1"),
        ("fd00::5", "127", "fd00::4"),
        ("fd00::ffff", "112", "fd00::1"),  # IPv6 has no broadcast
    ],
)
def test_network_of_a_machine(address: str, netmask: str, gateway: str) -> None:
    network = {"address": address, "netmask": netmask, "gateway": gateway}

    assert wrong(**{f"mgmt_network_{name}": value for name, value in network.items()}) == set()
    both = asked(1) | {f"public_network_{name}": value for name, value in network.items()}
    assert wrong(**both) == set()


@pytest.mark.parametrize(
    ("netmask", "gateway", "field"),
    [
        ("255.255.255.0", "10.0.1.1", "gateway"),
        ("255.255.255.0", "10.0.0.0", "gateway"),
        ("255.255.255.0", "10.0.0.5", "gateway"),
        ("255.255.255.255", "10.0.0.1", "gateway"),
        ("0.0.0.255", "10.0.0.1", "netmask"),
        ("255.255.255.1", "10.0.0.1", "netmask"),
        ("24", "10.0.0.1", "netmask"),
        ("", "", "netmask"),
        ("255.255.255.251", "10.0.0.1", "netmask"),
    ],
)
@pytest.mark.parametrize("network", ["mgmt", "public"])
def test_what_does_not_agree_is_named(network: str, netmask: str, gateway: str, field: str) -> None:
    values = {"address": "10.0.0.5", "netmask": netmask, "gateway": gateway}

    fields = {f"{network}_network_{name}": value for name, value in values.items()}

    assert wrong(**fields) == {f"{network}_network_{field}"}


def test_two_networks_may_be_bonded_and_tagged() -> None:
    public = {"public_network_address": "192.0.2.7", "public_network_netmask": "255.255.255.0"}
    bonds = {"is_mgmt_config_bond": 1, "is_public_config_bond": 1, "mgmt_bond_mode": "802.3ad"}
    tags = {"is_public_config_vlan": 1, "public_network_vlan_id": 4094}

    assert wrong(**public, **bonds, **tags) == set()


def test_all_faults_are_told_at_once() -> None:
    assert wrong(ipmi_username="x" * 17, mgmt_network_netmask="", mgmt_bond_mode="802.3ad") == {
        "ipmi_username",
        "mgmt_network_netmask",
        "mgmt_bond_mode",
    }


def test_required_fields_are_those_of_the_reference() -> None:
    assert missing(NOTHING) == list(REQUIRED)
    assert missing(NOTHING | asked()) == []


def test_a_network_goes_whole() -> None:
    gone = with_consequences({"public_network_address": ""})

    assert gone == {name: value for name, value in NOTHING.items() if "public" in name}


def test_what_is_given_beside_is_not_overruled() -> None:
    given = {"mgmt_network_address": "", "mgmt_network_netmask": "255.255.255.0"}

    assert with_consequences(given)["mgmt_network_netmask"] == "255.255.255.0"
    assert with_consequences({"hostname": "a"}) == {"hostname": "a"}
