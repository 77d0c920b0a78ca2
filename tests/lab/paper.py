"""Paper machines behind simulated BMCs: what a machine does on the network until it boots, no more.

with Segment("10.77.0.1/24") as segment, PaperRack(segment, directory, machines):
    ...  # a network boot asked for over IPMI makes real DHCP, TFTP and HTTP requests

For what a boot server sees, and for everything that goes wrong before a ramdisk runs. `tests/lab/vms` has
machines with processors and disks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.lab.bmc import Profile, Simulator
from tests.lab.segment import Segment

_HOOK = Path(__file__).with_name("paper-machine")
Reach = Literal["nothing", "dhcp", "loader", "script", "kernel", "hello"]


@dataclass(frozen=True)
class PaperMachine:
    """One machine: where its BMC is, and how far its network boot comes."""

    bmc_address: str
    mac: str
    goes_to: Reach = "hello"
    serial_number: str = ""
    order: Literal["disk", "network"] = "disk"  # what it boots from unless told otherwise
    profile: Profile = field(default_factory=Profile)


class PaperRack:
    """Machines cabled to a segment, and their BMCs, while the context is open."""

    def __init__(self, segment: Segment, directory: Path, machines: Sequence[PaperMachine]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        for machine in machines:
            host = segment.add_host(machine.mac)
            values = {
                "namespace": host.namespace,
                "mac": machine.mac,
                "goes_to": machine.goes_to,
                "serial_number": machine.serial_number,
                "order": machine.order,
            }
            text = "".join(f"{name}='{value}'\n" for name, value in values.items())
            (directory / f"{machine.bmc_address}.machine").write_text(text)
        self._segment = segment
        self._bmcs = Simulator(
            [machine.bmc_address for machine in machines],
            profiles={machine.bmc_address: machine.profile for machine in machines},
            hook=_HOOK,
            directory=directory,
        )

    def __enter__(self) -> Self:
        with self._segment.inside():  # a thread stays where it was made
            self.bmcs = self._bmcs.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bmcs.__exit__(kind, error, trace)

    def boots(self, bmc_address: str) -> list[str]:
        """What the machine was to boot from, each time it started."""
        file = self._directory / f"{bmc_address}.boots"
        return file.read_text().split() if file.exists() else []

    def log(self, bmc_address: str) -> str:
        """What the machine did, for reading after a failure."""
        file = self._directory / f"{bmc_address}.paper"
        return file.read_text(errors="replace") if file.exists() else ""
