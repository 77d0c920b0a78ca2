"""BMCs that speak Redfish: sushy-tools' emulator, and one of ours where that has no word for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.bmc import operations
from api.bmc.fleet import ask_bmcs
from api.bmc.operations import Operation
from api.bmc.target import BmcResult, BmcTarget
from api.states import PowerState, Reason
from tests.lab.bmc import Profile, RedfishBmc, RedfishEmulator

ON, OFF = PowerState.ON, PowerState.OFF


def target(bmc: RedfishBmc | RedfishEmulator, **others: str) -> BmcTarget:
    profile = Profile()
    one = BmcTarget("n-one", bmc.address, bmc.port, "redfish", profile.username, profile.password)
    return replace(one, **({"boot_mode": "uefi"} | others))


def ask(one: BmcTarget, operation: Operation, deadline: float = 20) -> BmcResult:
    (result,) = ask_bmcs([one], operation, deadline=deadline, silence=3, processes=1)
    return result


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[RedfishBmc]:
    with RedfishBmc("127.0.88.220", tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishEmulator]:
    with RedfishEmulator("127.0.88.221", tmp_path_factory.mktemp("sushy")) as running:
        yield running


def test_emulator_boots_from_the_network_and_is_switched_off(emulator: RedfishEmulator) -> None:
    # It takes up to 11 s for each change, and says Off meanwhile.
    booted = ask(target(emulator), operations.boot_from_network(30))
    off = ask(target(emulator), operations.power_off(30))

    assert (booted.ok, booted.power) == (True, ON)
    assert booted.message.startswith("is on, switched on, boots once from the network (UEFI)")
    assert (off.message, off.power) == ("is off", OFF)


def test_emulator_refuses_a_wrong_password(emulator: RedfishEmulator) -> None:
    result = ask(target(emulator, password="other"), operations.read_power())

    assert (result.ok, result.reason) == (False, Reason.BMC_LOGIN_REFUSED)


def test_one_time_boot_device_is_gone_after_the_boot(bmc: RedfishBmc) -> None:
    for operation in (operations.boot_from_network(5), operations.reboot(5)):
        assert ask(target(bmc), operation).ok

    assert bmc.machine.boots == ["Pxe", "None"]


def test_machine_boots_from_disk_from_now_on(bmc: RedfishBmc) -> None:
    assert ask(target(bmc), operations.boot_from_disk(5)).message.endswith("boots from disk")
    assert ask(target(bmc), operations.reboot(5)).ok

    assert bmc.machine.boots == ["Hdd", "Hdd"]


@pytest.mark.parametrize(
    ("mode", "written"), [("uefi", "UEFI"), ("bios", "Legacy"), ("", "Legacy")]
)
def test_boot_mode_that_nobody_chose_stays(bmc: RedfishBmc, mode: str, written: str) -> None:
    bmc.machine.boot["BootSourceOverrideMode"] = "Legacy"

    assert ask(target(bmc, boot_mode=mode), operations.boot_from_network(5)).ok

    assert bmc.machine.boot["BootSourceOverrideMode"] == written


def test_session_is_deleted_afterwards(bmc: RedfishBmc) -> None:
    for operation in (operations.read_power(), operations.boot_from_network(5)):
        assert ask(target(bmc), operation).ok

    assert (bmc.logins, bmc.sessions) == (2, set())


def test_bmc_without_a_free_session_is_asked_with_each_requests_password(bmc: RedfishBmc) -> None:
    bmc.sessions = {f"somebody-{number}" for number in range(bmc.max_sessions)}

    assert ask(target(bmc), operations.read_power()).ok
    assert len(bmc.sessions) == bmc.max_sessions


def test_wrong_password_is_tried_once(bmc: RedfishBmc) -> None:
    result = ask(target(bmc, password="other"), operations.read_power())

    assert (result.reason, result.message) == (Reason.BMC_LOGIN_REFUSED, "refused the login")
    assert bmc.refused_logins == 1


def test_certificate_of_first_contact_is_told_and_held_to(bmc: RedfishBmc) -> None:
    first = ask(target(bmc), operations.read_power())
    again = ask(target(bmc, certificate=first.certificate), operations.read_power())
    other = ask(target(bmc, certificate="0" * 64), operations.read_power())

    assert len(first.certificate) == 64
    assert again.ok
    assert (other.reason, other.message) == (
        Reason.BMC_CERTIFICATE_CHANGED,
        "shows another certificate than at first contact",
    )
    assert bmc.logins == 2  # to the other one, no password was shown


def test_slow_bmc_is_given_up_at_the_deadline(bmc: RedfishBmc) -> None:
    bmc.delay = 2

    assert ask(target(bmc), operations.read_power(), deadline=3).reason == Reason.BMC_SILENT


def test_address_where_nothing_listens_is_silent(bmc: RedfishBmc) -> None:
    result = ask(target(bmc, address="127.0.88.222"), operations.read_power())

    assert result.reason == Reason.BMC_SILENT
