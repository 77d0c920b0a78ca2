"""Virtual machines and the whole of Firstbox beside them, for people to play with.

with ServedRack(directory, count=2, port=8010) as rack:
    rack.report()  # where the API and the BMCs are, and what RegisterBMNodes wants to know

The machines' network is a namespace; 127.0.0.1 of the host has a door to the API.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.boot_server import API_PORT
from tests.lab.front_door import FrontDoor
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import PASSWORD, USERNAME, Vm, VmRack

_BUILD = ("image", "build", "all", "--kernel", "cloud", "--no-firmware")
_SECONDS_TO_BUILD = 1800


class ServedRack:
    """Machines that are off and unknown, a ramdisk and an image for them, and a service that waits."""

    def __init__(self, directory: Path, count: int, port: int) -> None:
        self.directory = directory.absolute()
        self.machines = [_machine(number) for number in range(1, count + 1)]
        self._port = port
        self._token = self.directory / "token"
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._door = opened.enter_context(FrontDoor(self._port))
            self._segment = opened.enter_context(Segment("10.77.0.1/24"))
            rack = VmRack(self._segment, self.directory / "vms", self.machines)
            opened.enter_context(rack)
            site = Site(self.directory, self._segment)
            site.service.firstbox(*_BUILD, timeout=_SECONDS_TO_BUILD)
            opened.enter_context(site)
            self._token.touch(mode=0o600)
            self._token.write_text(f"{site.service.token}\n")
            self._door.open_to(self._segment, "127.0.0.1", API_PORT)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def report(self) -> dict[str, Any]:
        """What one must know to use it."""
        return {
            "url": self._door.url,
            "token": str(self._token),
            "enter": self._segment.command(),
            "home": str(self.directory / "home"),
            "consoles": str(self.directory / "vms" / "*.console"),
            "machines": [_registration(vm, number) for number, vm in enumerate(self.machines, 1)],
        }


def _machine(number: int) -> Vm:
    """Half of them have UEFI, and BMCs that are ours."""
    is_odd = number % 2 == 1
    return Vm(
        f"r01n{number:02}",
        f"127.0.99.{number}",
        (f"52:54:00:7a:{number:02x}:01", f"52:54:00:7a:{number:02x}:02"),
        firmware="bios" if is_odd else "uefi",
        bmc="ipmi_sim" if is_odd else "simulator",
        serial_number=f"SN-{number:04}",
    )


def _registration(vm: Vm, number: int) -> dict[str, str]:
    """A machine as RegisterBMNodes takes it."""
    return {
        "hostname": vm.name,
        "serial_number": vm.serial_number,
        "os_version": "12",
        "cpu_arch": "x86_64",
        "boot_mode": vm.firmware,
        "ipmi_network_address": vm.bmc_address,
        "ipmi_username": USERNAME,
        "ipmi_password": PASSWORD,
        "pxe_network_mac_addr": vm.macs[0],
        "mgmt_network_address": f"10.77.0.{10 + number}",
        "mgmt_network_netmask": "255.255.255.0",
        "mgmt_network_gateway": "10.77.0.1",
    }
