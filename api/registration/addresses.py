"""Addresses and address ranges, as callers give them."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from api.errors import Malformed, OverLimit

MAX_RANGE = 1024
_BROADCAST = IPv4Address("255.255.255.255")
_MAC = re.compile(
    r"([0-9a-f]{2}:){5}[0-9a-f]{2}|([0-9a-f]{2}-){5}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}"
    r"|[0-9a-f]{12}",
    re.ASCII | re.IGNORECASE,
)


def addresses_between(
    ip_start: str, ip_end: str, allowed: Sequence[IPv4Network | IPv6Network]
) -> list[str]:
    """Every address of the inclusive range, in order, in canonical spelling.

    Raises Malformed for anything that is no range of machines we may talk to, OverLimit for more
    than 1024 addresses.
    """
    start, end = _address("ip_start", ip_start), _address("ip_end", ip_end)
    if start.version != end.version:
        raise Malformed.field("ip_end", f"{ip_end} is not of the same family as {ip_start}")
    if int(end) < int(start):
        raise Malformed.field("ip_end", f"{ip_end} comes before {ip_start}")
    size = int(end) - int(start) + 1
    if size > MAX_RANGE:
        raise OverLimit(f"{ip_start} to {ip_end} is {size} addresses; at most {MAX_RANGE} at once.")
    addresses = [type(start)(int(start) + offset) for offset in range(size)]
    for address in addresses:
        if not any(address in network for network in allowed):
            raise Malformed.field(
                "ip_start", f"{address} is outside the networks this service may talk to"
            )
    return [str(address) for address in addresses]


def one_machine(text: str) -> str:
    """The address in canonical spelling. Raises ValueError unless it can be that of one machine."""
    return str(_parsed(text))


def mac_of_one_card(text: str) -> str:
    """The MAC in small letters with colons. Raises ValueError unless it can be that of one card."""
    if not _MAC.fullmatch(text):
        raise ValueError("is not a MAC address such as 0c:c4:7a:88:63:1b")
    digits = re.sub(r"[:.-]", "", text).lower()
    if int(digits[:2], 16) & 1 or not int(digits, 16):
        raise ValueError("is not the MAC address of one network card")
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))


def is_allowed(address: str, allowed: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether this service may talk to it. An IPv4 address in IPv6's clothes is still that one."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return any((mapped or parsed) in network for network in allowed)


def is_allowed_range(start: str, end: str, allowed: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether this service may talk to every address from `start` to `end`."""
    first, last = ip_address(start), ip_address(end)
    own = [network for network in allowed if network.version == first.version]
    missing = int(first)
    for network in sorted(own, key=lambda one: int(one.network_address)):
        if int(network.network_address) <= missing:
            missing = max(missing, int(network.broadcast_address) + 1)
    return missing > int(last)


def _address(field: str, value: str) -> IPv4Address | IPv6Address:
    try:
        return _parsed(value)
    except ValueError as error:
        raise Malformed.field(field, f"{value[:64]!r} {error}") from None


def _parsed(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("is not an IP address") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("has a zone; give the address alone")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"is an IPv4 address: write {address.ipv4_mapped}")
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        raise ValueError("is not the address of one machine")
    return address
