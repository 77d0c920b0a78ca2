"""What is written about machines that were found."""

import json
from typing import Any

import pytest

from api.registration.deciding import Decision, sentence
from api.registration.plan import Login, Range
from tests.unit.registration.scans import SITE, bmc, decided, known

M1, M2 = "52:54:00:aa:00:01", "52:54:00:aa:00:02"
PROFILE = {
    "os_version": "12",
    "cpu_arch": "x86_64",
    "hostname": "r01n{n:02}",
    "mgmt_network_address": "10.2.0.{n}",
    "mgmt_network_netmask": "255.255.0.0",
    "mgmt_network_gateway": "10.2.255.1",
}


def found(**fields: Any) -> Any:
    """A BMC that tells all that is asked."""
    said = {"brand": "Dell", "product": "R640", "serial_number": "S1", "boot_macs": (M1, M2)}
    return bmc(5, **{**said, "bmc_mac": "52:54:00:bb:00:05", "power_state": "on", **fields})


def one(identity: Any, *registered: Any, **fields: Any) -> Decision:
    [decision] = decided([identity], registered, **fields)
    return decision


# --- new machines -------------------------------------------------------------------------------


def test_without_a_profile_a_machine_is_discovered_with_all_that_was_found() -> None:
    decision = one(found(bmc_type="redfish", bmc_port=8443, certificate="a" * 64))

    assert (decision.outcome, decision.status) == ("new", "discovered")
    said = {name: value for name, value in decision.values.items() if value not in ("", 0, [])}
    assert said == {
        "brand": "Dell",
        "product": "R640",
        "serial_number": "S1",
        "bmc_mac": "52:54:00:bb:00:05",
        "pxe_network_mac_addr": M1,
        "bmc_type": "redfish",
        "bmc_port": 8443,
        "bmc_certificate": "a" * 64,
        "ipmi_network_address": "10.0.0.5",
        "ipmi_username": "root",
        "ipmi_password": "calvin",
        "zone_id": "default",
    }
    assert sentence(decision, "n-1", is_done=True) == (
        "is registered as discovered, node n-1: Dell R640, serial number S1, let us in with site; "
        "still missing: os_version, cpu_arch, hostname"
    )
    assert sentence(decision, "", is_done=False).startswith("would be registered as discovered: ")


def test_a_profile_makes_it_new_with_its_place_in_the_range() -> None:
    decision = one(found(), profile=PROFILE, zone_id="z2")

    assert decision.status == "new"
    assert decision.values["hostname"] == "r01n05"
    assert decision.values["mgmt_network_address"] == "10.2.0.5"
    assert decision.values["zone_id"] == "z2"


def test_what_the_bmc_tells_of_the_cpu_need_not_be_in_the_profile() -> None:
    profile = {name: value for name, value in PROFILE.items() if name != "cpu_arch"}

    aarch64 = one(found(hardware={"cpu": {"cpu_arch": "aarch64"}}), profile=profile)
    strange = one(found(hardware={"cpu": {"cpu_arch": "mips"}}), profile=profile)

    assert (aarch64.status, aarch64.values["cpu_arch"]) == ("new", "aarch64")
    assert (strange.status, strange.values["cpu_arch"]) == ("discovered", "")


def test_the_protocols_own_port_is_stored_as_none() -> None:
    assert one(found(bmc_type="redfish", bmc_port=443)).values["bmc_port"] == 0
    assert one(found(bmc_type="ipmi", bmc_port=623)).values["bmc_port"] == 0


def test_what_is_expected_wins_over_what_is_found_and_over_the_profile() -> None:
    row = {"serial_number": "S1", "hostname": "web1", "brand": "dell", "pxe_network_mac_addr": M2}

    decision = one(found(), profile=PROFILE, expected=(row,))

    assert decision.status == "new"
    names = ("hostname", "brand", "pxe_network_mac_addr", "mgmt_network_address")
    assert [decision.values[name] for name in names] == ["web1", "dell", M2, "10.2.0.5"]


def test_a_machine_expected_by_its_mac_with_another_serial_number_is_a_conflict() -> None:
    decision = one(found(), expected=({"mac": M2, "serial_number": "S2", "hostname": "web1"},))

    assert decision.outcome == "conflict"
    assert "S2 is expected" in decision.message


def test_an_unexpected_machine_leaves_its_address_to_nobody() -> None:
    expected = ({"mac": M2, "serial_number": "S9"},)
    moved = bmc(6, serial_number="S1", boot_macs=(M2,))

    decisions = decided(
        [bmc(5, serial_number="S2"), moved],
        [known("n-1", 5, serial_number="S1")],
        expected=expected,
    )

    assert [one.outcome for one in decisions] == ["conflict", "conflict"]


def test_what_a_list_says_of_a_machines_serial_number_is_taken_where_the_bmc_is_silent() -> None:
    row = {"mac": M2, "serial_number": "S2", "hostname": "web1"}

    assert one(found(serial_number=""), expected=(row,)).values["serial_number"] == "S2"


@pytest.mark.parametrize(
    ("profile", "gone", "word"),
    [
        ({"mgmt_network_gateway": "10.3.0.1"}, "mgmt_network_address", "10.3.0.1"),
        ({"mgmt_network_address": "10.2.0.0"}, "mgmt_network_netmask", "10.2.0.0"),
        (
            {"mgmt_network_address": "10.0.0.{n}", "mgmt_network_gateway": "10.0.0.99"},
            "mgmt_network_gateway",
            "so is ipmi_network_address",
        ),
        ({"mgmt_network_address": ""}, "mgmt_network_netmask", "needs mgmt_network_address"),
        ({"os_version": "ramdisk"}, "os_version", "ramdisk"),
        ({"os_version": "{m}"}, "os_version", "braces"),
        ({"mgmt_network_address": "10.2.0.{n}00"}, "mgmt_network_address", "10.2.0.500"),
        ({"is_mgmt_config_vlan": 1}, "is_mgmt_config_vlan", "4094"),
    ],
)
def test_what_makes_no_sense_is_left_out_and_said(
    profile: dict[str, Any], gone: str, word: str
) -> None:
    decision = one(found(), profile=PROFILE | profile)

    assert (decision.outcome, decision.status) == ("new", "discovered")
    assert decision.values[gone] in ("", 0)
    assert word in decision.message
    assert decision.values["hostname"] == "r01n05"


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        (("hostname", "r01n05"), "hostname"),
        (("address", "10.2.0.5"), "mgmt_network_gateway"),
        (("MAC", M1), "pxe_network_mac_addr"),
    ],
)
def test_what_another_machine_has_is_left_out_and_said(key: tuple[str, str], gone: str) -> None:
    decision = one(found(), profile=PROFILE, owners={key: "n-9"})

    assert (decision.status, decision.values[gone]) == ("discovered", "")
    assert "; without " in decision.message
    assert f"node n-9 has the {key[0]} {key[1]} already)" in decision.message


def test_two_new_machines_never_get_the_same() -> None:
    first, second = (bmc(last, serial_number=f"S{last}", boot_macs=(M1,)) for last in (5, 6))

    decisions = decided([second, first], profile=PROFILE | {"hostname": "web"})

    assert [(one.status, one.values["hostname"]) for one in decisions] == [
        ("new", "web"),
        ("discovered", ""),
    ]
    assert "the machine of 10.0.0.5 has the hostname web already" in decisions[1].message
    assert f"the MAC {M1}" in decisions[1].message


def test_an_expected_name_is_kept_from_the_pattern() -> None:
    expected = ({"serial_number": "S9", "hostname": "r01n05"},)

    decisions = decided(
        [found(), bmc(9, serial_number="S9", boot_macs=(M2,))], profile=PROFILE, expected=expected
    )

    assert [one.values["hostname"] for one in decisions] == ["", "r01n05"]


def test_no_machine_gets_the_address_of_a_bmc_that_was_just_found() -> None:
    profile = PROFILE | {"mgmt_network_address": "10.0.0.6", "mgmt_network_gateway": ""}

    decisions = decided([found(), bmc(6, serial_number="S6")], profile=profile)

    assert decisions[0].values["mgmt_network_address"] == ""
    assert "the machine of 10.0.0.6 has the address 10.0.0.6 already" in decisions[0].message


# --- registered machines ------------------------------------------------------------------------


def test_only_what_is_empty_is_filled() -> None:
    decision = one(found(), known("n-1", 5, brand="dell"), profile=PROFILE)

    assert decision.values == {
        "serial_number": "S1",
        "product": "R640",
        "bmc_mac": "52:54:00:bb:00:05",
    }
    assert sentence(decision, "n-1", is_done=True) == (
        "node n-1 is updated: serial_number, product, bmc_mac"
    )
    assert decision.status == "new"
    of_node = one(bmc(5, node="n-1", product="R640"), known("n-1", 5))
    assert sentence(of_node, "n-1", is_done=False) == "would be updated: product"


def test_a_machine_that_is_registered_is_never_given_what_it_is_to_become() -> None:
    provisioned = known("n-1", 5, "provisioned", mgmt_network_address="", mgmt_network_netmask="")

    decision = one(found(), provisioned, profile=PROFILE)

    assert not {name for name in decision.values if "network_a" in name or "hostname" in name}


def test_a_discovered_machine_becomes_new_when_nothing_is_missing() -> None:
    discovered = known("n-1", 5, "discovered", ipmi_username="root", ipmi_password="calvin")

    decision = one(found(), discovered, profile=PROFILE)
    again = one(found(), known("n-1", 5, "new", **decision.values), profile=PROFILE)

    assert (decision.outcome, decision.status) == ("updated", "new")
    assert decision.values["hostname"] == "r01n05"
    assert "it is new now" in decision.message
    assert (again.outcome, dict(again.values)) == ("unchanged", {})


def test_a_discovered_machine_stays_so_without_what_another_has() -> None:
    discovered = known("n-1", 5, "discovered")

    decision = one(found(), discovered, profile=PROFILE, owners={("address", "10.2.0.5"): "n-9"})

    assert (decision.outcome, decision.status) == ("updated", "discovered")
    assert decision.values["hostname"] == "r01n05"
    assert "mgmt_network_address" not in decision.values
    filled = known("n-1", 5, "discovered", **decision.values)
    filled_but_card = known(
        "n-1", 5, "discovered", **{**decision.values, "pxe_network_mac_addr": ""}
    )
    again = one(found(), filled, profile=PROFILE, owners={("address", "10.2.0.5"): "n-9"})
    assert (again.outcome, again.status) == ("unchanged", "discovered")
    assert "node n-9 has the address 10.2.0.5 already" in again.message
    assert "still missing: pxe_network_mac_addr" in one(bmc(5), filled_but_card).message


def test_a_discovered_machines_network_is_left_as_somebody_gave_it() -> None:
    discovered = known(
        "n-1", 5, "discovered", mgmt_network_address="10.9.0.1", mgmt_network_netmask="255.0.0.0"
    )

    decision = one(found(), discovered, profile=PROFILE)

    assert decision.status == "new"
    assert not {name for name in decision.values if name.startswith("mgmt")}


def test_a_card_of_another_machine_is_not_taken_from_it() -> None:
    registered = known("n-1", 5, pxe_network_mac_addr="")

    decision = one(found(), registered, owners={("MAC", M1): "n-9"})

    assert "pxe_network_mac_addr" not in decision.values
    assert "node n-9 has the MAC" in decision.message


def test_a_certificate_is_kept_of_a_bmc_that_is_talked_to_over_redfish() -> None:
    identity = bmc(5, bmc_type="redfish", certificate="a" * 64, credential="registered")

    over_ipmi, over_redfish = known("n-1", 5), known("n-1", 5, bmc_type="redfish")

    assert one(identity, over_ipmi).outcome == "unchanged"
    assert one(identity, over_redfish).values == {"bmc_certificate": "a" * 64}


OTHER = Login("other", "ADMIN", "ADMIN")


@pytest.mark.parametrize(
    ("fields", "said", "login"),
    [
        # Its own login let us in.
        ({}, {"credential": "registered"}, None),
        # Its own login was tried first, and refused.
        ({}, {"credential": "other"}, OTHER),
        # There was none.
        ({"ipmi_username": "", "ipmi_password": ""}, {"credential": "other"}, OTHER),
        ({"ipmi_password": ""}, {"credential": "other"}, OTHER),
    ],
)
def test_a_registered_login_is_replaced_only_where_it_did_not_work(
    fields: dict[str, Any], said: dict[str, Any], login: Login | None
) -> None:
    decision = one(found(**said), known("n-1", 5, **fields), logins={"other": OTHER})

    names = ("ipmi_username", "ipmi_password")
    changed = tuple(decision.values.get(name) for name in names)
    assert changed == ((login.username, login.password) if login else (None, None))
    assert "calvin" not in decision.message


def test_a_moved_bmc_keeps_its_login_which_nobody_tried_there() -> None:
    decision = one(
        found(credential="other"), known("n-1", 9, serial_number="S1"), logins={"other": OTHER}
    )

    assert decision.values["ipmi_network_address"] == "10.0.0.5"
    assert "ipmi_password" not in decision.values
    assert "its BMC was at 10.0.0.9" in decision.message


def test_a_new_machine_at_a_left_address_keeps_the_login_that_let_us_in() -> None:
    decisions = decided(
        [bmc(5, serial_number="S2", credential="registered"), bmc(6, serial_number="S1")],
        [known("n-1", 5, serial_number="S1")],
    )

    assert decisions[0].outcome == "new"
    assert decisions[0].values["ipmi_password"] == SITE.password


def test_a_login_that_nobody_knows_any_more_registers_nothing() -> None:
    decision = one(found(credential="gone"))

    assert (decision.outcome, dict(decision.values)) == ("conflict", {})


@pytest.mark.parametrize(
    ("before", "is_written"),
    [
        ({}, True),
        ({"hardware": '{"memory": 1}', "hardware_source": "bmc"}, True),
        (
            {"hardware": '{"cpu": {}, "memory": {"memory_size": 64.0}}', "hardware_source": "bmc"},
            False,
        ),
        ({"hardware": '{"memory": 1}', "hardware_source": "ramdisk"}, False),
    ],
)
def test_hardware_is_news_unless_it_is_the_same_or_the_ramdisk_saw_more(
    before: dict[str, Any], is_written: bool
) -> None:
    hardware = {"memory": {"memory_size": 64.0}, "cpu": {}}
    registered = known("n-1", 5, **{"serial_number": "S1", **before})

    decision = one(bmc(5, serial_number="S1", hardware=hardware), registered)

    assert decision.outcome == ("updated" if is_written else "unchanged")
    written = json.loads(decision.values.get("hardware", "null"))
    assert written == (hardware if is_written else None)


def test_a_place_is_counted_in_its_own_range() -> None:
    ranges = (Range("10.9.0.1", "10.9.0.9", ()), Range("10.0.0.4", "10.0.0.9", ()))

    assert one(found(), profile=PROFILE, ranges=ranges).values["hostname"] == "r01n02"
