"""A BMC that does what its script says."""

from collections.abc import Sequence

from api.bmc.client import About, BootDevice, Device, PowerOrder
from api.bmc.target import BmcError, BmcTarget
from api.states import PowerState, Reason

TARGET = BmcTarget("n-one", "127.0.0.1", 623, "ipmi", "ADMIN", "s3cret", boot_mode="uefi")
BUSY = BmcError(Reason.BMC_BUSY, "is busy")
REFUSED = BmcError(Reason.BMC_REFUSED, "refused (D5h)")
SILENT = BmcError(Reason.BMC_SILENT, "fell silent")


class FakeClient:
    """Obeys at once, unless `states` or `troubles` say otherwise."""

    certificate = ""

    def __init__(
        self,
        *states: PowerState | BmcError,
        troubles: Sequence[BmcError] = (),
        kept: BootDevice | None = None,
    ) -> None:
        self.orders: list[str] = []
        self._states = list(states)  # what is answered, in order; the last one from then on
        self._troubles = list(troubles)  # what orders meet, before they are taken
        self._kept = kept

    def power_state(self) -> PowerState:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if isinstance(state, BmcError):
            raise state
        return state

    def set_power(self, order: PowerOrder) -> None:
        self.orders.append(order)
        if self._troubles:
            raise self._troubles.pop(0)

    def boot_device(self) -> BootDevice | None:
        return self._kept

    def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        self.orders.append(f"{device} {'once' if once else 'always'} {uefi}")

    def about(self) -> About:
        return About("Dell Inc.", "PowerEdge R630", "ABC")

    def close(self) -> None:
        """Nothing is open."""
