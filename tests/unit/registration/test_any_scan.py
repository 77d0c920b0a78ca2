"""What holds of every scan, whatever is registered and whatever BMCs say."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from api.bmc.found import Identity
from api.registration.deciding import Decision
from api.registration.matching import Known
from tests.unit.registration.scans import bmc, decided, known

PLACES = range(1, 6)  # few, so that much is the same
PROFILE = {"os_version": "12", "cpu_arch": "x86_64", "hostname": "h{n}"}
serials = st.sampled_from(["", "S1", "S2", "S3", "S4"])
macs = st.sampled_from(["", *(f"52:54:00:bb:00:0{number}" for number in PLACES)])
cards = st.sampled_from([f"52:54:00:cc:00:0{number}" for number in PLACES])
identities = st.builds(
    lambda last, serial, mac, boot: bmc(last, serial_number=serial, bmc_mac=mac, boot_macs=boot),
    st.sampled_from(PLACES), serials, macs, st.lists(cards, max_size=2, unique=True).map(tuple),
)  # fmt: skip
found_by_scan = st.lists(identities, max_size=5, unique_by=lambda one: one.address)
registered = st.lists(
    st.tuples(
        st.sampled_from([*PLACES, None]), serials, macs, cards | st.just(""),
        st.sampled_from(["new", "discovered", ""]),
    ),
    max_size=4,
)  # fmt: skip


def plant(machines: Sequence[tuple[int | None, str, str, str, str]]) -> list[Known]:
    """Machines as a database may hold them: what must be unique is dropped where it is not."""
    seen: set[str] = set()

    def once(value: str) -> str:
        is_new = bool(value) and value not in seen
        seen.add(value)
        return value if is_new else ""

    planted = []
    for number, (last, serial, mac, card, status) in enumerate(machines, 1):
        if not status:
            planted.append(Known(f"n-{number}", system_serial=once(serial)))
            continue
        own = {"serial_number": once(serial), "pxe_network_mac_addr": once(card), "bmc_mac": mac}
        place = last if once(f"10.0.0.{last}") else None
        planted.append(known(f"n-{number}", place, status, hostname="", **own))
    return planted


def after(before: Sequence[Known], decisions: Sequence[Decision]) -> list[Known]:
    """The machines once everything is written."""
    machines = {one.node_id: one for one in before}
    for number, one in enumerate(decisions):
        if one.values:
            node_id = one.node_id or f"n-new{number}"
            old = machines.get(node_id, Known(node_id))
            machines[node_id] = replace(
                old,
                status=one.status,
                values={**old.values, "hardware": "", "hardware_source": "", **one.values},
            )
    return list(machines.values())


@settings(max_examples=300, deadline=None)
@given(found_by_scan, registered)
def test_nothing_is_registered_twice_and_a_second_scan_finds_nothing_new(
    found: list[Identity], machines: list[tuple[int | None, str, str, str, str]]
) -> None:
    before = plant(machines)

    decisions = decided(found, before, profile=PROFILE)
    later = after(before, decisions)

    for name in ("ipmi_network_address", "serial_number", "pxe_network_mac_addr", "hostname"):
        values = [one.values[name] for one in later if one.values.get(name)]
        assert len(values) == len(set(values)), name
    node_ids = [one.node_id for one in decisions if one.node_id and one.outcome != "conflict"]
    assert len(node_ids) == len(set(node_ids))
    assert all(not one.values for one in decisions if one.outcome in ("conflict", "unchanged"))
    # A conflict may end when another machine moves away; without any, all is said.
    if all(one.outcome != "conflict" for one in decisions):
        again = decided(found, later, profile=PROFILE)
        assert {one.outcome for one in again} <= {"unchanged"}


@settings(max_examples=200, deadline=None)
@given(st.permutations(PLACES), st.permutations(PLACES), st.sets(st.sampled_from(PLACES)))
def test_however_machines_changed_places_each_ends_up_where_it_is(
    were: list[int], are: list[int], unfound: set[int]
) -> None:
    machines = [known(f"n-{n}", last, serial_number=f"S{n}") for n, last in enumerate(were, 1)]
    found = [
        bmc(last, serial_number=f"S{n}") for n, last in enumerate(are, 1) if last not in unfound
    ]

    later = {one.node_id: one for one in after(machines, decided(found, machines))}

    addresses = [one.address for one in later.values()]
    assert len(set(addresses)) == len(machines)
    if not unfound:
        assert [later[f"n-{n}"].address for n in PLACES] == [f"10.0.0.{last}" for last in are]
