"""Profiles: what the machines of a scan become, each by its number.

In texts `{n}` stands for the number, `{n:02}` for the number with leading zeros, and nothing else in
braces for anything.
"""

import json
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from api.errors import FirstboxError, Malformed
from api.registration.attributes import BMNodeAttributes, checked
from api.registration.plan import Range
from api.registration.rules import Fault

_NUMBER = re.compile(r"\{n(?::0([1-9]))?\}")
# What a scan finds out itself, and what two machines never share.
TOLD_BY_BMC = frozenset(
    {"bmc_type", "bmc_port", "ipmi_network_address", "ipmi_username", "ipmi_password"}
)
_NO_PROFILE = TOLD_BY_BMC | {"serial_number", "pxe_network_mac_addr"}


def render(profile: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What machine `number` becomes. Raises Malformed, which names every field at fault."""
    values, faults = rendered(profile, number)
    if faults:
        errors = [{"field": field, "message": message} for field, message in faults]
        raise Malformed("{}: {}".format(*faults[0]), errors)
    return values


def rendered(profile: Mapping[str, Any], number: int) -> tuple[dict[str, Any], list[Fault]]:
    """What machine `number` becomes as far as that makes sense, and what makes none."""
    faults = [fault for name, value in profile.items() for fault in _pattern_faults(name, value)]
    wrong = {name for name, _ in faults}
    filled = {name: _filled(value, number) for name, value in profile.items() if name not in wrong}
    values, more = checked(filled)
    return values, [*faults, *more]


def profile_faults(profile: Mapping[str, Any], ranges: Sequence[Range]) -> list[Fault]:
    """What is wrong with a profile, for the first and the last machine of each range."""
    numbers = {1, *(place_in([one], one.end) for one in ranges)}
    found = [fault for number in sorted(numbers) for fault in rendered(profile, number)[1]]
    first_of_field: dict[str, str] = {}
    for field, message in found:
        first_of_field.setdefault(field, message)
    return list(first_of_field.items())


def place_in(ranges: Sequence[Range], address: str) -> int:
    """An address's place in its range, 1 for the first; 0 where it is in none."""
    parsed = ip_address(address)
    for one in ranges:
        start, end = ip_address(one.start), ip_address(one.end)
        if parsed.version == start.version and int(start) <= int(parsed) <= int(end):
            return int(parsed) - int(start) + 1
    return 0


def read_profile(path: Path) -> dict[str, Any]:
    """The profile in a JSON file. Raises FirstboxError, which says what is wrong with it."""
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FirstboxError(f"The profile {path} cannot be read: {error}") from None
    if not isinstance(profile, dict):
        raise FirstboxError(f"The profile {path} is not a JSON object of fields.")
    faults = profile_faults(profile, [])
    if faults:
        raise FirstboxError("The profile {}: {}: {}".format(path, *faults[0]))
    return profile


def _pattern_faults(name: str, value: Any) -> list[Fault]:
    if name not in BMNodeAttributes.model_fields:
        return [(name[:64], "is no field of a machine")]
    if name in _NO_PROFILE:
        return [(name, "is each machine's own: a profile cannot say it")]
    texts = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return [
        (name, f"{text[:64]!r} has braces, and only {{n}} and {{n:02}} mean something there")
        for text in texts
        if set(_NUMBER.sub("", text)) & {"{", "}"}
    ]


def _filled(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_filled(one, number) for one in value]
    if isinstance(value, str):
        return _NUMBER.sub(lambda found: f"{number:0{found[1] or 1}}", value)
    return value
