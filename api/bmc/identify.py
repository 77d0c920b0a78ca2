"""What BMCs say of their machines, made fit for logs, terminals and the database."""

import json
import re
from collections.abc import Iterable
from typing import Any

from api.bmc.client import About, BootDevice
from api.hardware.system import brand_name, real_value
from api.states import PowerState

MOST_TEXT = 128
MOST_MACS = 32
_MOST_DETAILS = 32_000  # bytes of JSON: half of a line that our processes may send each other
# Sequences that move cursors or colour terminals; what is left of others is not printable.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -~]"
)
_MAC = re.compile(r"[0-9a-f]{12}")


def text_of(value: object) -> str:
    """A name or number as it may be shown; "" for placeholders and for what is no text."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        value = str(value)
    if not isinstance(value, str):
        return ""
    plain = _ESCAPES.sub("", value[: 8 * MOST_TEXT])
    shown = "".join(one if one.isprintable() else " " for one in plain)
    return real_value(shown)[:MOST_TEXT].rstrip()


def mac_of(value: object) -> str:
    """A network card's MAC in small letters with colons; "" for what cannot be one."""
    if isinstance(value, bytes):
        value = value.hex()
    if not isinstance(value, str):
        return ""
    digits = re.sub("[:.-]", "", value.strip().lower()[:32])
    if not _MAC.fullmatch(digits) or int(digits[1], 16) & 1 or not digits.strip("0"):
        return ""  # groups have an odd first byte, the broadcast among them
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))


def several_macs(values: Iterable[object]) -> tuple[str, ...]:
    """Those that are MACs, each once, and not endlessly many."""
    found = dict.fromkeys(mac for value in values if (mac := mac_of(value)))
    return tuple(list(found)[:MOST_MACS])


def describe(about: About, power: PowerState, device: BootDevice | None) -> str:
    """A sentence for the log."""
    name = f"{about.maker} {about.product}".strip()
    parts = [f"is a {name}" if name else "does not say what it is"]
    parts += [f"serial number {about.serial_number}"] if about.serial_number else []
    parts += [str(power)] if power else []
    sentence = ", ".join(parts)
    if about.boot_macs:
        sentence += f"; boot MACs {', '.join(about.boot_macs)}"
    if device is not None and device.device != "none":
        how = "once" if device.once else "always"
        sentence += f"; told to boot {how} from {device.device}"
    return "; ".join([sentence, *about.notes])


def details_of(about: About, device: BootDevice | None) -> dict[str, Any]:
    """What was read, as JSON can carry it: the fields of `Identity`, and boot_device."""
    details = {
        "brand": brand_name(about.maker),
        "product": about.product,
        "serial_number": about.serial_number,
        "bmc_mac": about.bmc_mac,
        "boot_macs": list(about.boot_macs),
        "boot_device": device.device if device else "",
        "hardware": dict(about.hardware),
    }
    if len(json.dumps(details)) > _MOST_DETAILS:
        details["hardware"] = {}
    return details
