"""A rack of 300 BMCs of four kinds, good and bad, is scanned over the API, and scanned again after changes.

On loopback, with dead addresses between them. What each kind of trouble does by itself is tested beside
each part (test_sweep, test_identify, test_register); here it is all at once, and nothing may be lost,
doubled or left in the log that does not belong there.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bmc import IpmiSim, Profile, RedfishBmc, RedfishEmulator, Simulator, addresses
from tests.lab.bmc.impostors import Impostors, nothing
from tests.service import Service

FIRST, LAST = "127.0.120.1", "127.0.122.254"
# Every other address is nobody's.
PLACES = iter(addresses(FIRST, 700)[::2])
PASSWORDS = {"factory": "ADMIN-factory", "site": "ADMIN-secret"}
CREDENTIALS = [
    {"name": name, "username": "ADMIN", "password": password}
    for name, password in PASSWORDS.items()
]
SITE, FACTORY = Profile(), Profile(password=PASSWORDS["factory"])


def _take(count: int) -> list[str]:
    return [next(PLACES) for _ in range(count)]


def _all(places: list[str], profile: Profile, **values: Any) -> dict[str, Profile]:
    return {address: replace(profile, **values) for address in places}


SOUND = _all(_take(124), SITE) | _all(_take(60), FACTORY)
MOVES, SWAPS = _take(2), _take(2)
STEADY = {**_all(_take(4), SITE, suites=(17,)), **_all(_take(4), SITE, max_sessions=4)}
SLOW = _all(_take(6), SITE, delay=0.3)
LOSSY = _all(_take(14), SITE, loss=0.05)  # each way: one question in ten is not answered
STRANGE_TEXT = _all(_take(2), SITE, product="Box\x1b[31m \x1b]0;owned\x07red {{ 7*7 }}")
FAULTS = ("refused", "checksums", "header", "huge", "cut", "endless", "short")
FRU_FAULTS = {next(PLACES): replace(SITE, fru_fault=fault) for fault in FAULTS}  # type: ignore[arg-type]
ANSWER_FAULTS = {
    next(PLACES): replace(SITE, answer_fault=fault)  # type: ignore[arg-type]
    for fault in ("oversized", "truncated", "checksums")
}
LOCKED = _all(_take(8), SITE, password="nobody-knows", lockout_after=3)
TWINS = _all(_take(6), SITE)
for number, address in enumerate(TWINS):
    TWINS[address].serial = f"TWIN-{number // 2}"
DEAF = _all(_take(2), SITE, freezes_at_login=True)
MOVING = {
    address: replace(SITE, serial=f"MOVES-{address}", mac=f"02:aa:00:00:00:{number:02x}")
    for number, address in enumerate([MOVES[0], *SWAPS], 1)
}
IPMI_SIMS = _take(20)
REDFISH = _take(34)
EMULATORS = _take(4)
OTHERS = _take(6)
SIMULATED: Mapping[str, Profile] = {
    **SOUND, **STEADY, **SLOW, **LOSSY, **STRANGE_TEXT, **FRU_FAULTS, **ANSWER_FAULTS, **LOCKED,
    **TWINS, **DEAF, **MOVING,
}  # fmt: skip
ASKED: dict[str, Any] = {
    "ip_start": FIRST,
    "ip_end": LAST,
    "credentials": CREDENTIALS,
    "redfish_port": 8443,
    "profile": {"os_version": "12", "cpu_arch": "x86_64", "hostname": "r01n{n:03}"},
}


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExitStack]:
    """What does not change between scans."""
    place: Path = tmp_path_factory.mktemp("rack")
    with ExitStack() as rack:
        for address in IPMI_SIMS:
            rack.enter_context(IpmiSim(address, place / "ipmi_sim"))
        for address in REDFISH:
            rack.enter_context(RedfishBmc(address, place / address))
        for address in EMULATORS:
            rack.enter_context(RedfishEmulator(address, place / address))
        echo = {address: (lambda packet: [packet, b"\x06", packet[:7]]) for address in OTHERS[3:]}
        rack.enter_context(Impostors({**dict.fromkeys(OTHERS[:3], nothing), **echo}))
        yield rack


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, rack: ExitStack) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("scan") / "home"
    # Short, for those that never answer; the slowest of the others need 6 s.
    settings = {"allowed_networks": '["127.0.0.0/8"]', "bmc_deadline": 15, "sweep_silence": 0.5}
    with Service(home, **settings) as service:
        yield service


@pytest.fixture(scope="module")
def simulated(service: Service) -> Iterator[Simulator]:
    """The BMCs of the first scan."""
    with Simulator(list(SIMULATED), profiles=SIMULATED) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def first(service: Service, simulated: Simulator) -> dict[str, Any]:
    """The status of the first scan, once it is over."""
    return scan(service)


def scan(service: Service, **fields: Any) -> dict[str, Any]:
    job_id = service.done("ScanBMNodes", **{**ASKED, **fields})["job_id"]
    service.wait_for(job_id, seconds=180, action="ScanBMNodes")
    answer: dict[str, Any] = service.done("GetScanBMNodesStatus", job_id=job_id)
    answer["log"] = list(service.done("GetScanBMNodesLog", job_id=job_id)["log"].values())
    return answer


def outcomes(status: dict[str, Any]) -> dict[str, str]:
    return {one["address"]: one["outcome"] for one in status["results"]}


def machines(service: Service) -> dict[str, dict[str, Any]]:
    """Registered machines by the address of their BMC."""
    answer = service.done("DescribeBMNodes")
    found = {node["ipmi"]["ipmi_network_address"]: node for node in answer["node_set"]}
    assert len(found) == answer["total_count"]
    return found


def test_there_are_300_bmcs_of_four_kinds() -> None:
    assert len(SIMULATED) + len(IPMI_SIMS) + len(REDFISH) + len(EMULATORS) >= 300


def test_every_bmc_is_found_and_nothing_else(first: dict[str, Any]) -> None:
    there = {*SIMULATED, *IPMI_SIMS, *REDFISH, *EMULATORS}

    assert first["status"] == "successful", first["log"][-5:]
    assert set(outcomes(first)) == there


def test_each_becomes_what_it_should(first: dict[str, Any]) -> None:
    got = outcomes(first)

    for places, outcome in (
        ([*SOUND, *STEADY, *SLOW, *STRANGE_TEXT, *MOVING, *FRU_FAULTS], "new"),
        ([*IPMI_SIMS, *REDFISH], "new"),
        # All emulators show the serial number of one sample chassis.
        ([*TWINS, *EMULATORS], "conflict"),
        ([*LOCKED, *DEAF], "failed"),
    ):
        assert {place: got[place] for place in places if got[place] != outcome} == {}
    # One in ten packets lost may break a login as well.
    assert Counter(got[place] for place in LOSSY)["new"] >= len(LOSSY) - 2


def test_what_bmcs_tell_is_registered(first: dict[str, Any], service: Service) -> None:
    known = machines(service)
    by_address = {one["address"]: one for one in first["results"]}
    sound, redfish = next(iter(SOUND)), REDFISH[0]

    assert known[sound]["general"]["serial_number"] == f"S-{sound}"
    assert (known[sound]["general"]["brand"], known[sound]["product"]) == ("firstbox", "Simulated")
    assert known[sound]["general"]["hostname"] == "r01n001"
    assert known[sound]["status"] == "discovered"  # IPMI tells no boot MAC
    assert known[redfish]["status"] == "new"
    assert known[redfish]["bmc_type"] == "redfish"
    assert known[redfish]["pxe"]["pxe_network_mac_addr"] in by_address[redfish]["boot_macs"]
    assert known[redfish]["hardware"]["memory"]["memory_size"] > 0
    assert known[redfish]["power_state"] == "off"


def test_results_name_the_credential_that_worked(first: dict[str, Any]) -> None:
    for one in first["results"]:
        if one["outcome"] in ("new", "conflict"):
            profile = SIMULATED.get(one["address"], SITE)
            assert PASSWORDS[one["credential"]] == profile.password


def test_nobody_is_locked_out(first: dict[str, Any], simulated: Simulator) -> None:
    """Every one of them would take the right password now."""
    refused = {one["address"]: one["reason"] for one in first["results"] if one["reason"]}

    assert all(refused[address] == "bmc_login_refused" for address in LOCKED)
    assert not any(simulated[address].is_locked for address in LOCKED)


def test_the_log_is_for_people(first: dict[str, Any], service: Service) -> None:
    text = "\n".join(first["log"])

    assert all(line.isprintable() for line in first["log"])
    assert not re.search(r"Traceback|Error\(|None|\{'", text)
    for password in PASSWORDS.values():
        assert password not in text
        assert password not in str(first)
        for file in (service.home / "runs").iterdir():
            assert password not in file.read_text()
    assert "Box red {{ 7*7 }}" in text  # as it is, and evaluated by nobody


def test_machines_that_moved_are_updated_and_the_others_stay(
    first: dict[str, Any], service: Service, simulated: Simulator
) -> None:
    before = machines(service)
    a, b, c = MOVES[0], *SWAPS
    moved = {MOVES[1]: MOVING[a], b: MOVING[c], c: MOVING[b]}
    for address in (a, b, c):
        simulated.unplug(address)
    with Simulator(list(moved), profiles=moved):
        got = outcomes(scan(service))

    assert {got[address] for address in moved} == {"updated"}
    others = before.keys() - {a, b, c} - set(LOSSY)
    assert {place: got[place] for place in others if got[place] != "unchanged"} == {}
    after = machines(service)
    # What an unlucky BMC could not tell the first time may have come through by now.
    assert after.keys() - before.keys() - set(LOSSY) == {MOVES[1]}
    assert a not in after
    for old, new in ((a, MOVES[1]), (b, c), (c, b), *((place, place) for place in others)):
        assert after[new]["node_id"] == before[old]["node_id"]
        assert after[new]["general"]["serial_number"] == before[old]["general"]["serial_number"]
