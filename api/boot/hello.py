"""What a booted ramdisk tells about itself: a form, each field checked and bounded.

Whoever has the boot's token can send it, so nothing of it is believed further than it is checked.
"""

import re
from typing import Any
from urllib.parse import parse_qsl

from api.errors import Malformed

_MOST_FIELDS = 200
_MOST_NICS = 64
_TEXT = re.compile(r"[\x20-\x7e]{0,128}", re.ASCII)
_HOST_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}={0,2}(?: [\x21-\x7e]{0,64})?", re.ASCII)
_NIC = re.compile(r"([0-9A-Za-z._:@-]{1,32}),((?:[0-9a-f]{2}:){5}[0-9a-f]{2}),([01])", re.ASCII)
_BOOT_MODES = ("bios", "uefi")
# What not every machine can say of itself: its BMC may be absent, or not answer it.
_OPTIONAL = ("uuid", "bmc_address", "bmc_mac")


def read_form(body: bytes) -> dict[str, list[str]]:
    """Fields of an `application/x-www-form-urlencoded` body. Raises Malformed."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:  # UnicodeError is one too
        raise Malformed(f"The request body is not a form: {error}.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def read_hello(body: bytes) -> dict[str, Any]:
    """The hello, as the boot's row keeps it. Raises Malformed."""
    form = read_form(body)
    boot_mode, host_key = _text(form, "boot_mode"), _only(form, "host_key")
    if boot_mode not in _BOOT_MODES:
        raise Malformed.field("boot_mode", f"is {boot_mode!r}, not bios or uefi")
    if not _HOST_KEY.fullmatch(host_key):
        raise Malformed.field("host_key", "is not the public key of an Ed25519 host key")
    texts = {name: _text(form, name) for name in ("serial_number", "product", "brand", "cpu_arch")}
    more = {name: _text(form, name) if name in form else "" for name in _OPTIONAL}
    return {
        **texts,
        **more,
        "memory_kib": _number(form, "memory_kib", 2**40),
        "boot_mode": boot_mode,
        "host_key": " ".join(host_key.split()[:2]),
        "nics": _nics(form.get("nic", [])),
    }


def read_progress(body: bytes) -> int:
    """How much of its image a machine has written, in percent. Raises Malformed."""
    return _number(read_form(body), "percent", 100)


def _nics(words: list[str]) -> list[dict[str, Any]]:
    if not 0 < len(words) <= _MOST_NICS:
        raise Malformed.field("nic", f"is there {len(words)} times, not 1 to {_MOST_NICS}")
    nics = []
    for word in words:
        parts = _NIC.fullmatch(word)
        if parts is None:
            raise Malformed.field("nic", f"is {word[:64]!r}, not name,MAC,0 or 1")
        nics.append({"name": parts[1], "mac": parts[2], "carrier": parts[3] == "1"})
    return nics


def _only(form: dict[str, list[str]], name: str) -> str:
    values = form.get(name, [])
    if len(values) != 1:
        raise Malformed.field(name, f"is there {len(values)} times, not once")
    return values[0].strip()


def _text(form: dict[str, list[str]], name: str) -> str:
    value = _only(form, name)
    if not _TEXT.fullmatch(value):
        raise Malformed.field(name, f"is {value[:64]!r}, not up to 128 printable characters")
    return value


def _number(form: dict[str, list[str]], name: str, most: int) -> int:
    value = _only(form, name)
    if not re.fullmatch(r"[0-9]{1,15}", value, re.ASCII) or int(value) > most:
        raise Malformed.field(name, f"is {value[:64]!r}, not a number from 0 to {most}")
    return int(value)
