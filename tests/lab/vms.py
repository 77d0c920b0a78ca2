"""Virtual machines behind BMCs, cabled to a segment: they boot, install and run what they are given.

with Segment("10.77.0.1/24") as segment, VmRack(segment, directory, [Vm("r01n01", "127.0.98.1")]) as rack:
    ...  # IPMI at 127.0.98.1, inside the segment's namespace, is the machine's power button
    rack.console("r01n01"), rack.boots("r01n01")

QEMU without KVM, two processors each. A one-time boot device holds for one start: a guest that resets
itself starts in the machine's own order. Everything ends with its owner, however that ends.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from tests.lab.bmc import Profile, Simulator
from tests.lab.bmc.ipmi_sim import IN_BAND_PORT, IpmiSim
from tests.lab.segment import Segment, end_with_parent
from tests.lab.vm_command import OVMF_VARS

_HOOK = Path(__file__).with_name("vm-hook")
_REPOSITORY = Path(__file__).parents[2]
GB = 1_000_000_000
USERNAME, PASSWORD = "ADMIN", "ADMIN-secret"


@dataclass(frozen=True)
class Vm:
    """One machine."""

    name: str
    bmc_address: str
    macs: tuple[str, ...]
    firmware: Literal["bios", "uefi"] = "bios"
    bmc: Literal["ipmi_sim", "simulator"] = "simulator"
    in_band: bool = False  # the machine reaches its own BMC, which must be ipmi_sim
    serial_number: str = ""
    disks: tuple[int, ...] = (9 * GB,)
    memory: int = 2048  # MiB
    order: Literal["disk", "network"] = "disk"  # what it boots from unless told otherwise


class VmRack:
    """The machines and their BMCs, while the context is open; all are off at first."""

    def __init__(self, segment: Segment, directory: Path, machines: Sequence[Vm]) -> None:
        self._segment = segment
        self._directory = directory
        self.machines = {machine.name: machine for machine in machines}
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self._orders: dict[str, IO[bytes]] = {}
        self._open = ExitStack()
        self.bmcs: Simulator | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            for number, machine in enumerate(self.machines.values()):
                self._furnish(machine, number)
            with self._segment.inside():
                for machine in self.machines.values():
                    self._keepers[machine.name] = self._keep(machine)
                self._start_bmcs()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def place(self, name: str) -> Path:
        """Where the machine's files are, without their endings."""
        return self._directory / self.machines[name].bmc_address

    def console(self, name: str) -> str:
        """What the machine wrote to its serial port, from its first start on."""
        file = Path(f"{self.place(name)}.console")
        return file.read_text(errors="replace") if file.exists() else ""

    def boots(self, name: str) -> list[str]:
        """What was first in the boot order at each start: `network` or `disk`."""
        file = Path(f"{self.place(name)}.boots")
        return file.read_text().split() if file.exists() else []

    def is_on(self, name: str) -> bool:
        """Whether the machine has power, whatever its BMC says."""
        file = Path(f"{self.place(name)}.pid")
        return file.exists() and Path("/proc", file.read_text().strip() or "0").exists()

    def disk(self, name: str, number: int = 0) -> Path:
        """One of the machine's disks, to look at and, while the machine is off, to write to."""
        return Path(f"{self.place(name)}.disk{number}")

    def tap(self, name: str, card: int = 0) -> str:
        """The other end of a card's cable, a port of the segment's bridge."""
        return _tap(list(self.machines).index(name), card)

    def order(self, name: str, event: str, what: str = "none") -> None:
        """Do something to the machine without its BMC: what a BMC does to its power, and more.

        `pause` makes it hang, and `resume` ends that; `die` ends it, which nobody tells its BMC.
        """
        self._orders[name].write(f"{event} {what}\n".encode())

    def unplug(self, name: str, card: int = 0) -> None:
        """Pull the cable out of a card; it stays so when the machine is switched off and on."""
        self.order(name, "unplug", f"nic{card}")

    def plug(self, name: str, card: int = 0) -> None:
        """Put it in again."""
        self.order(name, "plug", f"nic{card}")

    def _furnish(self, machine: Vm, number: int) -> None:
        place = self.place(machine.name)
        nics = []
        for card, mac in enumerate(machine.macs):
            tap = _tap(number, card)
            self._segment.ip(f"tuntap add {tap} mode tap")
            self._segment.ip(f"link set {tap} master {self._segment.bridge} up")
            nics.append((tap, mac))
        disks = []
        for disk, size in enumerate(machine.disks):
            file = self.disk(machine.name, disk)
            with file.open("wb") as empty:
                empty.truncate(size)
            disks.append(str(file))
        if machine.firmware == "uefi":
            shutil.copy(OVMF_VARS, f"{place}.vars")
        orders = Path(f"{place}.orders")
        os.mkfifo(orders)
        # Open for reading too, so that nobody waits at a pipe for a keeper.
        pipe = self._open.enter_context(orders.open("r+b", buffering=0))
        self._orders[machine.name] = pipe
        known = {
            "serial_number": machine.serial_number or machine.name,
            "firmware": machine.firmware,
            "memory": machine.memory,
            "order": machine.order,
            "nics": nics,
            "disks": disks,
            "bmc": f"host={machine.bmc_address},port={IN_BAND_PORT}" if machine.in_band else "",
        }
        Path(f"{place}.vm").write_text(json.dumps(known))

    def _keep(self, machine: Vm) -> "subprocess.Popen[bytes]":
        with (self._directory / "keepers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.lab.vm_keeper", str(self.place(machine.name))],
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )

    def _start_bmcs(self) -> None:
        # Board and BMC tell the same serial number, as those of one machine do.
        profiles = {
            machine.bmc_address: Profile(serial=machine.serial_number or machine.name)
            for machine in self.machines.values()
        }
        simulated = [m.bmc_address for m in self.machines.values() if m.bmc == "simulator"]
        self.bmcs = self._open.enter_context(
            Simulator(
                simulated,
                profiles=profiles,
                hook=_HOOK,
                directory=self._directory,
            )
        )
        for machine in self.machines.values():
            if machine.bmc == "ipmi_sim":
                self._open.enter_context(
                    IpmiSim(
                        machine.bmc_address,
                        self._directory,
                        hook=_HOOK,
                        profile=profiles[machine.bmc_address],
                        in_band=machine.in_band,
                    )
                )

    def _close(self) -> None:
        self._open.close()
        for keeper in self._keepers.values():
            keeper.terminate()
            keeper.wait(20)


def _tap(machine: int, card: int) -> str:
    return f"tap{machine}x{card}"
