"""Address ranges, as callers give them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from api.errors import Malformed, OverLimit

MAX_RANGE = 1024
_BROADCAST = IPv4Address("255.255.255.255")


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


def _address(field: str, value: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(value)
    except ValueError:
        raise Malformed.field(field, f"{value[:64]!r} is not an IP address") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise Malformed.field(field, f"{value[:64]!r} has a zone; give the address alone")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise Malformed.field(field, f"{value} is an IPv4 address: write {address.ipv4_mapped}")
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        raise Malformed.field(field, f"{value} is not the address of one machine")
    return address
