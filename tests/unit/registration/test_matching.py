"""Which machine a BMC belongs to."""

from typing import Any

import pytest

from tests.unit.registration.scans import bmc, decided, known, outcomes

M1, M2, M3 = ("52:54:00:aa:00:01", "52:54:00:aa:00:02", "52:54:00:aa:00:03")
S1: dict[str, Any] = {"serial_number": "S1"}
S2: dict[str, Any] = {"serial_number": "S2"}


@pytest.mark.parametrize(
    ("said", "registered", "outcome"),
    [
        # By serial number, wherever it is.
        ({"last": 5, **S1}, {"last": 5, **S1}, "unchanged"),
        ({"last": 6, **S1}, {"last": 5, **S1}, "updated"),
        ({"last": 6, **S1, "bmc_mac": M1}, {"last": 5, **S1, "bmc_mac": M1}, "updated"),
        ({"last": 5, **S1}, {"last": None, **S1}, "updated"),
        # By the BMC's MAC.
        ({"last": 6, "bmc_mac": M1}, {"last": 5, "bmc_mac": M1}, "updated"),
        ({"last": 6, "bmc_mac": M1, **S1}, {"last": 5, "bmc_mac": M1}, "updated"),
        # By a card's MAC.
        ({"last": 6, "boot_macs": (M1, M2)}, {"last": 5, "pxe_network_mac_addr": M2}, "updated"),
        # By the address.
        ({"last": 5}, {"last": 5}, "unchanged"),
        ({"last": 5, **S1}, {"last": 5}, "updated"),
        ({"last": 5, "bmc_mac": M1}, {"last": 5, **S1}, "updated"),
    ],
)
def test_a_registered_machine_is_known_again(
    said: dict[str, Any], registered: dict[str, Any], outcome: str
) -> None:
    decisions = decided([bmc(**said)], [known("n-1", **registered)])

    assert outcomes(decisions) == [(outcome, "n-1")]
    address = decisions[0].values.get("ipmi_network_address", f"10.0.0.{said['last']}")
    assert address == f"10.0.0.{said['last']}"


@pytest.mark.parametrize(
    ("said", "registered", "words"),
    [
        ({"last": 5, **S2}, {"last": 5, **S1}, "serial number S2"),
        ({"last": 5, "bmc_mac": M2}, {"last": 5, "bmc_mac": M1}, "BMC MAC"),
        ({"last": 5, **S1, "bmc_mac": M2}, {"last": 5, **S1, "bmc_mac": M1}, "BMC MAC"),
        # A blade's chassis, or a copied FRU.
        ({"last": 6, **S1, "bmc_mac": M2}, {"last": 5, **S1, "bmc_mac": M1}, "BMC MAC"),
        ({"last": 6, **S2, "bmc_mac": M1}, {"last": 5, **S1, "bmc_mac": M1}, "serial number"),
        (
            {"last": 6, **S1, "certificate": "b" * 64},
            {"last": 5, **S1, "bmc_certificate": "a" * 64},
            "certificate",
        ),
        ({"last": 5, **S1}, {"last": 5, **S1, "job_id": "j-00000001"}, "busy in job j-00000001"),
    ],
)
def test_what_contradicts_a_registration_is_a_conflict_and_writes_nothing(
    said: dict[str, Any], registered: dict[str, Any], words: str
) -> None:
    [decision] = decided([bmc(**said)], [known("n-1", **registered)])

    assert (decision.outcome, decision.node_id) == ("conflict", "n-1")
    assert words in decision.message
    assert not decision.values


def test_a_card_that_was_put_into_another_machine_does_not_make_it_the_same() -> None:
    moved = bmc(6, serial_number="S2", boot_macs=(M1,))

    [decision] = decided([moved], [known("n-1", 5, **S1, pxe_network_mac_addr=M1)])

    assert (decision.outcome, decision.status) == ("new", "discovered")
    assert decision.values["pxe_network_mac_addr"] == ""
    assert f"node n-1 has the MAC {M1} already" in decision.message


# --- several in one scan ------------------------------------------------------------------------


def test_machines_that_swapped_their_addresses_both_end_up_right() -> None:
    registered = [known("n-1", 5, **S1), known("n-2", 6, **S2)]

    decisions = decided([bmc(5, **S2), bmc(6, **S1)], registered)

    assert outcomes(decisions) == [("updated", "n-2"), ("updated", "n-1")]
    assert [one.values["ipmi_network_address"] for one in decisions] == ["10.0.0.5", "10.0.0.6"]


def test_machines_may_move_up_in_a_row_and_a_new_one_take_the_place_of_the_first() -> None:
    registered = [known("n-1", 5, **S1), known("n-2", 6, **S2)]

    found = [bmc(5, serial_number="S3"), bmc(6, **S1), bmc(7, **S2)]

    assert outcomes(decided(found, registered)) == [
        ("new", ""),
        ("updated", "n-1"),
        ("updated", "n-2"),
    ]


def test_nobody_takes_the_address_of_a_machine_that_was_not_found_elsewhere() -> None:
    registered = [known("n-1", 5, **S1), known("n-2", 6, **S2)]

    [decision] = decided([bmc(6, **S1)], registered)

    assert decision.outcome == "conflict"
    assert "node n-2 has the address 10.0.0.6 already" in decision.message


def test_who_cannot_move_is_in_the_way_of_those_behind() -> None:
    row = [known("n-1", 5, **S1), known("n-2", 6, **S2), known("n-3", 7, serial_number="S3")]

    decisions = decided([bmc(6, **S1), bmc(7, **S2)], row)

    assert outcomes(decisions) == [("conflict", "n-1"), ("conflict", "n-2")]


def test_a_machine_that_does_not_say_who_it_is_is_not_the_one_that_left() -> None:
    decisions = decided([bmc(5), bmc(6, **S1)], [known("n-1", 5, **S1)])

    assert outcomes(decisions) == [("new", ""), ("updated", "n-1")]


def test_a_serial_number_of_two_bmcs_is_a_conflict_of_both() -> None:
    found = [bmc(5, **S1, bmc_mac=M1), bmc(6, **S1, bmc_mac=M2), bmc(7, **S2)]

    decisions = decided(found, [known("n-1", 5, **S1)])

    assert [one.outcome for one in decisions] == ["conflict", "conflict", "new"]
    assert "so has 10.0.0.6" in decisions[0].message
    assert "so has 10.0.0.5" in decisions[1].message


def test_a_bmc_mac_of_two_machines_is_a_conflict_of_both() -> None:
    found = [bmc(5, **S1, bmc_mac=M1), bmc(6, **S2, bmc_mac=M1)]

    assert [one.outcome for one in decided(found)] == ["conflict", "conflict"]


@pytest.mark.parametrize("said", [{**S1, "bmc_mac": M1}, {"bmc_mac": M1}])
def test_a_bmc_that_answers_at_two_addresses_is_registered_once(said: dict[str, Any]) -> None:
    found = [bmc(5, **said), bmc(6, **said)]

    unknown = decided(found)
    registered = decided(found, [known("n-1", 6, **said)])

    assert [one.outcome for one in unknown] == ["new", "unchanged"]
    assert "answers at 10.0.0.5 too" in unknown[1].message
    assert [one.outcome for one in registered] == ["unchanged", "unchanged"]
    assert "answers at 10.0.0.6 too" in registered[0].message


def test_a_bmc_at_the_addresses_of_two_registered_machines_is_a_conflict() -> None:
    found = [bmc(5, bmc_mac=M1), bmc(6, bmc_mac=M1)]

    decisions = decided(found, [known("n-1", 5), known("n-2", 6)])

    assert [one.outcome for one in decisions] == ["conflict", "conflict"]


def test_no_machine_has_two_bmcs() -> None:
    found = [bmc(5, **S1), bmc(6, bmc_mac=M1)]

    decisions = decided(found, [known("n-1", 7, **S1, bmc_mac=M1)])

    assert outcomes(decisions) == [("conflict", "n-1"), ("conflict", "n-1")]


# --- machines that were only added --------------------------------------------------------------


def test_a_machine_that_was_added_gets_its_registration() -> None:
    added = known("n-1", None, "", system_serial="S1")
    [decision] = decided([bmc(5, **S1)], [added])

    assert (decision.outcome, decision.node_id, decision.status) == ("new", "n-1", "discovered")
    assert decision.values["serial_number"] == "S1"


def test_the_registered_one_comes_before_one_that_was_added() -> None:
    added = known("n-2", None, "", system_serial="S1")

    assert outcomes(decided([bmc(5, **S1)], [added, known("n-1", 5, **S1)])) == [
        ("unchanged", "n-1")
    ]


def test_a_registered_machine_is_known_by_what_its_system_told() -> None:
    [decision] = decided([bmc(6, **S1)], [known("n-1", 5, system_serial="S1")])

    assert (decision.outcome, decision.node_id) == ("updated", "n-1")
    assert decision.values["serial_number"] == "S1"


def test_two_that_were_added_with_one_serial_number_are_a_conflict() -> None:
    added = [known(node_id, None, "", system_serial="S1") for node_id in ("n-1", "n-2")]

    [decision] = decided([bmc(5, **S1)], added)

    assert decision.outcome == "conflict"
    assert "n-1 and n-2" in decision.message


def test_an_address_that_was_added_as_a_nodes_is_no_bmcs() -> None:
    [decision] = decided([bmc(5, **S1)], owners={("address", "10.0.0.5"): "n-9"})

    assert decision.outcome == "conflict"
    assert "node n-9 has the address 10.0.0.5 already" in decision.message


# --- registered machines that are scanned again -------------------------------------------------


def again(last: int, node: str, **fields: Any) -> Any:
    return bmc(last, node=node, **{"credential": "registered", **fields})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({**S2}, "is the BMC of node n-2, and not of node n-1"),
        ({"serial_number": "S9"}, "serial number S9, but node n-1 has S1"),
        ({"bmc_mac": M3}, "BMC MAC"),
    ],
)
def test_another_machine_behind_a_nodes_bmc_is_that_nodes_conflict(
    said: dict[str, Any], words: str
) -> None:
    registered = [known("n-1", 5, **S1, bmc_mac=M1), known("n-2", 6, **S2, bmc_mac=M2)]

    [decision] = decided([again(5, "n-1", **said)], registered, ranges=(), logins={})

    assert (decision.outcome, decision.node_id) == ("conflict", "n-1")
    assert words in decision.message


def test_two_nodes_with_one_bmc_are_a_conflict_of_both() -> None:
    registered = [known("n-1", 5), known("n-2", 6)]
    found = [again(5, "n-1", bmc_mac=M1), again(6, "n-2", bmc_mac=M1)]

    assert outcomes(decided(found, registered, ranges=())) == [
        ("conflict", "n-1"),
        ("conflict", "n-2"),
    ]


def test_a_node_that_is_not_registered_any_more_is_a_conflict() -> None:
    [decision] = decided([again(5, "n-1", **S1)], ranges=())

    assert (decision.outcome, decision.node_id) == ("conflict", "n-1")
    assert "not registered any more" in decision.message
