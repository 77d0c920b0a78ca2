"""The simulated BMC is IPMI to others, too: ipmitool and FreeIPMI agree with it, and with ipmi_sim.

And both simulators tell the machine behind them the same (tests/lab/bmc/README.md).
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lab.bmc import IpmiSim, Profile, Simulator
from tests.service import wait_until

ADDRESS = "127.0.89.1"
HOOK = """\
#!/bin/sh
echo "$1 $BMC_POWER $BMC_BOOT_DEVICE $BMC_BOOT_PERSISTENT $BMC_BOOT_EFI" >> "$2.heard"
if [ "$1" = on ]; then sleep 60 & echo $! > "$2.pid"; fi
if [ "$1" = off ]; then kill "$(cat "$2.pid")"; rm "$2.pid"; fi
"""


def ipmitool(*command: str, suite: int = 17, address: str = ADDRESS) -> str:
    profile = Profile()
    login = ["-I", "lanplus", "-C", str(suite), "-U", profile.username, "-P", profile.password]
    return run("ipmitool", *login, "-H", address, *command)


def freeipmi(program: str, *command: str, suite: int = 17) -> str:
    profile = Profile()
    login = ["-D", "LAN_2_0", "-I", str(suite), "-u", profile.username, "-p", profile.password]
    return run(program, *login, "-h", ADDRESS, *command)


def run(*command: str) -> str:
    process = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator([ADDRESS]) as bmcs:
        yield bmcs


@pytest.mark.parametrize("suite", [3, 17])
def test_ipmitool_sets_a_boot_device_and_starts_the_machine(
    simulator: Simulator, suite: int
) -> None:
    ipmitool("chassis", "bootdev", "pxe", "options=efiboot", suite=suite)
    flags = ipmitool("chassis", "bootparam", "get", "5", suite=suite)
    ipmitool("chassis", "power", "on", suite=suite)
    status = ipmitool("chassis", "power", "status", suite=suite)

    for line in ("Boot Flag Valid", "only next boot", "BIOS EFI boot", "Force PXE"):
        assert line in flags
    assert status.strip() == "Chassis Power is on"
    assert simulator[ADDRESS].machine.events == [("on", "on", "pxe", False, True)]
    assert simulator[ADDRESS].sessions == 0


def test_ipmitool_finds_a_cipher_suite_by_itself(simulator: Simulator) -> None:
    profile = Profile()
    login = ["-U", profile.username, "-P", profile.password, "-H", ADDRESS]
    process = subprocess.run(
        ["ipmitool", "-I", "lanplus", *login, "chassis", "power", "status"],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (process.stdout.strip(), process.stderr) == ("Chassis Power is off", "")


def test_ipmitool_reads_who_made_the_machine(simulator: Simulator) -> None:
    login = ["-I", "lanplus", "-U", Profile().username, "-P", Profile().password]
    with Simulator(["127.0.89.2"], profiles={"127.0.89.2": Profile(fru_chunk=16)}):
        for address in (ADDRESS, "127.0.89.2"):
            # Without sensor records, which it does not have, ipmitool ends with an error afterwards.
            shown = subprocess.run(
                ["ipmitool", *login, "-H", address, "fru", "print", "0"],
                capture_output=True,
                text=True,
                timeout=30,
            ).stdout
            assert f"Product Serial        : S-{address}" in shown


@pytest.mark.parametrize("suite", [3, 17])
def test_freeipmi_cycles_the_machine(simulator: Simulator, suite: int) -> None:
    freeipmi("ipmi-power", "--on", "--wait-until-on", suite=suite)
    freeipmi("ipmi-power", "--cycle", suite=suite)

    assert freeipmi("ipmi-power", "--stat", suite=suite).strip() == f"{ADDRESS}: on"
    assert [event.name for event in simulator[ADDRESS].machine.events] == ["on", "cycle"]


def test_freeipmi_sets_a_boot_device(simulator: Simulator) -> None:
    device = "--key-pair=Chassis_Boot_Flags:Boot_Device=PXE"
    freeipmi("ipmi-chassis-config", "--commit", device)

    shown = freeipmi("ipmi-chassis-config", "--checkout", "--section=Chassis_Boot_Flags")
    assert "Boot_Device                                   PXE" in shown
    assert simulator[ADDRESS].machine.flags.device == "pxe"


def test_wrong_password_is_refused_to_all(simulator: Simulator) -> None:
    simulator[ADDRESS].profile.password = "other"

    with pytest.raises(AssertionError, match="establish"):
        ipmitool("chassis", "power", "status")
    with pytest.raises(AssertionError, match="password invalid"):
        freeipmi("ipmi-power", "--stat")


def test_who_tries_too_often_is_locked_out_for_a_while(simulator: Simulator) -> None:
    profile = simulator[ADDRESS].profile
    profile.lockout_after, profile.lockout_seconds, profile.password = 2, 2.0, "other"
    for _ in range(2):
        with pytest.raises(AssertionError, match="establish"):
            ipmitool("chassis", "power", "status")

    profile.password = Profile().password
    with pytest.raises(AssertionError, match="establish"):
        ipmitool("chassis", "power", "status")

    assert simulator[ADDRESS].refused_logins >= 3
    time.sleep(profile.lockout_seconds)
    assert "is off" in ipmitool("chassis", "power", "status")


@pytest.mark.parametrize("kind", ["simulator", "ipmi_sim"])
def test_both_simulators_tell_the_machine_the_same(tmp_path: Path, kind: str) -> None:
    hook = tmp_path / "hook"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    heard = tmp_path / f"{ADDRESS}.heard"
    bmc: AbstractContextManager[object] = (
        Simulator([ADDRESS], hook=hook, directory=tmp_path)
        if kind == "simulator"
        else IpmiSim(ADDRESS, tmp_path, hook=hook)
    )

    with bmc:
        ipmitool("chassis", "bootdev", "pxe", "options=efiboot", suite=3)
        for order in ("on", "cycle", "soft"):
            ipmitool("chassis", "power", order, suite=3)
        machine = tmp_path / f"{ADDRESS}.pid"
        wait_until(lambda: heard.exists() and "soft" in heard.read_text(), 5, what="all is heard")
        assert "is on" in ipmitool("chassis", "power", "status", suite=3)
        run("kill", machine.read_text().strip())  # the machine switches itself off
        wait_until(
            lambda: "is off" in ipmitool("chassis", "power", "status", suite=3), 5, what="it is off"
        )
        ipmitool("chassis", "bootdev", "disk", "options=persistent", suite=3)
        ipmitool("chassis", "power", "on", suite=3)
        wait_until(
            lambda: "is on" in ipmitool("chassis", "power", "status", suite=3), 5, what="it is on"
        )
        ipmitool("chassis", "power", "off", suite=3)
        wait_until(lambda: len(heard.read_text().splitlines()) == 5, 5, what="all is heard")

    assert heard.read_text().splitlines() == [
        "on on pxe 0 1",
        "cycle on none 0 0",
        "soft on none 0 0",
        "on on disk 1 0",
        "off off disk 1 0",
    ]
