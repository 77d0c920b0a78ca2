"""The seam to the libraries that speak to BMCs: what one must do to be used here."""

from dataclasses import dataclass
from typing import Literal, Protocol

from api.states import PowerState

PowerOrder = Literal["on", "off", "soft_off", "cycle"]
Device = Literal["none", "pxe", "disk", "other"]


@dataclass(frozen=True, slots=True)
class BootDevice:
    """What a BMC says the machine boots from next."""

    device: Device
    once: bool = False
    uefi: bool = False


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

    def close(self) -> None:
        """Log out: BMCs have few sessions, and keep a forgotten one for a minute."""
