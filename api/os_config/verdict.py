"""Where a network boot broke off, out of what was seen of it."""

from typing import Any

from api.states import BootMethod, Reason

# The last thing that was seen -> what is missing after it. The boot's columns, in order of time.
_CHAIN: tuple[tuple[str, Reason, str], ...] = (
    ("kernel_time", Reason.RAMDISK_SILENT, "fetched its kernel, and then said nothing"),
    ("script_time", Reason.RAMDISK_SILENT, "fetched its boot script, and then said nothing"),
    ("loader_time", Reason.NO_BOOT_SCRIPT, "fetched the loader, but never its boot script"),
    ("offer_time", Reason.NO_BOOT_LOADER, "got an address, but never fetched the loader"),
    ("dhcp_time", Reason.NO_BOOT_LOADER, "asked for an address, and did not take the one offered"),
    ("armed_time", Reason.NO_DHCP_REQUEST, "never asked for an address"),
)


def verdict(boot: Any, seconds: float) -> tuple[Reason, str]:
    """Why a machine did not say hello within `seconds`, as a reason and a sentence's middle."""
    for column, reason, what in _CHAIN:
        if getattr(boot, column) is not None:
            if reason is Reason.RAMDISK_SILENT and boot.method != BootMethod.IMAGE:
                reason = Reason.INSTALLER_SILENT
            return reason, f"{what}, {seconds:.0f} s after its network boot was opened"
    return Reason.BOOT_SERVER_SILENT, "no boot server took notice of its network boot"
