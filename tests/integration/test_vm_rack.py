"""Virtual machines behind BMCs: what their power button does, and that nothing of them is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.segment import Segment, die_with_parent
from tests.lab.vms import PASSWORD, USERNAME, Vm, VmRack
from tests.service import REPOSITORY, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        "FIRSTBOX_SLOW_TESTS" not in os.environ,
        reason="the lab's machines boot in tests/acceptance, too; set FIRSTBOX_SLOW_TESTS=1",
    ),
]

# The smallest system on a disk: writes its name to the serial port, then what else it does.
_SAY = bytes.fromhex("fc 31c0 8ed8 be407c ba f803 ac 84c0 7403 ee ebf8")
_POWER_OFF = bytes.fromhex("ba 0406 b8 0020 ef f4 ebfd")
_STAY = bytes.fromhex("f4 ebfd")
_RESET = bytes.fromhex("ba f90c b0 06 ee f4 ebfd")
_NAME = b"the disk speaks"
SECONDS_TO_BOOT = 60

BIOS = Vm("bios", "127.0.97.1", ("52:54:00:79:00:01",), bmc="ipmi_sim", memory=256)
UEFI = Vm("uefi", "127.0.97.2", ("52:54:00:79:00:02", "52:54:00:79:00:03"), "uefi", memory=256)
STUBBORN = Vm("stubborn", "127.0.97.3", ("52:54:00:79:00:04",), memory=256, order="network")


class Place:
    """A rack, and a boot server that knows nothing of Firstbox."""

    def __init__(self, rack: VmRack, segment: Segment, directory: Path) -> None:
        self.rack = rack
        self.segment = segment
        self.directory = directory

    def ipmi(self, vm: Vm, *command: str) -> str:
        address = ("-I", "lanplus", "-C", "3", "-H", vm.bmc_address)
        done = self.segment.run("ipmitool", *address, "-U", USERNAME, "-P", PASSWORD, *command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def is_on(self, vm: Vm) -> bool:
        """What the BMC says."""
        return self.ipmi(vm, "power", "status") == "Chassis Power is on"

    def requests(self, vm: Vm) -> str:
        """What the DHCP server saw of a machine."""
        lines = (self.directory / "dnsmasq.log").read_text().splitlines()
        return "\n".join(line for line in lines if vm.macs[0] in line)

    def furnish(self, vm: Vm, what_it_does: bytes) -> None:
        """Put a system on a machine's disk."""
        sector = bytearray(512)
        sector[: len(_SAY) + len(what_it_does)] = _SAY + what_it_does
        sector[64 : 64 + len(_NAME)] = _NAME
        sector[510:] = b"\x55\xaa"
        with self.rack.disk(vm.name).open("r+b") as disk:
            disk.write(sector)

    def wait_for(self, vm: Vm, text: str) -> None:
        wait_until(
            lambda: text in self.rack.console(vm.name), SECONDS_TO_BOOT, what=f"{vm.name}: {text}"
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("rack")
    for loader in ("undionly.kpxe", "snponly.efi"):
        (directory / loader).symlink_to(Path("/usr/lib/ipxe") / loader)
    (directory / "script").write_text("#!ipxe\necho ${net0/mac} runs a script\nsleep 1\nreboot\n")
    with (
        Segment("10.77.0.1/24") as segment,
        boot_server(segment, directory),
        VmRack(segment, directory / "machines", [BIOS, UEFI, STUBBORN]) as rack,
    ):
        yield Place(rack, segment, directory)


@contextmanager
def boot_server(segment: Segment, directory: Path) -> Iterator[None]:
    """A dnsmasq that lets everybody boot."""
    words = ["--port=0", "--user=root", "--keep-in-foreground", "--conf-file=/dev/null"]
    words += ["--interface=br0", "--dhcp-range=10.77.0.100,10.77.0.200", "--log-dhcp"]
    words += ["--enable-tftp", f"--tftp-root={directory}", "--log-facility=-"]
    words += [f"--dhcp-leasefile={directory / 'leases'}", "--dhcp-match=set:ipxe,175"]
    words += ["--dhcp-match=set:efi,option:client-arch,7", "--dhcp-boot=tag:ipxe,script"]
    words += ["--dhcp-boot=tag:!ipxe,tag:efi,snponly.efi"]
    words += ["--dhcp-boot=tag:!ipxe,tag:!efi,undionly.kpxe"]
    with (directory / "dnsmasq.log").open("wb") as log:
        process = subprocess.Popen(
            segment.command("dnsmasq", *words), stderr=log, preexec_fn=die_with_parent
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def booted(place: Place) -> Place:
    """Both kinds of machines, after they were booted once from the network."""
    place.furnish(BIOS, _POWER_OFF)
    place.ipmi(BIOS, "chassis", "bootdev", "pxe")
    place.ipmi(UEFI, "chassis", "bootdev", "pxe", "options=efiboot")
    for vm in (BIOS, UEFI):
        place.ipmi(vm, "power", "on")
    return place


@pytest.mark.parametrize("vm", [BIOS, UEFI], ids=lambda vm: vm.name)
def test_one_time_network_boot_reaches_the_boot_script(booted: Place, vm: Vm) -> None:
    booted.wait_for(vm, f"{vm.macs[0]} runs a script")

    assert "DHCPDISCOVER(br0)" in booted.requests(vm)
    assert "DHCPACK(br0)" in booted.requests(vm)
    assert booted.rack.boots(vm.name)[0] == "network"


def test_guest_that_reboots_starts_in_its_own_order(booted: Place) -> None:
    booted.wait_for(BIOS, _NAME.decode())

    assert booted.rack.boots(BIOS.name) == ["network", "disk"]


def test_guest_that_shuts_down_is_off_for_its_bmc_too(booted: Place) -> None:
    booted.wait_for(BIOS, _NAME.decode())

    wait_until(lambda: not booted.is_on(BIOS), 10, what="the BMC says off", pause=0.2)
    assert not booted.rack.is_on(BIOS.name)


def test_power_off_ends_qemu(booted: Place) -> None:
    booted.wait_for(UEFI, f"{UEFI.macs[0]} runs a script")
    pid = Path(f"{booted.rack.place(UEFI.name)}.pid").read_text()
    assert "qemu" in Path(f"/proc/{pid}/cmdline").read_text()

    booted.ipmi(UEFI, "power", "off")

    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, what="QEMU is gone")
    assert not booted.is_on(UEFI)
    assert not booted.rack.is_on(UEFI.name)


def test_boot_device_disk_wins_over_a_machine_that_prefers_the_network(place: Place) -> None:
    place.furnish(STUBBORN, _STAY)
    place.rack.unplug(STUBBORN.name)
    place.ipmi(STUBBORN, "chassis", "bootdev", "disk")
    place.ipmi(STUBBORN, "power", "on")

    place.wait_for(STUBBORN, _NAME.decode())

    assert place.rack.boots(STUBBORN.name) == ["disk"]


def test_cycle_boots_in_the_machines_own_order_and_a_pulled_cable_carries_nothing(
    place: Place,
) -> None:
    place.ipmi(STUBBORN, "power", "cycle")

    place.wait_for(STUBBORN, f"Configuring (net0 {STUBBORN.macs[0]})")
    time.sleep(2)  # it asks again after a second

    assert place.rack.boots(STUBBORN.name) == ["disk", "network"]
    assert place.requests(STUBBORN) == ""
    place.rack.plug(STUBBORN.name)
    wait_until(lambda: place.requests(STUBBORN), 30, what="its next request is heard")


def test_guest_that_reboots_keeps_a_persistent_boot_device_and_is_never_off_for_its_bmc(
    place: Place,
) -> None:
    place.ipmi(STUBBORN, "power", "off")
    wait_until(lambda: not place.rack.is_on(STUBBORN.name), 10, what="it is off")
    place.furnish(STUBBORN, _RESET)
    before = len(place.rack.boots(STUBBORN.name))
    place.ipmi(STUBBORN, "chassis", "bootdev", "disk", "options=persistent")
    place.ipmi(STUBBORN, "power", "on")
    assert place.rack.bmcs is not None
    behind_the_bmc = place.rack.bmcs[STUBBORN.bmc_address].machine

    def boots() -> list[str]:
        assert behind_the_bmc.is_on
        return place.rack.boots(STUBBORN.name)[before:]

    wait_until(lambda: len(boots()) >= 5, SECONDS_TO_BOOT, what="it booted often", pause=0.001)
    assert set(boots()) == {"disk"}


def test_machine_that_hangs_is_on_and_does_nothing(place: Place) -> None:
    place.furnish(STUBBORN, _RESET)
    place.rack.order(STUBBORN.name, "on", "disk")
    wait_until(lambda: place.rack.boots(STUBBORN.name), 10, what="it is switched on")
    place.rack.order(STUBBORN.name, "pause")
    time.sleep(0.5)  # the keeper hears of it
    said = place.rack.console(STUBBORN.name)

    time.sleep(2)  # it would speak several times

    assert place.rack.console(STUBBORN.name) == said
    assert place.rack.is_on(STUBBORN.name)
    place.rack.order(STUBBORN.name, "resume")
    wait_until(lambda: place.rack.console(STUBBORN.name) != said, 20, what="it goes on")


def test_machine_that_dies_is_off_for_its_bmc_and_can_be_switched_on(place: Place) -> None:
    place.rack.order(STUBBORN.name, "die")
    wait_until(lambda: not place.is_on(STUBBORN), 10, what="the BMC says off", pause=0.2)

    place.ipmi(STUBBORN, "power", "on")

    wait_until(lambda: place.rack.is_on(STUBBORN.name), 10, what="it runs again")
    assert place.is_on(STUBBORN)
    place.ipmi(STUBBORN, "power", "off")


OWNER = """
import sys, time
from pathlib import Path
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import Vm, VmRack
place = Path(sys.argv[1])
vm = Vm("one", "127.0.97.9", ("52:54:00:79:00:09",), bmc="ipmi_sim", memory=256)
with (
    Segment("10.77.0.1/24") as segment,
    VmRack(segment, place, [vm]) as rack,
    Site(place, segment),
):
    rack.order("one", "on")
    while not rack.is_on("one"):
        time.sleep(0.05)
    print(segment.namespace.stat().st_ino, flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    assert owner.stdout is not None
    namespace = int(owner.stdout.readline())
    names = set(members_of(namespace).values())
    assert {"sleep", "qemu-system-x86", "ipmi_sim", "nginx", "dnsmasq"} <= names

    owner.send_signal(signal.SIGKILL)
    owner.wait()

    wait_until(lambda: not members_of(namespace), 40, what="all processes are gone")
    assert not list(tmp_path.glob("*.disk*"))


def members_of(namespace: int) -> dict[int, str]:
    """The processes in a network namespace, by their names."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == namespace:
                found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:  # it has ended
            continue
    return found
