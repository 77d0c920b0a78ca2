"""What machine is it? Asked of BMCs of all kinds, the hostile among them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from api.bmc import operations
from api.bmc.fleet import ask_bmcs
from api.bmc.target import BmcResult, BmcTarget, Kind
from api.states import PowerState, Reason
from tests.lab.bmc import IpmiSim, Profile, RedfishBmc, RedfishEmulator, Simulator, addresses

KNOWN = "is a Firstbox Simulated, serial number S-1, off"
UNKNOWN = "does not say what it is, off"
ANSI = "\x1b[2J\x1b]0;owned\x07Bad\x9b31m\tBoy\x07\x85 "
LENOVO = (b"", b"", b"", b"", b"", b"", bytes.fromhex("3440b5000001 3440b5000002 000000000000"))


def target(address: str, kind: Kind = "ipmi", port: int = 623) -> BmcTarget:
    profile = Profile()
    return BmcTarget(address, address, port, kind, profile.username, profile.password)


def identify(*targets: BmcTarget, deadline: float = 12) -> list[BmcResult]:
    return ask_bmcs(
        targets, operations.identify(), deadline=deadline, silence=3, processes=len(targets)
    )


class Case(NamedTuple):
    """A BMC, and what is to come of asking it."""

    profile: Profile
    message: str
    reason: Reason | None = None


CASES = {
    "plain": Case(Profile(), KNOWN),
    "cipher suite 17 only": Case(Profile(suites=(17,)), KNOWN),
    "slow": Case(Profile(delay=0.4), KNOWN),
    "loses packets": Case(Profile(loss=0.05), KNOWN),
    "32 bytes at a time": Case(Profile(fru_chunk=32, fru_refusal=0xC8), KNOWN),
    "31 bytes at a time": Case(Profile(fru_chunk=31, fru_refusal=0xC7), KNOWN),
    "15 bytes at a time": Case(
        Profile(fru_chunk=15, fru_refusal=0xC9), f"{UNKNOWN}; its FRU data cannot be read, not even"
    ),
    "no serial number of the machine": Case(
        Profile(serial=" " * 9), "is a Firstbox Simulated, off"
    ),
    "placeholders": Case(
        Profile(vendor="To be filled by O.E.M.", product="Default string"),
        "is a board, serial number S-1, off",
    ),
    "terminal escapes": Case(Profile(product=ANSI), "is a Firstbox Bad Boy, serial number S-1"),
    "no FRU data": Case(
        Profile(fru_fault="refused"), f"{UNKNOWN}; its FRU data cannot be read (CBh)"
    ),
    "wrong checksums of areas": Case(
        Profile(fru_fault="checksums"), "the product area of its FRU data has a wrong checksum"
    ),
    "wrong checksum of the header": Case(
        Profile(fru_fault="header"), f"{UNKNOWN}; its FRU data have a broken header"
    ),
    "64 KiB": Case(Profile(fru_fault="huge"), "is a Firstbox board, serial number BS-1, off; the"),
    "cut short": Case(Profile(fru_fault="cut"), "the product area of its FRU data is cut short"),
    "endless": Case(Profile(fru_fault="endless"), f"{UNKNOWN}; its FRU data come without end"),
    "less than it says": Case(Profile(fru_fault="short"), KNOWN),
    "Lenovo": Case(
        Profile(enterprise=19046, board_extras=LENOVO),
        f"{KNOWN}; boot MACs 34:40:b5:00:00:01, 34:40:b5:00:00:02",
    ),
    "another maker with such fields": Case(Profile(board_extras=LENOVO), KNOWN),
    "not true to its boot device": Case(Profile(readback="garbage"), KNOWN),
    # Whose other integrity code is right; some real ones are like that.
    "wrong checksums of answers": Case(Profile(answer_fault="checksums"), KNOWN),
    "oversized answers": Case(
        Profile(answer_fault="oversized"), "no complete answer within", Reason.BMC_SILENT
    ),
    "truncated answers": Case(
        Profile(answer_fault="truncated"), "no complete answer within", Reason.BMC_SILENT
    ),
    "frozen in mid-session": Case(
        Profile(freezes_after=3), "no complete answer within", Reason.BMC_SILENT
    ),
}
ADDRESSES = dict(zip(CASES, addresses("127.0.110.1", len(CASES)), strict=True))


class Told(NamedTuple):
    """What came of all cases, each by its name, and the commands it took."""

    results: dict[str, BmcResult]
    commands: dict[str, int]


@pytest.fixture(scope="module")
def told() -> Told:
    profiles = {
        ADDRESSES[name]: replace(case.profile, serial=case.profile.serial or "S-1")
        for name, case in CASES.items()
    }
    with Simulator(list(profiles), profiles=profiles) as bmcs:
        results = identify(*(target(address) for address in profiles))
        commands = {name: sum(bmcs[at].commands.values()) for name, at in ADDRESSES.items()}
    return Told(dict(zip(CASES, results, strict=True)), commands)


@pytest.mark.parametrize("name", CASES)
def test_ipmi(told: Told, name: str) -> None:
    case, result = CASES[name], told.results[name]

    assert (result.ok, result.reason) == (case.reason is None, case.reason or "")
    assert case.message in result.message
    assert (result.power == PowerState.OFF) == result.ok
    assert result.message.isprintable()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.reason])
def test_bmc_tells_its_own_mac_whatever_its_fru_data_are(told: Told, name: str) -> None:
    assert str(told.results[name].details["bmc_mac"]).startswith("02:00:00:")


def test_few_commands_are_enough_and_hostile_bmcs_get_a_limit(told: Told) -> None:
    assert told.commands["plain"] == 7  # privilege, power, FRU size, FRU, MAC, boot flags, logout
    assert told.commands["64 KiB"] < 30
    assert max(told.commands.values()) < 150


def test_such_fields_of_another_maker_are_no_macs(told: Told) -> None:
    assert told.results["another maker with such fields"].details["boot_macs"] == []


def test_serial_number_of_the_board_stands_in(told: Told) -> None:
    assert told.results["64 KiB"].details["serial_number"] == "BS-1"


def test_ipmi_sim(tmp_path: Path) -> None:
    with IpmiSim("127.0.111.1", tmp_path) as bmc:
        (result,) = identify(target(bmc.address))

    assert result.message == "is a Firstbox ipmi_sim, serial number S-127.0.111.1, off"


def test_four_sessions_are_enough_for_one_at_a_time() -> None:
    profiles = {"127.0.111.2": Profile(max_sessions=1)}
    with Simulator(list(profiles), profiles=profiles) as bmcs:
        assert all(identify(target("127.0.111.2"))[0].ok for _ in range(5))
        assert (bmcs["127.0.111.2"].sessions, bmcs["127.0.111.2"].most_sessions) == (0, 1)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RedfishBmc]:
    with RedfishBmc("127.0.111.3", tmp_path) as bmc:
        yield bmc


def test_redfish_tells_network_cards_and_hardware(web: RedfishBmc) -> None:
    web.machine.is_on = True
    (result,) = identify(target(web.address, "redfish", web.port))

    assert result.message == (
        "is a Firstbox Simulated, serial number S-127.0.111.3, on; "
        "boot MACs 02:f1:7f:00:6f:03, 02:f2:7f:00:6f:03"
    )
    assert result.details["bmc_mac"] == "02:f0:7f:00:6f:03"  # not of its first port
    hardware = result.details["hardware"]
    assert hardware["cpu"]["cpu_arch"] == "x86_64"
    assert hardware["cpu"]["cpu_processors"] == 64
    assert hardware["memory"] == {"memory_size": 256.0}
    assert [(disk["name"], disk["type"], disk["size"]) for disk in hardware["disks"]] == [
        ("disk0", "sas", 4000.8),
        ("nvme0", "nvme", 960.2),
    ]
    assert [(net["name"], net["link"]) for net in hardware["networks"]] == [
        ("NIC.1", "up"),
        ("NIC.2", "down"),
    ]
    assert (len(result.certificate), web.sessions) == (64, set())


def test_dell_tells_its_service_tag_elsewhere(web: RedfishBmc) -> None:
    web.profile.vendor = "Dell Inc."

    (result,) = identify(target(web.address, "redfish", web.port))

    assert (result.details["brand"], result.details["serial_number"]) == ("dell", "TAG-1")


def test_chassis_has_a_serial_number_where_the_system_has_a_placeholder(web: RedfishBmc) -> None:
    web.profile.serial = "0123456789"

    (result,) = identify(target(web.address, "redfish", web.port))

    assert result.details["serial_number"] == "C-127.0.111.3"


@pytest.mark.parametrize("fault", ["huge", "packed", "deep", "types", "endless", "crooked"])
def test_redfish_that_is_hostile_tells_less(web: RedfishBmc, fault: str) -> None:
    web.profile.web_fault = fault  # type: ignore[assignment]

    (result,) = identify(target(web.address, "redfish", web.port))

    assert result.ok, result.message
    assert "is a Firstbox Simulated, serial number S-127.0.111.3, off" in result.message
    assert (result.details["bmc_mac"], result.details["boot_macs"]) == ("", [])
    assert web.requests < 100
    assert web.sessions == set()


@pytest.mark.parametrize("fault", ["huge", "packed", "deep", "types", "endless", "crooked"])
def test_redfish_that_is_hostile_from_its_root_on_fails_by_itself(
    web: RedfishBmc, fault: str
) -> None:
    web.profile.web_fault = fault  # type: ignore[assignment]
    web.profile.web_fault_from_root = True

    (result,) = identify(target(web.address, "redfish", web.port))

    assert (result.ok, result.reason) == (False, Reason.BMC_REFUSED)
    assert result.message.isprintable()


def test_redfish_that_is_slow_tells_what_matters_first(web: RedfishBmc) -> None:
    web.delay = 0.8

    (result,) = identify(target(web.address, "redfish", web.port), deadline=30)

    assert result.ok, result.message
    assert len(result.details["boot_macs"]) == 2
    assert "is too slow to tell all of its hardware" in result.message


def test_emulator_of_others_tells_its_card(tmp_path: Path) -> None:
    with RedfishEmulator("127.0.111.4", tmp_path) as bmc:
        (result,) = identify(target(bmc.address, "redfish", bmc.port))

    assert result.message.startswith("is a Sushy Emulator, serial number 437XR1138R2, off")
    assert result.details["boot_macs"] == ["52:54:00:00:6f:04"]
