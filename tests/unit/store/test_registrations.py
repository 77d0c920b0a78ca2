"""Machines that scans found, in the database: known again, written, and refused where others were faster."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from api.bmc.found import Identity
from api.errors import Conflict, Malformed
from api.registration.deciding import Decision, Scan
from api.registration.plan import Plan, Range
from api.registration.rules import NOTHING
from api.settings import Settings
from api.states import JobAction
from api.store.bm_nodes import add_bm_nodes, get_bm_nodes, update_bm_node
from api.store.jobs import Part, create_job
from api.store.nodes import add_nodes, update_node
from api.store.registrations import free_number, read_known, read_owners, write_decisions
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.machines import asked
from tests.unit.registration.scans import ANYWHERE, SITE, bmc, plan
from tests.unit.store.test_nodes import queries

MANY = 500
PROFILE = {"os_version": "12", "cpu_arch": "x86_64", "hostname": "h{n:03}"}


@pytest.fixture
def seal(settings: Settings) -> Seal:
    return Seal(settings.keys)


def plant(engine: Engine, seal: Seal, *machines: Mapping[str, Any]) -> list[str]:
    """Registered machines; where nothing else is said, with the login that scans have."""
    login = {"ipmi_username": SITE.username, "ipmi_password": seal.close(SITE.password)}
    nothing = NOTHING | {"serial_number": None, "zone_id": "default", "description": ""}
    with writing(engine) as connection:
        rows = [nothing | asked(place) | login | one for place, one in enumerate(machines, 1)]
        return add_bm_nodes(connection, rows)


def decide(
    engine: Engine, seal: Seal, identities: Sequence[Identity], scan_plan: Plan | None = None
) -> list[Decision]:
    scan = Scan(identities, scan_plan or plan(), ANYWHERE)
    with reading(engine) as connection:
        known = read_known(connection, seal, identities, own_job="")
        return scan.decide(known, read_owners(connection, scan.claims()))


def register(
    engine: Engine, seal: Seal, identities: Sequence[Identity], scan_plan: Plan | None = None
) -> list[tuple[str, str]]:
    """Decide and write; the outcome and the node of each."""
    decisions = decide(engine, seal, identities, scan_plan)
    written, refused = write_decisions(engine, seal, decisions, own_job="")
    assert refused == {}
    return [(one.outcome.value, written.get(one.identity.address, "")) for one in decisions]


def row(engine: Engine, node_id: str) -> Any:
    with reading(engine) as connection:
        return get_bm_nodes(connection, [node_id])[node_id]


def test_a_new_machine_is_stored_with_a_sealed_password(any_engine: Engine, seal: Seal) -> None:
    identity = bmc(
        5, serial_number="S1", product="R640", bmc_mac="52:54:00:bb:00:05", power_state="on",
        hardware={"memory": {"memory_size": 64.0}},
    )  # fmt: skip

    [(outcome, node_id)] = register(any_engine, seal, [identity])

    stored = row(any_engine, node_id)
    assert (outcome, stored.status, stored.pre_status) == ("new", "discovered", "")
    assert (stored.serial_number, stored.product, stored.hostname) == ("S1", "R640", None)
    assert (stored.power_state, stored.hardware_source) == ("on", "bmc")
    assert None not in (stored.power_time, stored.hardware_time)
    assert stored.ipmi_password != SITE.password
    assert seal.open(stored.ipmi_password) == SITE.password


def test_many_machines_at_once_and_all_of_them_again(any_engine: Engine, seal: Seal) -> None:
    identities = [
        Identity(
            f"10.8.{n // 250}.{n % 250 + 1}",
            credential="site",
            serial_number=f"S{n}",
            boot_macs=(f"52:54:00:cc:{n // 256:02x}:{n % 256:02x}",),
            power_state="off",
        )
        for n in range(MANY)
    ]
    rack = plan(ranges=(Range("10.8.0.1", "10.8.7.255", ("site",)),), profile=PROFILE)

    begun = time.monotonic()
    first = register(any_engine, seal, identities, rack)
    seconds = time.monotonic() - begun
    with queries(any_engine) as asked_for:
        second = register(any_engine, seal, identities, rack)

    assert {outcome for outcome, _ in first} == {"new"}
    assert {outcome for outcome, _ in second} == {"unchanged"}
    assert [node_id for _, node_id in second] == [node_id for _, node_id in first]
    assert len(asked_for) < 100
    assert seconds < 10


def test_machines_that_swapped_their_addresses_are_written(any_engine: Engine, seal: Seal) -> None:
    one, other, third = plant(
        any_engine,
        seal,
        {"serial_number": "S1", "ipmi_network_address": "10.0.0.5"},
        {"serial_number": "S2", "ipmi_network_address": "10.0.0.6"},
        {"serial_number": "S3", "ipmi_network_address": "10.0.0.7"},
    )
    found = [
        bmc(5, serial_number="S2"), bmc(6, serial_number="S1"),
        bmc(7, serial_number="S4"), bmc(8, serial_number="S3"),
    ]  # fmt: skip

    outcomes = register(any_engine, seal, found)

    assert [outcome for outcome, _ in outcomes] == ["updated", "updated", "new", "updated"]
    addresses = [row(any_engine, id_).ipmi_network_address for id_ in (one, other, third)]
    assert addresses == ["10.0.0.6", "10.0.0.5", "10.0.0.8"]
    assert row(any_engine, outcomes[2][1]).ipmi_network_address == "10.0.0.7"
    assert {outcome for outcome, _ in register(any_engine, seal, found)} == {"unchanged"}


def test_what_was_unchanged_keeps_its_time_and_tells_the_power(
    any_engine: Engine, seal: Seal
) -> None:
    identity = bmc(5, serial_number="S1", power_state="on")
    [(_, node_id)] = register(any_engine, seal, [identity])
    before = row(any_engine, node_id)

    register(any_engine, seal, [bmc(5, serial_number="S1", power_state="off")])

    after = row(any_engine, node_id)
    assert (after.power_state, after.update_time) == ("off", before.update_time)
    assert after.power_time > before.power_time


def test_a_discovered_machine_is_moved_to_new_by_the_transition_table(
    any_engine: Engine, seal: Seal
) -> None:
    identity = bmc(5, serial_number="S1", boot_macs=("52:54:00:cc:00:05",))
    [(_, node_id)] = register(any_engine, seal, [identity])

    [(outcome, again)] = register(any_engine, seal, [identity], plan(profile=PROFILE))

    stored = row(any_engine, node_id)
    assert (outcome, again) == ("updated", node_id)
    assert (stored.status, stored.pre_status, stored.hostname) == ("new", "discovered", "h005")


def test_a_node_that_was_added_becomes_the_machine(any_engine: Engine, seal: Seal) -> None:
    with writing(any_engine) as connection:
        [node_id] = add_nodes(connection, ["10.3.0.1"], "z2")
        update_node(connection, node_id, {"serial_number": "S1", "description": "old one"})

    assert register(any_engine, seal, [bmc(5, serial_number="S1")]) == [("new", node_id)]

    stored = row(any_engine, node_id)
    assert (stored.status, stored.zone_id, stored.description) == ("discovered", "z2", "old one")
    assert register(any_engine, seal, [bmc(5, serial_number="S1")]) == [("unchanged", node_id)]


def test_a_machine_is_found_by_all_that_tells_it(any_engine: Engine, seal: Seal) -> None:
    node_ids = plant(
        any_engine,
        seal,
        {"serial_number": "S1"},
        {"bmc_mac": "52:54:00:bb:00:02"},
        {"pxe_network_mac_addr": "52:54:00:bb:00:03"},
        {"ipmi_network_address": "10.0.0.5"},
        {},
        {"serial_number": "S9"},
    )
    identity = bmc(
        5, serial_number="S1", bmc_mac="52:54:00:bb:00:02", boot_macs=("52:54:00:bb:00:03",),
        node=node_ids[4],
    )  # fmt: skip

    with reading(any_engine) as connection:
        known = read_known(connection, seal, [identity], own_job="")

    assert {one.node_id for one in known} == set(node_ids[:5])
    assert {one.values["ipmi_password"] for one in known} == {SITE.password}
    assert known[0].values["hardware"] == ""


def test_a_job_holds_a_machine_unless_it_is_our_own(any_engine: Engine, seal: Seal) -> None:
    [node_id] = plant(any_engine, seal, {"serial_number": "S1"})
    with writing(any_engine) as connection:
        job_id = create_job(
            connection, JobAction.SCAN_BM_NODES, [Part("default", {node_id: "new"})], user_id="a"
        )

    with reading(any_engine) as connection:
        identity = bmc(5, serial_number="S1")
        [other] = read_known(connection, seal, [identity], own_job="j-other")
        [own] = read_known(connection, seal, [identity], own_job=job_id)

    assert (other.job_id, own.job_id) == (job_id, "")


def test_a_password_of_a_lost_key_counts_as_none(any_engine: Engine, seal: Seal) -> None:
    [node_id] = plant(any_engine, seal, {"ipmi_network_address": "10.0.0.5", "ipmi_password": "x"})

    assert register(any_engine, seal, [bmc(5)]) == [("updated", node_id)]
    assert seal.open(row(any_engine, node_id).ipmi_password) == SITE.password


# --- somebody else was faster -------------------------------------------------------------------


def test_only_what_somebody_changed_meanwhile_is_refused(any_engine: Engine, seal: Seal) -> None:
    changed, same = plant(
        any_engine, seal, {"ipmi_network_address": "10.0.0.5"}, {"ipmi_network_address": "10.0.0.6"}
    )
    decisions = decide(any_engine, seal, [bmc(5, serial_number="S1"), bmc(6, serial_number="S2")])
    with writing(any_engine) as connection:
        update_bm_node(connection, changed, {"serial_number": "S7"})

    written, refused = write_decisions(any_engine, seal, decisions, own_job="")

    assert (written, list(refused)) == ({"10.0.0.6": same}, ["10.0.0.5"])
    assert row(any_engine, changed).serial_number == "S7"
    assert row(any_engine, same).serial_number == "S2"


@pytest.mark.parametrize(
    "got",
    [
        {"hostname": "h005"},
        {"serial_number": "S1"},
        {"ipmi_network_address": "10.0.0.5"},
        {"public_network_address": "10.2.0.5"},  # no constraint of the database keeps this from two
    ],
)
def test_what_somebody_got_meanwhile_is_not_given_twice(
    got: dict[str, Any], any_engine: Engine, seal: Seal
) -> None:
    profile = PROFILE | {"mgmt_network_address": "10.2.0.{n}", "mgmt_network_netmask": "255.0.0.0"}
    found = [bmc(5, serial_number="S1"), bmc(6, serial_number="S2")]
    decisions = decide(any_engine, seal, found, plan(profile=profile))
    plant(any_engine, seal, {"mgmt_network_address": "10.7.0.1", **got})

    written, refused = write_decisions(any_engine, seal, decisions, own_job="")

    assert (list(written), list(refused)) == (["10.0.0.6"], ["10.0.0.5"])


def test_a_job_that_began_meanwhile_has_the_machine(any_engine: Engine, seal: Seal) -> None:
    [node_id] = plant(any_engine, seal, {"ipmi_network_address": "10.0.0.5"})
    decisions = decide(any_engine, seal, [bmc(5, serial_number="S1")])
    with writing(any_engine) as connection:
        create_job(
            connection,
            JobAction.POWER_ON_BM_NODES,
            [Part("default", {node_id: "new"})],
            user_id="a",
        )

    written, refused = write_decisions(any_engine, seal, decisions, own_job="")

    assert (written, list(refused)) == ({}, ["10.0.0.5"])
    assert row(any_engine, node_id).serial_number is None


def test_two_scans_at_the_same_moment_register_each_machine_once(
    any_engine: Engine, seal: Seal
) -> None:
    known = [bmc(last, serial_number=f"S{last}", power_state="on") for last in range(1, 31)]
    register(any_engine, seal, known)
    found = [*known, *(bmc(last, serial_number=f"S{last}") for last in range(31, 91))]
    both = [decide(any_engine, seal, found), decide(any_engine, seal, found)]

    with ThreadPoolExecutor(2) as threads:
        written = list(
            threads.map(lambda one: write_decisions(any_engine, seal, one, own_job=""), both)
        )

    addresses = {f"10.0.0.{last}" for last in range(31, 91)}
    (first, first_refused), (second, second_refused) = written
    assert addresses & first.keys() == second_refused.keys()
    assert addresses & second.keys() == first_refused.keys()
    assert first_refused.keys() | second_refused.keys() == addresses
    with reading(any_engine) as connection:
        owners = read_owners(connection, {"serial number": {f"S{last}" for last in range(1, 91)}})
    assert len(set(owners.values())) == 90


# --- numbers ------------------------------------------------------------------------------------


def test_the_smallest_free_number_is_found(any_engine: Engine, seal: Seal) -> None:
    plant(
        any_engine,
        seal,
        {"hostname": "h001"},
        {"hostname": "h003"},
        {"public_network_address": "10.5.0.2"},
    )
    profile = {"hostname": "h{n:03}", "mgmt_network_address": "10.5.0.{n}"}

    with reading(any_engine) as connection:
        assert free_number(connection, profile) == 4
        assert free_number(connection, {"hostname": "h{n:03}"}) == 2
        assert free_number(connection, {"os_version": "12"}) == 1
        with pytest.raises(Conflict, match="No number"):
            free_number(connection, profile, most=3)
        with pytest.raises(Conflict, match="No number"):
            free_number(connection, {"hostname": "h001"})
        with pytest.raises(Malformed, match="braces"):
            free_number(connection, {"hostname": "h{m}"})


def test_numbers_beyond_what_the_profile_makes_sense_for_are_not_given(
    any_engine: Engine, seal: Seal
) -> None:
    addresses = [f"10.6.0.{number}" for number in range(1, 256) if number != 250]
    plant(
        any_engine,
        seal,
        *({"hostname": None, "mgmt_network_address": address} for address in addresses),
    )
    profile = {"mgmt_network_address": "10.6.0.{n}"}

    with reading(any_engine) as connection:
        assert free_number(connection, profile) == 250
    plant(any_engine, seal, {"pxe_network_mac_addr": None, "ipmi_network_address": "10.6.0.250"})
    with reading(any_engine) as connection, pytest.raises(Conflict, match="No number"):
        free_number(connection, profile)
