"""The seam to the libraries that speak to BMCs: what one must do to be used here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from api.states import PowerState

PowerOrder = Literal["on", "off", "soft_off", "cycle"]
Device = Literal["none", "pxe", "disk", "other"]


@dataclass(frozen=True, slots=True)
class BootDevice:
    """What a BMC says the machine boots from next."""

    device: Device
    once: bool = False
    uefi: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What a BMC tells of itself and its machine; what it keeps to itself, or garbles, is empty.

    Texts are printable and at most 128 characters, MACs in small letters with colons.
    """

    maker: str = ""
    product: str = ""
    serial_number: str = ""
    bmc_mac: str = ""
    boot_macs: tuple[str, ...] = ()  # of the machine's network cards
    hardware: Mapping[str, Any] = field(default_factory=dict)  # cpu, memory, disks, networks
    notes: tuple[str, ...] = ()  # half sentences about what could not be read


class Client(Protocol):
    """One session with one BMC. Every method raises BmcError, and nothing else on purpose."""

    certificate: str
    """SHA-256 of the certificate the BMC showed; "" where the protocol has none."""

    def power_state(self) -> PowerState:
        """On or off."""

    def set_power(self, order: PowerOrder) -> None:
        """Give an order; that the BMC took it does not say the machine followed."""

    def boot_device(self) -> BootDevice | None:
        """What was set; None when the BMC cannot tell, or tells nonsense."""

    def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """Have the machine boot from `device`, the next time or always; `uefi` None leaves the mode
        to the machine."""

    def about(self) -> About:
        """Who made the machine, its serial number and network cards, as far as the BMC tells."""

    def close(self) -> None:
        """Log out: BMCs have few sessions, and keep a forgotten one for a minute."""
