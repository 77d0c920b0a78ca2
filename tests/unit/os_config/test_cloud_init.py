import json
from typing import Any

import pytest

from api.os_config.cloud_init import meta_data, network_config, user_data
from api.os_config.layout import Nic, place
from tests.unit.os_config.machines import BOND_AND_VLAN, BOOT, NICS, PUBLIC, SECOND, wanted

KEY = "ssh-ed25519 AAAA firstbox"


def config(**values: Any) -> list[dict[str, Any]]:
    text = network_config(place(wanted(**values), NICS), NICS, ["192.0.2.53"])
    read: dict[str, Any] = json.loads(text)
    assert read["version"] == 1
    devices: list[dict[str, Any]] = read["config"]
    assert devices.pop() == {"type": "nameserver", "address": ["192.0.2.53"]}
    return devices


def test_one_card_with_a_static_address() -> None:
    assert config() == [
        {
            "type": "physical",
            "name": "ens3",
            "mac_address": BOOT,
            "subnets": [{"type": "static", "address": "10.0.0.5/24", "gateway": "10.0.0.1"}],
        }
    ]


def test_a_bond_with_a_vlan_on_it() -> None:
    first, second, bond, vlan = config(**BOND_AND_VLAN)

    assert [first["name"], second["name"]] == ["ens3", "ens4"]
    assert "subnets" not in first
    assert bond == {
        "type": "bond",
        "name": "bond0",
        "mac_address": BOOT,
        "bond_interfaces": ["ens3", "ens4"],
        "params": {"bond-mode": "active-backup", "bond-miimon": 100},
        "subnets": [
            {
                "type": "static",
                "address": "10.0.0.5/24",
                "routes": [
                    {
                        "network": "0.0.0.0",  # noqa: S104  # a route
                        "netmask": "0.0.0.0",  # noqa: S104
                        "gateway": "10.0.0.1",
                        "metric": 200,
                    }
                ],
            }
        ],
    }
    assert vlan == {
        "type": "vlan",
        "name": "bond0.100",
        "vlan_link": "bond0",
        "vlan_id": 100,
        "subnets": [{"type": "static", "address": "192.0.2.5/25", "gateway": "192.0.2.1"}],
    }


def test_lacp_comes_with_its_parameters() -> None:
    bond = config(is_mgmt_config_bond=1, mgmt_bond_mode="802.3ad")[-1]

    assert bond["params"]["bond-lacp-rate"] == "fast"


def test_of_two_gateways_the_public_one_is_the_default_route() -> None:
    mgmt, public = config(**PUBLIC)

    assert "gateway" not in mgmt["subnets"][0]
    assert public["subnets"][0]["gateway"] == "192.0.2.1"


def test_a_kernels_own_name_for_a_card_does_not_last() -> None:
    nics = [Nic("eth0", SECOND, True), Nic("eth1", BOOT, True)]
    [card] = json.loads(network_config(place(wanted(), nics), nics, []))["config"]

    assert (card["name"], card["mac_address"]) == ("nic1", BOOT)


def test_only_our_key_logs_in_and_only_as_root() -> None:
    text = user_data("r01n01", "root", KEY)

    first, _, rest = text.partition("\n")
    read = json.loads(rest)
    assert first == "#cloud-config"
    assert read["users"] == [{"name": "root", "lock_passwd": True, "ssh_authorized_keys": [KEY]}]
    assert (read["ssh_pwauth"], read["disable_root"]) == (False, False)


def test_another_user_may_become_root() -> None:
    read = json.loads(user_data("r01n01", "ops", KEY).partition("\n")[2])

    assert read["disable_root"] is True
    assert read["users"][0]["sudo"] == "ALL=(ALL) NOPASSWD:ALL"


def test_a_long_hostname_is_a_name_and_its_domain() -> None:
    read = json.loads(user_data("r01n01.example.org", "root", KEY).partition("\n")[2])

    assert (read["hostname"], read["fqdn"]) == ("r01n01", "r01n01.example.org")


@pytest.mark.parametrize("name", ['"\n- evil: 1', "{{ x }}", "%{x}"])
def test_no_text_breaks_out_of_its_place(name: str) -> None:
    assert json.loads(meta_data("p-1", name))["local-hostname"] == name
