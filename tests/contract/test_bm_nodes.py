"""Bare machines beyond the reference's examples: what is refused, who sees what, pages, power."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from api.settings import Settings
from api.states import BmNodeStatus, NodeStatus
from api.store.bm_nodes import move_bm_nodes, update_bm_node
from api.store.nodes import move_nodes, set_address, update_node
from api.store.session import writing
from tests.contract.conftest import Api, Reply, serving
from tests.contract.test_bad_input import TEMPLATE, UNKNOWN
from tests.machines import asked, plant_bm_node

MAC = "52:54:00:00:00:01"
SECRET = asked()["ipmi_password"]


@pytest.fixture
def machine(api: Api) -> str:
    """The machine that `asked()` describes."""
    node_ids: list[str] = api.call("RegisterBMNodes", **asked())["node_ids"]
    return node_ids[0]


@pytest.fixture
def provisioned(machine: str, engine: Engine) -> str:
    """That machine with an operating system at its management address."""
    with writing(engine) as connection:
        move_bm_nodes(connection, {machine: BmNodeStatus.PROVISIONING})
        move_bm_nodes(connection, {machine: BmNodeStatus.PROVISIONED})
        set_address(connection, machine, "10.2.0.2", "ssh-ed25519 AAAA")
        move_nodes(connection, {machine: NodeStatus.COLLECTING})
        move_nodes(connection, {machine: NodeStatus.AVAILABLE})
        update_bm_node(connection, machine, {"written_disk": "wwn-1", "power_state": "on"})
    return machine


def described(api: Api, node_id: str, *, user: str = "admin") -> Reply:
    nodes: list[Reply] = api.call("DescribeBMNodes", user=user, node_ids=[node_id])["node_set"]
    assert len(nodes) == 1
    return nodes[0]


# --- what is refused at the door ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hostname": TEMPLATE}, ("hostname", "lookup('pipe'")),
        ({"hostname": "a_b"}, ("hostname", "'a_b'")),
        ({"hostname": "a\n"}, ("hostname",)),
        ({"hostname": "-a"}, ("hostname",)),
        ({"hostname": ""}, ("hostname", "missing")),
        ({"hostname": None}, ("hostname", "missing")),
        ({"hostname": 7}, ("hostname", "7")),
        ({"os_version": TEMPLATE}, ("os_version", "lookup")),
        ({"os_version": "12; reboot"}, ("os_version",)),
        ({"os_version": "../12"}, ("os_version",)),
        ({"os_version": "ramdisk"}, ("os_version", "ramdisk")),
        ({"cpu_arch": "amd64"}, ("cpu_arch", "'amd64'")),
        ({"os_disk_name": "sda; reboot"}, ("os_disk_name",)),
        ({"os_disk_name": "/dev/sda"}, ("os_disk_name",)),
        ({"image": "../../etc/passwd"}, ("image",)),
        ({"brand": "a\x1b[31m"}, ("brand",)),
        ({"serial_number": "a\0"}, ("serial_number",)),
        ({"serial_number": "x" * 129}, ("serial_number", "128")),
        ({"description": "a\nb"}, ("description",)),
        ({"zone_id": "a/b"}, ("zone_id",)),
        ({"pxe_network_mac_addr": "0c:c4:7a:88:63"}, ("pxe_network_mac_addr", "MAC")),
        ({"pxe_network_mac_addr": "0c:c4:7a:88:63:1g"}, ("pxe_network_mac_addr", "MAC")),
        ({"pxe_network_mac_addr": "0c:c4-7a:88:63:1b"}, ("pxe_network_mac_addr", "MAC")),
        ({"pxe_network_mac_addr": MAC + "\n"}, ("pxe_network_mac_addr",)),
        ({"pxe_network_mac_addr": "01:00:5e:00:00:01"}, ("one network card",)),
        ({"pxe_network_mac_addr": "ff:ff:ff:ff:ff:ff"}, ("one network card",)),
        ({"pxe_network_mac_addr": "00:00:00:00:00:00"}, ("one network card",)),
        ({"pxe_network_mac_addr": ""}, ("pxe_network_mac_addr", "missing")),
        ({"ipmi_network_address": "bmc.example.org"}, ("ipmi_network_address", "IP address")),
        ({"ipmi_network_address": "224.0.0.1"}, ("ipmi_network_address", "one machine")),
        ({"ipmi_network_address": "255.255.255.255"}, ("one machine",)),
        ({"ipmi_network_address": "::"}, ("one machine",)),
        ({"ipmi_network_address": "fe80::1%eth0"}, ("ipmi_network_address", "zone")),
        ({"ipmi_network_address": "10.1.0.1/24"}, ("ipmi_network_address",)),
        ({"ipmi_network_address": ""}, ("ipmi_network_address", "missing")),
        ({"ipmi_network_address": "10.2.0.2"}, ("mgmt_network_address", "ipmi_network_address")),
        ({"ipmi_username": "x" * 17}, ("ipmi_username", "17 bytes", "16")),
        ({"ipmi_username": "a\tb"}, ("ipmi_username", "printed")),
        ({"ipmi_password": "x" * 21}, ("ipmi_password", "21 bytes", "20")),
        ({"ipmi_password": "é" * 11}, ("ipmi_password", "22 bytes")),
        ({"ipmi_password": "\u2028"}, ("ipmi_password", "printed")),
        ({"ipmi_password": ""}, ("ipmi_password", "missing")),
        ({"ipmi_password": "******"}, ("ipmi_password", "in place of the password")),
        ({"bmc_type": "redfish", "ipmi_password": "x" * 129}, ("ipmi_password", "128")),
        ({"bmc_type": "ilo"}, ("bmc_type", "'ilo'")),
        ({"bmc_port": 65536}, ("bmc_port", "65536")),
        ({"bmc_port": "623"}, ("bmc_port", "'623'")),
        ({"protected": True}, ("protected", "True")),
        ({"protected": 2}, ("protected", "2")),
        ({"boot_mode": "efi"}, ("boot_mode", "'efi'")),
        ({"mgmt_network_netmask": ""}, ("mgmt_network_netmask", "10.2.0.2")),
        ({"mgmt_network_netmask": "255.0.255.0"}, ("mgmt_network_netmask", "255.0.255.0")),
        ({"mgmt_network_netmask": "0.0.255.255"}, ("mgmt_network_netmask", "0.0.255.255")),
        ({"mgmt_network_netmask": "0.0.0.0"}, ("mgmt_network_netmask",)),  # noqa: S104
        ({"mgmt_network_netmask": "16"}, ("mgmt_network_netmask", "255.255.255.0")),
        ({"mgmt_network_netmask": "999.0.0.0"}, ("mgmt_network_netmask",)),
        ({"mgmt_network_address": "10.2.0.0"}, ("mgmt_network_address", "10.2.0.0/16")),
        ({"mgmt_network_address": "10.2.255.255"}, ("mgmt_network_address", "10.2.0.0/16")),
        ({"mgmt_network_address": "fd00::5"}, ("mgmt_network_netmask", "64")),
        ({"mgmt_network_address": ""}, ("mgmt_network_netmask", "needs mgmt_network_address")),
        ({"mgmt_network_gateway": "10.3.0.1"}, ("mgmt_network_gateway", "10.2.0.0/16")),
        ({"mgmt_network_gateway": "10.2.0.2"}, ("mgmt_network_gateway", "own address")),
        ({"mgmt_network_gateway": "10.2.255.255"}, ("mgmt_network_gateway",)),
        ({"mgmt_network_gateway": "fd00::1"}, ("mgmt_network_gateway",)),
        ({"public_network_gateway": "10.9.0.1"}, ("public_network_gateway", "needs")),
        (
            {"public_network_address": "10.2.0.2", "public_network_netmask": "255.255.0.0"},
            ("public_network_address", "mgmt_network_address"),
        ),
        ({"is_mgmt_config_vlan": 1}, ("mgmt_network_vlan_id", "1 to 4094")),
        ({"is_mgmt_config_vlan": 1, "mgmt_network_vlan_id": 0}, ("mgmt_network_vlan_id",)),
        ({"is_mgmt_config_vlan": 1, "mgmt_network_vlan_id": 4095}, ("mgmt_network_vlan_id",)),
        ({"is_mgmt_config_vlan": 0, "mgmt_network_vlan_id": 5}, ("is_mgmt_config_vlan is 0",)),
        ({"mgmt_network_vlan_id": 5}, ("is_mgmt_config_vlan is 0",)),
        ({"is_public_config_vlan": 1, "public_network_vlan_id": 5}, ("needs public_network_",)),
        ({"is_public_config_bond": 1}, ("is_public_config_bond", "needs")),
        ({"mgmt_bond_mode": "lacp"}, ("mgmt_bond_mode", "'lacp'")),
        ({"mgmt_bond_mode": "802.3ad"}, ("mgmt_bond_mode", "is_mgmt_config_bond is 0")),
        ({"mgmt_bond_members": [MAC, "52:54:00:00:01:01"]}, ("mgmt_bond_members", "several")),
        ({"mgmt_bond_members": MAC}, ("mgmt_bond_members",)),
        ({"is_mgmt_config_bond": 1, "mgmt_bond_members": ["eth0"]}, ("mgmt_bond_members.0",)),
        ({"pxe_network_mac": MAC}, ("pxe_network_mac", "no such parameter")),
        ({"status": "provisioned"}, ("status", "no such parameter")),
        ({"node_id": UNKNOWN}, ("node_id", "no such parameter")),
    ],
    ids=str,
)
def test_malformed_machine_is_refused_by_field_in_both_forms(
    fields: dict[str, Any], words: tuple[str, ...], refusing_api: Api
) -> None:
    good, wrong = asked(2), asked(1, **fields)

    listed = refusing_api.refuse(1100, "RegisterBMNodes", *words, bm_nodes=[good, wrong])
    flat = refusing_api.refuse(1100, "RegisterBMNodes", *words, **wrong)

    assert {f"bm_nodes.1.{error['field']}" for error in flat["errors"]} == {
        error["field"] for error in listed["errors"]
    }
    assert not Path("/tmp/template-was-run").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"bm_nodes": None},
        {"bm_nodes": []},
        {"bm_nodes": asked()},
        {"bm_nodes": [1]},
        {"bm_nodes": [asked()], "hostname": "a"},
    ],
    ids=["nothing", "null", "no machine", "an object", "a number", "both forms"],
)
def test_request_without_machines_is_malformed(fields: dict[str, Any], refusing_api: Api) -> None:
    refusing_api.refuse(1100, "RegisterBMNodes", "bm_nodes", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"bm_nodes": [asked(ipmi_password=[SECRET])]},
        {"bm_nodes": asked()},
        {"bm_nodes": [[asked()]]},
        asked(ipmi_password=SECRET * 20),
        asked(hostname="_"),
    ],
    ids=["a list", "no list", "a list of lists", "too long", "another field"],
)
def test_no_refusal_repeats_a_bmcs_password(fields: dict[str, Any], refusing_api: Api) -> None:
    assert SECRET not in str(refusing_api.refuse(1100, "RegisterBMNodes", **fields))


def test_every_missing_field_is_named(refusing_api: Api) -> None:
    answer = refusing_api.refuse(1100, "RegisterBMNodes", bm_nodes=[{"brand": "dell"}])

    assert [error["field"] for error in answer["errors"]] == [
        f"bm_nodes.0.{name}" for name in list(asked())[:7]
    ]


def test_more_machines_than_one_request_may_have_are_refused(settings: Settings) -> None:
    with serving(settings.model_copy(update={"max_nodes_per_call": 2})) as api:
        machines = [asked(number) for number in range(3)]
        api.refuse(2500, "RegisterBMNodes", "3 machines", "at most 2", bm_nodes=machines)
        assert api.call("RegisterBMNodes", bm_nodes=machines[:2])["total_count"] == 2


def test_only_addresses_that_we_talk_to_must_be_in_allowed_networks(settings: Settings) -> None:
    public = {"public_network_address": "192.0.2.7", "public_network_netmask": "255.255.255.0"}
    no_mgmt = {"mgmt_network_address": "", "mgmt_network_netmask": ""}
    inside = Settings(home=settings.home, allowed_networks=["10.0.0.0/8"])  # type: ignore[list-item]  # as text
    with serving(inside) as api:
        outside = asked(1, ipmi_network_address="192.0.2.1")
        api.refuse(1100, "RegisterBMNodes", "ipmi_network_address", "192.0.2.1", **outside)
        only_public = asked(1, **public, **no_mgmt)
        api.refuse(1100, "RegisterBMNodes", "public_network_address", **only_public)
        assert api.call("RegisterBMNodes", **asked(1, **public))["ret_code"] == 0


# --- what is stored -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("0C-C4-7A-88-63-1B", "0c:c4:7a:88:63:1b"),
        ("0cc4.7a88.631b", "0c:c4:7a:88:63:1b"),
        ("0CC47A88631B", "0c:c4:7a:88:63:1b"),
    ],
)
def test_macs_are_stored_in_one_spelling(given: str, stored: str, api: Api) -> None:
    machine = asked(is_mgmt_config_bond=1, mgmt_bond_members=[given, stored])
    [node_id] = api.call("RegisterBMNodes", **machine | {"pxe_network_mac_addr": given})["node_ids"]

    node = described(api, node_id)

    assert node["pxe"]["pxe_network_mac_addr"] == stored
    assert node["mgmt_bond_members"] == [stored]


def test_names_and_addresses_are_stored_in_one_spelling(api: Api) -> None:
    machine = asked(
        hostname="R01.Example.ORG",
        mgmt_network_address="FD00:0::5",
        mgmt_network_netmask="64",
        mgmt_network_gateway="fd00::00ff",
    )
    [node_id] = api.call("RegisterBMNodes", **machine)["node_ids"]

    node = described(api, node_id)

    assert node["general"]["hostname"] == "r01.example.org"
    network = node["mgmt_network"]
    assert network["mgmt_network_address"] == "fd00::5"
    assert network["mgmt_network_gateway"] == "fd00::ff"


def test_all_that_can_be_said_of_a_machine_is_described(api: Api) -> None:
    members = ["52:54:00:00:01:01", "52:54:00:00:01:02"]
    beyond = {
        "bmc_type": "redfish",
        "bmc_port": 8443,
        "boot_mode": "uefi",
        "image": "debian-12",
        "protected": 1,
        "description": "first rack",
        "zone_id": "z2",
        "mgmt_bond_members": members,
        "mgmt_bond_mode": "802.3ad",
    }
    machine = asked(
        ipmi_password="x" * 40,
        is_mgmt_config_bond=1,
        is_mgmt_config_vlan=1,
        mgmt_network_vlan_id=4094,
        **beyond,
    )
    [node_id] = api.call("RegisterBMNodes", **machine)["node_ids"]

    node = described(api, node_id)

    assert {name: node[name] for name in beyond} == beyond
    assert node["mgmt_network"]["mgmt_network_vlan_id"] == 4094
    assert (node["power_state"], node["power_time"], node["written_disk"]) == ("", "", "")


def test_what_was_found_out_about_a_machine_is_shown(
    api: Api, machine: str, engine: Engine
) -> None:
    names = ("product", "bmc_mac", "hardware", "hardware_source", "hardware_time")
    nothing = described(api, machine)
    found = {"product": "PowerEdge R640", "bmc_mac": "52:54:00:bb:00:01", "hardware_source": "bmc"}
    hardware = {"hardware": '{"memory":{"memory_size":64.0}}', "hardware_time": 1530564921.0}
    with writing(engine) as connection:
        update_bm_node(connection, machine, found | hardware)

    node = described(api, machine)

    assert [nothing[name] for name in names] == ["", "", {}, "", ""]
    assert {name: node[name] for name in found} == found
    assert node["hardware"] == {"memory": {"memory_size": 64.0}}
    assert node["hardware_time"] == "2018-07-02 20:55:21"
    some = api.call("DescribeBMNodes", fields=["hardware", "product"])["node_set"]
    assert some == [{name: node[name] for name in ("hardware", "node_id", "product")}]


@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        ({"product": "PowerEdge R640"}, 1),
        ({"product": "PowerEdge"}, 0),
        ({"product": "PowerEdge R640", "status": "discovered"}, 0),
        ({"search_word": "poweredge"}, 1),
        ({"search_word": "bb:00:01"}, 1),
        ({"search_word": "PowerEdge R7"}, 0),
    ],
    ids=str,
)
def test_machines_are_found_by_their_product_and_their_bmcs_mac(
    wanted: dict[str, Any], total: int, api: Api, machine: str, engine: Engine
) -> None:
    api.call("RegisterBMNodes", **asked(2))
    with writing(engine) as connection:
        found = {"product": "PowerEdge R640", "bmc_mac": "52:54:00:bb:00:01"}
        update_bm_node(connection, machine, found)

    assert api.call("DescribeBMNodes", **wanted)["total_count"] == total


def test_a_password_is_for_admins_only(api: Api, machine: str) -> None:
    shown = {user: described(api, machine, user=user)["ipmi"] for user in api.tokens}

    assert shown["admin"]["ipmi_password"] == SECRET
    assert shown["operator"]["ipmi_password"] == shown["viewer"]["ipmi_password"] == "******"


def test_no_password_is_in_clear_in_database_or_log(
    api: Api, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"RegisterBMNodes": "register-s3cret", "ModifyBMNodeAttributes": "modify-s3cret"}
    machine = asked(ipmi_password=secrets["RegisterBMNodes"])
    [node_id] = api.call("RegisterBMNodes", **machine)["node_ids"]
    fields = {"node_id": node_id, "ipmi_password": secrets["ModifyBMNodeAttributes"]}
    assert api.call("ModifyBMNodeAttributes", **fields)["ret_code"] == 0
    described(api, node_id)
    assert api.call("RegisterBMNodes", **machine)["ret_code"] == 2200

    files = [path for path in settings.home.rglob("*") if path.is_file()]

    assert any(path.name == "firstbox.db" for path in files)
    for secret in secrets.values():
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        assert secret not in caplog.text


def test_a_thousand_machines_are_registered_within_two_seconds(api: Api) -> None:
    machines = [asked(number) for number in range(1000)]

    start = time.monotonic()
    answer = api.call("RegisterBMNodes", bm_nodes=machines)
    took = time.monotonic() - start

    assert answer["total_count"] == len(set(answer["node_ids"])) == 1000
    assert took < 2
    shown = api.call("DescribeBMNodes", fields=["general"])["node_set"]
    assert [node["general"]["hostname"] for node in shown] == [
        machine["hostname"] for machine in machines
    ]


# --- what two machines cannot both have ---------------------------------------------------------


@pytest.mark.parametrize(
    "shared",
    [
        {"pxe_network_mac_addr": "52-54-00-00-00-01"},
        {"hostname": "R01N01"},
        {"ipmi_network_address": "10.1.0.2"},
        {"mgmt_network_address": "10.2.0.2"},
        {"serial_number": "S1"},
        {"ipmi_network_address": "10.2.0.2"},
        {"public_network_address": "10.2.0.2", "public_network_netmask": "255.255.0.0"},
    ],
    ids=str,
)
def test_what_belongs_to_one_machine_is_not_given_to_another(
    shared: dict[str, Any], api: Api
) -> None:
    first, second = asked(1, serial_number="S1"), asked(2, **shared)
    field, value = next(iter(shared.items()))
    value = value.lower().replace("-", ":") if field != "serial_number" else value

    listed = api.refuse(
        2200,
        "RegisterBMNodes",
        f"bm_nodes.1.{field}",
        value,
        "bm_nodes.0.",
        bm_nodes=[first, second],
    )
    [owner] = api.call("RegisterBMNodes", **first)["node_ids"]
    [other] = api.call("RegisterBMNodes", **asked(2))["node_ids"]
    api.refuse(2200, "RegisterBMNodes", field, value, owner, **asked(3, **shared))
    api.refuse(2200, "ModifyBMNodeAttributes", field, value, owner, other, node_id=other, **shared)

    assert [error["field"] for error in listed["errors"]] == [f"bm_nodes.1.{field}"]


def test_nodes_added_by_address_keep_what_they_have(api: Api, engine: Engine, node_id: str) -> None:
    with writing(engine) as connection:
        update_node(connection, node_id, {"hostname": "Express1", "serial_number": "S9"})

    for fields in (
        {"mgmt_network_address": "172.16.80.3", "mgmt_network_netmask": "255.255.255.0"},
        {"ipmi_network_address": "172.16.80.3"},
        {"hostname": "express1"},
        {"serial_number": "S9"},
    ):
        api.refuse(2200, "RegisterBMNodes", next(iter(fields)), node_id, **asked(1, **fields))


def test_a_registered_hostname_is_not_given_to_a_node(api: Api, machine: str, node_id: str) -> None:
    api.refuse(2200, "ModifyNodeAttributes", machine, "r01n01", node_id=node_id, hostname="R01N01")


# --- changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("nothing to change",)),
        ({"hostname": TEMPLATE}, ("hostname", "lookup")),
        ({"hostname": ""}, ("hostname", "must not be empty")),
        ({"ipmi_password": ""}, ("ipmi_password", "must not be empty")),
        ({"ipmi_password": "******"}, ("ipmi_password", "leave it out")),
        ({"mgmt_network_netmask": ""}, ("mgmt_network_netmask", "10.2.0.2")),
        ({"mgmt_network_gateway": "10.9.0.1"}, ("mgmt_network_gateway", "10.2.0.0/16")),
        (
            {"mgmt_network_address": "10.9.0.0", "mgmt_network_netmask": "255.255.0.0"},
            ("10.9.0.0",),
        ),
        ({"mgmt_network_vlan_id": 5}, ("is_mgmt_config_vlan",)),
        ({"is_mgmt_config_vlan": 1}, ("mgmt_network_vlan_id",)),
        ({"bm_nodes": [asked()]}, ("bm_nodes", "no such parameter")),
        ({"status": "new"}, ("status", "no such parameter")),
    ],
    ids=str,
)
def test_a_change_is_held_to_the_rules_of_registering(
    fields: dict[str, Any], words: tuple[str, ...], api: Api, machine: str
) -> None:
    api.refuse(1100, "ModifyBMNodeAttributes", *words, node_id=machine, **fields)


def test_a_too_long_password_keeps_a_machine_from_becoming_ipmi(api: Api) -> None:
    machine = asked(bmc_type="redfish", ipmi_password="x" * 40)
    [node_id] = api.call("RegisterBMNodes", **machine)["node_ids"]

    fields = {"node_id": node_id, "bmc_type": "ipmi"}
    api.refuse(1100, "ModifyBMNodeAttributes", "ipmi_password", "40 bytes", **fields)


def test_an_empty_text_takes_away_what_is_not_required(api: Api) -> None:
    public = {"public_network_address": "192.0.2.7", "public_network_netmask": "255.255.255.0"}
    details = {"public_network_gateway": "192.0.2.1", "is_public_config_vlan": 1}
    bond = {"is_public_config_bond": 1, "public_bond_mode": "802.3ad", "serial_number": "S1"}
    machine = asked(**public, **details, **bond, public_network_vlan_id=7)
    [node_id] = api.call("RegisterBMNodes", **machine)["node_ids"]

    answer = api.call(
        "ModifyBMNodeAttributes", node_id=node_id, public_network_address="", serial_number=""
    )

    assert answer["ret_code"] == 0
    node = described(api, node_id)
    assert set(node["public_network"].values()) == {"", 0}
    assert (node["public_bond_mode"], node["public_bond_members"]) == ("", [])
    assert node["general"]["serial_number"] == ""


def test_without_a_vlan_its_id_goes_too(api: Api) -> None:
    machine = asked(is_mgmt_config_vlan=1, mgmt_network_vlan_id=7)
    [node_id] = api.call("RegisterBMNodes", **machine)["node_ids"]

    api.call("ModifyBMNodeAttributes", node_id=node_id, is_mgmt_config_vlan=0)

    assert described(api, node_id)["mgmt_network"]["mgmt_network_vlan_id"] == 0


def test_a_machine_may_be_told_what_it_has_already(api: Api, provisioned: str) -> None:
    answer = api.call("ModifyBMNodeAttributes", node_id=provisioned, **asked())

    assert answer["ret_code"] == 0
    node = described(api, provisioned)
    assert (node["written_disk"], node["power_state"]) == ("wwn-1", "on")


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"hostname": "other"}, {"product", "bmc_mac", "hardware_source"}),
        ({"bmc_port": 624}, {"product", "hardware_source"}),
        ({"forget_bmc": 1}, {"product", "hardware_source"}),
        ({"serial_number": "S2"}, set()),
    ],
    ids=str,
)
def test_what_was_found_out_of_another_bmc_or_machine_is_forgotten(
    fields: dict[str, Any], kept: set[str], api: Api, machine: str, engine: Engine
) -> None:
    found = {"product": "R640", "bmc_mac": "52:54:00:bb:00:01", "hardware_source": "bmc"}
    with writing(engine) as connection:
        update_bm_node(connection, machine, found | {"serial_number": "S1", "hardware": "{}"})

    assert api.call("ModifyBMNodeAttributes", node_id=machine, **fields)["ret_code"] == 0

    node = described(api, machine)
    assert {name for name in found if node[name]} == kept


def test_zone_and_description_are_the_nodes_own(api: Api, provisioned: str) -> None:
    fields = {"zone_id": "z2", "description": "first rack"}
    api.call("ModifyBMNodeAttributes", node_id=provisioned, **fields)

    [node] = api.call("DescribeNodes")["node_set"]
    machine = described(api, provisioned)
    assert {name: node[name] for name in fields} == fields
    assert {name: machine[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "written_disk", "power_state"),
    [
        ({"hostname": "other"}, "wwn-1", "on"),
        ({"os_version": "13", "mgmt_network_address": "10.2.0.9"}, "wwn-1", "on"),
        ({"ipmi_password": "other"}, "wwn-1", "on"),
        ({"serial_number": "S1"}, "wwn-1", "on"),  # was not known before
        ({"ipmi_network_address": "10.1.0.9"}, "wwn-1", ""),
        ({"bmc_type": "redfish"}, "wwn-1", ""),
        ({"pxe_network_mac_addr": "52:54:00:00:09:09"}, "", "on"),
    ],
    ids=str,
)
def test_a_provisioned_machine_stays_so_and_what_may_be_wrong_is_forgotten(
    fields: dict[str, Any], written_disk: str, power_state: str, api: Api, provisioned: str
) -> None:
    assert api.call("ModifyBMNodeAttributes", node_id=provisioned, **fields)["ret_code"] == 0

    node = described(api, provisioned)
    assert (node["status"], node["pre_status"]) == ("provisioned", "provisioning")
    assert (node["written_disk"], node["power_state"]) == (written_disk, power_state)
    [system] = api.call("DescribeNodes")["node_set"]
    assert (system["status"], system["address"]) == ("available", "10.2.0.2")


def test_a_discovered_machine_becomes_new_when_nothing_is_missing(api: Api, engine: Engine) -> None:
    found = {"status": "discovered", "hostname": None, "os_version": "", "ipmi_password": ""}
    node_id = plant_bm_node(engine, 1, **found)

    api.call("ModifyBMNodeAttributes", node_id=node_id, os_version="12", hostname="")
    some = described(api, node_id)
    api.call("ModifyBMNodeAttributes", node_id=node_id, hostname="a1", ipmi_password="x")
    all_of_it = described(api, node_id)

    assert (some["status"], some["general"]["os_version"]) == ("discovered", "12")
    assert (all_of_it["status"], all_of_it["pre_status"]) == ("new", "discovered")


@pytest.mark.parametrize("action", ["DeleteBMNodes", "ModifyBMNodeAttributes", "RebootBMNodes"])
def test_a_busy_machine_is_left_alone(action: str, api: Api, machine: str) -> None:
    job_id = api.call("PowerOnBMNodes", node_ids=[machine])["job_id"]
    fields: dict[str, Any] = {"node_ids": [machine]}
    if action.startswith("Modify"):
        fields = {"node_id": machine, "hostname": "other"}

    api.refuse(2200, action, machine, job_id, **fields)


@pytest.mark.parametrize(
    "action",
    ["DeleteBMNodes", "PowerOnBMNodes", "PowerOffBMNodes", "RebootBMNodes", "GetBMNodesPower"],
)
def test_unknown_machines_are_listed_and_nothing_is_done(
    action: str, api: Api, machine: str, node_id: str
) -> None:
    answer = api.refuse(2100, action, UNKNOWN, node_id, node_ids=[machine, UNKNOWN, node_id])

    assert machine not in answer["message"]


def test_a_node_without_registration_is_not_modified_as_a_machine(api: Api, node_id: str) -> None:
    api.refuse(2100, "ModifyBMNodeAttributes", node_id, node_id=node_id, hostname="other")


# --- one machine, one id ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("DeleteNodes", {}),
        ("CollectNodes", {}),
        ("ModifyNodeAttributes", {"role": "mon"}),
    ],
)
def test_a_machine_without_an_operating_system_is_no_node(
    action: str, fields: dict[str, Any], api: Api, machine: str
) -> None:
    ids = {"node_id": machine} if "Modify" in action else {"node_ids": [machine]}

    api.refuse(2100, action, machine, **ids, **fields)
    assert api.call("DescribeNodes")["total_count"] == 0
    assert api.call("DescribeNodes", node_ids=[machine], limit=1)["total_count"] == 0


def test_a_provisioned_machine_is_in_both_lists(api: Api, provisioned: str) -> None:
    for action in ("DescribeNodes", "DescribeBMNodes"):
        answer = api.call(action)
        assert [node["node_id"] for node in answer["node_set"]] == [provisioned]


def test_a_machine_that_is_no_node_any_more_is_still_registered(
    api: Api, provisioned: str, engine: Engine
) -> None:
    with writing(engine) as connection:
        update_node(connection, provisioned, {"role": "mon", "hostname": "r01n01"})

    api.call("DeleteNodes", node_ids=[provisioned])

    assert api.call("DescribeNodes")["total_count"] == 0
    assert described(api, provisioned)["status"] == "provisioned"  # its system still runs


def test_a_machine_that_is_added_again_keeps_its_id(api: Api, provisioned: str) -> None:
    api.call("DeleteNodes", node_ids=[provisioned])

    answer = api.call("AddNodes", ip_start="10.2.0.1", ip_end="10.2.0.3")

    assert answer["total_count"] == 3
    assert answer["node_ids"][1] == provisioned
    [node] = api.call("DescribeNodes", node_ids=[provisioned])["node_set"]
    assert (node["address"], node["status"]) == ("10.2.0.2", "collecting")
    assert (node["role"], node["hostname"]) == ("", "")


def test_addresses_of_bmcs_and_of_known_machines_add_no_node(api: Api, provisioned: str) -> None:
    system = api.call("AddNodes", ip_start="10.2.0.2", ip_end="10.2.0.2")
    bmc = api.call("AddNodes", ip_start="10.1.0.2", ip_end="10.1.0.2")

    assert system["existing"] == [{"address": "10.2.0.2", "node_id": provisioned}]
    assert bmc["existing"] == [{"address": "10.1.0.2", "node_id": provisioned}]
    assert api.call("DescribeNodes")["total_count"] == 1


def test_a_machine_whose_system_we_reach_outlives_its_registration(
    api: Api, provisioned: str
) -> None:
    [bare] = api.call("RegisterBMNodes", **asked(2))["node_ids"]

    api.call("DeleteBMNodes", node_ids=[provisioned, bare])

    assert api.call("DescribeBMNodes")["total_count"] == 0
    assert [node["node_id"] for node in api.call("DescribeNodes")["node_set"]] == [provisioned]
    assert len(api.dump()["node"]) == 1


# --- pages --------------------------------------------------------------------------------------


@pytest.fixture
def rack(api: Api, engine: Engine) -> Api:
    """Five machines, r01n01 to r01n05; the second is provisioned, the fifth in zone z2."""
    machines = [asked(number, description=f"{number}0%") for number in range(1, 6)]
    machines[4]["zone_id"] = "z2"
    node_ids = api.call("RegisterBMNodes", bm_nodes=machines)["node_ids"]
    with writing(engine) as connection:
        move_bm_nodes(connection, {node_ids[1]: BmNodeStatus.PROVISIONING})
        move_bm_nodes(connection, {node_ids[1]: BmNodeStatus.PROVISIONED})
    return api


@pytest.mark.parametrize(
    ("wanted", "numbers", "total"),
    [
        ({}, "12345", 5),
        ({"limit": 2}, "12", 5),
        ({"limit": 2, "offset": 1}, "23", 5),
        ({"offset": 4}, "5", 5),
        ({"offset": 5}, "", 5),
        ({"limit": 2, "offset": 2**62}, "", 5),
        ({"sort_key": "hostname", "reverse": True}, "54321", 5),
        ({"sort_key": "zone_id", "reverse": True, "limit": 1}, "5", 5),
        ({"status": "new"}, "1345", 4),
        ({"status": "new", "limit": 1, "offset": 3}, "5", 4),
        ({"status": "provisioned", "pre_status": "provisioning"}, "2", 1),
        ({"status": "no such status"}, "", 0),
        ({"zone_id": "z2"}, "5", 1),
        ({"node_ids": []}, "", 0),
        ({"node_ids": [UNKNOWN, "no id"]}, "", 0),
        ({"search_word": "R01N03"}, "3", 1),
        ({"search_word": "10.1.0.3"}, "2", 1),
        ({"search_word": "10.2.0.", "limit": 2}, "12", 5),
        ({"search_word": "00:04"}, "4", 1),
        ({"search_word": "40%"}, "4", 1),
        ({"search_word": "_"}, "", 0),
    ],
    ids=str,
)
def test_machines_are_described_page_by_page(
    wanted: dict[str, Any], numbers: str, total: int, rack: Api
) -> None:
    answer = rack.call("DescribeBMNodes", **wanted)

    found = [node["general"]["hostname"][-1] for node in answer["node_set"]]
    assert "".join(found) == numbers
    assert answer["total_count"] == total


def test_only_the_fields_asked_for_are_shown(rack: Api) -> None:
    whole = rack.call("DescribeBMNodes")["node_set"]

    some = rack.call("DescribeBMNodes", fields=["ipmi", "status"])["node_set"]

    kept = ("node_id", "ipmi", "status")
    assert some == [{name: node[name] for name in kept} for node in whole]


@pytest.mark.parametrize(
    "fields",
    [{"sort_key": "ipmi_password"}, {"fields": ["ipmi_password"]}, {"limit": 0}, {"status": "\0"}],
    ids=str,
)
def test_malformed_page_is_refused(fields: dict[str, Any], refusing_api: Api) -> None:
    refusing_api.refuse(1100, "DescribeBMNodes", next(iter(fields)), **fields)


# --- power --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "fields", "options"),
    [
        ("PowerOnBMNodes", {}, "{}"),
        ("PowerOffBMNodes", {}, "{}"),
        ("PowerOffBMNodes", {"soft": 1}, '{"soft": 1}'),
        ("RebootBMNodes", {}, "{}"),
    ],
)
def test_power_is_a_job(
    action: str, fields: dict[str, Any], options: str, api: Api, machine: str
) -> None:
    job_id = api.call(action, node_ids=[machine], **fields)["job_id"]

    [job] = api.call("DescribeJobs", job_ids=[job_id])["job_set"]
    assert job["job_action"] == action
    assert any(job_id in row and options in row for row in api.dump()["job"])
    assert described(api, machine)["status"] == "new"


def test_power_is_shown_as_the_bmc_said_last(api: Api, machine: str, engine: Engine) -> None:
    with writing(engine) as connection:
        update_bm_node(connection, machine, {"power_state": "on", "power_time": 1530564921.0})
    [other] = api.call("RegisterBMNodes", **asked(2))["node_ids"]

    answer = api.call("GetBMNodesPower", user="viewer", node_ids=[other, machine])

    assert answer["power_set"] == [
        {"node_id": other, "power_state": "", "power_time": ""},
        {"node_id": machine, "power_state": "on", "power_time": "2018-07-02 20:55:21"},
    ]
    assert answer["job_id"] == ""
    assert api.call("DescribeJobs")["total_count"] == 0


def test_asking_the_bmcs_is_a_job_and_not_for_viewers(api: Api, machine: str) -> None:
    wanted = {"node_ids": [machine], "refresh": 1}

    api.refuse(1400, "GetBMNodesPower", "viewer", user="viewer", **wanted)
    answer = api.call("GetBMNodesPower", user="operator", **wanted)

    assert answer["job_id"].startswith("j-")
    assert answer["power_set"][0]["power_state"] == ""


def test_power_of_too_many_machines_is_refused(settings: Settings) -> None:
    ids = [f"n-{number:08}" for number in range(3)]
    with serving(settings.model_copy(update={"max_nodes_per_call": 2})) as api:
        for action in ("PowerOnBMNodes", "PowerOffBMNodes", "RebootBMNodes", "GetBMNodesPower"):
            api.refuse(2500, action, "3", "2", node_ids=ids)
