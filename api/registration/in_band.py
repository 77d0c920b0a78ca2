"""A machine's BMC as the machine itself sees it, and the user that is made for us there."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from api.registration.addresses import mac_of_one_card, one_machine

USER = "firstbox"
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-._")
_LENGTH = 16  # what every BMC takes


@dataclass(frozen=True, slots=True)
class InBand:
    """What a BMC said from inside; empty where it did not, or where it was nonsense."""

    channel: str = ""
    address: str = ""
    mac: str = ""
    trouble: str = ""  # why there is nothing to tell of a BMC that is there


def in_band_of(said: Mapping[str, str]) -> InBand | None:
    """Out of what the ramdisk said, by words; None for a machine without a BMC."""
    if "no_bmc" in said:
        return None
    channel, address, mac = (said.get("lan", "").split() + [""] * 3)[:3]
    if not (channel.isascii() and channel.isdigit()):
        return InBand(trouble=said.get("silent") or "its BMC gave no answer in-band")
    try:
        found = InBand(channel[:2], one_machine(address), _mac(mac))
    except ValueError:
        return InBand(trouble="its BMC says no address in-band that could be its own")
    if ip_address(found.address).is_link_local:
        return InBand(trouble=f"its BMC found no DHCP server, and calls itself {found.address}")
    return found


def new_password() -> str:
    """Random, of every kind of character that a BMC's rules may ask for, and safe in any shell."""
    characters = [secrets.choice(kind) for kind in _CLASSES]
    characters += [secrets.choice("".join(_CLASSES)) for _ in range(_LENGTH - 1 - len(_CLASSES))]
    secrets.SystemRandom().shuffle(characters)
    # First a letter: a leading dash is an option to some programs.
    return secrets.choice(string.ascii_letters) + "".join(characters)


def _mac(text: str) -> str:
    try:
        return mac_of_one_card(text)
    except ValueError:
        return ""
