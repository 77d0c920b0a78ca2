"""What is ordered in which state, and what is made of the answers."""

from dataclasses import replace

import pytest

from api.bmc import operations
from api.bmc.client import BootDevice
from api.bmc.operations import AWAIT, Conversation, Operation, Said, perform
from api.bmc.target import BmcError
from api.states import PowerState, Reason
from tests.unit.bmc.fake_client import BUSY, REFUSED, SILENT, TARGET, FakeClient

ON, OFF = PowerState.ON, PowerState.OFF


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_LOOKS", 0.02)
    monkeypatch.setattr(operations, "_PAUSES", (0.001,))
    monkeypatch.setattr(operations, "_BUSY_PAUSES", (0.001, 0.001))


def done(client: FakeClient, operation: Operation) -> Said:
    return perform(Conversation(client), TARGET, operation)


@pytest.mark.parametrize(
    ("operation", "state"),
    [(operations.power_on(1), ON), (operations.power_off(1), OFF), (operations.soft_off(1), OFF)],
    ids=["on", "off", "soft"],
)
def test_machine_that_is_as_asked_gets_no_order(operation: Operation, state: PowerState) -> None:
    client = FakeClient(state)

    said = done(client, operation)

    assert (client.orders, said.power, said.message) == ([], state, f"is {state} already")


def test_reboot_switches_on_what_is_off() -> None:
    client = FakeClient(OFF, ON)

    assert done(client, operations.reboot(1)).message == "is on, switched on"
    assert client.orders == ["on"]


def test_machine_that_went_off_before_its_cycle_is_switched_on() -> None:
    client = FakeClient(ON, OFF, ON, troubles=[REFUSED])

    assert done(client, operations.reboot(1)).message == "is on, switched on"
    assert client.orders == ["cycle", "on"]


def test_refused_cycle_of_a_machine_that_is_on_fails() -> None:
    with pytest.raises(BmcError, match="D5h"):
        done(FakeClient(ON, troubles=[REFUSED]), operations.reboot(1))


def test_command_to_a_busy_bmc_is_repeated() -> None:
    client = FakeClient(BUSY, OFF, ON, troubles=[BUSY, BUSY])

    assert done(client, operations.power_on(1)).power == ON
    assert client.orders == ["on", "on", "on"]


def test_bmc_that_stays_busy_is_given_up() -> None:
    with pytest.raises(BmcError) as failure:
        done(FakeClient(BUSY), operations.read_power())
    assert failure.value.reason == Reason.BMC_BUSY


def test_order_whose_answer_is_lost_is_judged_by_the_power_state() -> None:
    client = FakeClient(OFF, ON, troubles=[SILENT])

    assert done(client, operations.power_on(1)).message == "is on"


def test_cycle_whose_answer_is_lost_is_not_believed() -> None:
    # The machine was on before, so that its being on proves nothing.
    with pytest.raises(BmcError, match="fell silent"):
        done(FakeClient(ON, troubles=[SILENT]), operations.reboot(1))


def test_who_waits_long_logs_out_and_comes_back() -> None:
    said = done(FakeClient(OFF), operations.power_on(60))
    assert said.then is not None
    assert (said.then.name, said.power) == (AWAIT, OFF)

    later = perform(Conversation(FakeClient(ON)), TARGET, said.then)

    assert (later.message, later.then) == ("is on", None)


def test_bmc_that_is_gone_after_the_order_is_asked_again() -> None:
    assert done(FakeClient(OFF, SILENT), operations.power_on(60)).then is not None


def test_power_state_that_never_changes_fails_after_the_deadline() -> None:
    with pytest.raises(BmcError, match=r"is not on 0.01 s after its BMC agreed") as failure:
        done(FakeClient(OFF), operations.power_on(0.01))
    assert failure.value.reason == Reason.POWER_UNCHANGED


def test_soft_off_ends_hard_only_if_told() -> None:
    with pytest.raises(BmcError):
        done(FakeClient(ON), operations.soft_off(0.01))

    said = done(FakeClient(ON), operations.soft_off(0.01, hard_after=5))

    assert said.then == operations.power_off(5)


def test_machine_that_switches_itself_off_gets_no_order_in_time() -> None:
    client = FakeClient(ON, OFF)

    assert done(client, operations.await_off(1, hard_after=5)).message == "is off"
    assert client.orders == []

    said = done(FakeClient(ON), operations.await_off(0.01, hard_after=5))

    assert said.then == operations.power_off(5)


def test_boot_device_is_set_before_the_power_cycle() -> None:
    client = FakeClient(ON, kept=BootDevice("pxe", once=True, uefi=True))

    said = done(client, operations.boot_from_network(1))

    assert client.orders == ["pxe once True", "cycle"]
    assert said.message == "is on, power cycled, boots once from the network (UEFI)"


def test_boot_from_disk_lasts() -> None:
    client = FakeClient(OFF, ON, kept=BootDevice("disk", uefi=True))

    assert (
        done(client, operations.boot_from_disk(1)).message == "is on, switched on, boots from disk"
    )
    assert client.orders == ["disk always True", "on"]


@pytest.mark.parametrize(("mode", "uefi"), [("uefi", True), ("bios", False), ("", None)])
def test_boot_mode_that_nobody_chose_is_left_to_the_machine(mode: str, uefi: bool | None) -> None:
    client = FakeClient(OFF, ON)

    perform(Conversation(client), replace(TARGET, boot_mode=mode), operations.boot_from_network(1))

    assert client.orders[0] == f"pxe once {uefi}"


def test_machine_keeps_running_when_its_bmc_ignores_the_boot_device() -> None:
    client = FakeClient(ON, kept=BootDevice("none"))

    with pytest.raises(BmcError) as failure:
        done(client, operations.boot_from_network(1))

    assert failure.value.reason == Reason.BOOT_DEVICE_IGNORED
    assert "cycle" not in client.orders


def test_bmc_that_cannot_tell_its_boot_device_is_believed_and_said_so() -> None:
    said = done(FakeClient(ON, kept=None), operations.boot_from_network(1))

    assert said.message.endswith("boot device set, which its BMC cannot confirm")


def test_mark_that_the_bmc_drops_is_said() -> None:
    kept = BootDevice("pxe", once=False, uefi=False)

    said = done(FakeClient(ON, kept=kept), operations.boot_from_network(1))

    assert said.message.endswith("its BMC dropped UEFI and one-time")


def test_machine_is_identified_though_its_bmc_keeps_its_power_state_to_itself() -> None:
    said = done(FakeClient(REFUSED, REFUSED), operations.identify())

    assert (said.power, said.message) == (
        PowerState.UNKNOWN,
        "is a Dell Inc. PowerEdge R630, serial number ABC",
    )
    assert (said.details["brand"], said.details["boot_device"]) == ("dell", "")


def test_machine_whose_bmc_falls_silent_is_not_identified() -> None:
    with pytest.raises(BmcError, match="fell silent"):
        done(FakeClient(SILENT, SILENT), operations.identify())
