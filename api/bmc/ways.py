"""How addresses are reached from here: that decides how fast they may be asked.

Only the main routing table counts. Where policy routing or a tunnel makes us wrong, we ask more
slowly than we could, never faster than is good.
"""

import itertools
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_UP, _GATEWAY, _REJECT = 0x1, 0x2, 0x200
_BITS = {4: 32, 6: 128}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Way(Enum):
    """What is between us and an address."""

    DIRECT = "nothing: it is ours, or nobody's"
    ON_LINK = "a network of ours, where its hardware address must be found first"
    ROUTED = "a router"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the routing table."""

    version: int
    first: int
    last: int
    metric: int
    way: Way


def ways_between(
    version: int, first: int, last: int, routes: Sequence[Route]
) -> Iterator[tuple[int, int, Way]]:
    """The range in pieces of one way each."""
    near = [
        route
        for route in routes
        if route.version == version and route.first <= last and first <= route.last
    ]
    # The longest prefix wins, among those of one length the one of the least metric.
    near.sort(key=lambda route: (route.last - route.first, route.metric))
    edges = {first, last + 1} | {edge for route in near for edge in (route.first, route.last + 1)}
    inside = sorted(edge for edge in edges if first <= edge <= last + 1)
    for begin, end in itertools.pairwise(inside):
        way = next((r.way for r in near if r.first <= begin <= r.last), Way.ROUTED)
        yield begin, end - 1, way


def read_routes() -> list[Route]:
    """The routing tables of this network namespace."""
    loopback = 127 << 24
    return [
        Route(4, loopback, loopback + 2**24 - 1, 0, Way.DIRECT),
        *_ipv4_routes(_lines("/proc/thread-self/net/route")),
        *_ipv6_routes(_lines("/proc/thread-self/net/ipv6_route")),
    ]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:  # a kernel without this family
        return []


def _ipv4_routes(lines: Iterable[str]) -> Iterator[Route]:
    for line in list(lines)[1:]:
        device, net, gateway, flags, _, _, metric, mask = line.split()[:8]
        if int(flags, 16) & _UP:
            size = 2**32 - _number(mask)
            way = _way(device, int(flags, 16), has_gateway=int(gateway, 16) != 0)
            yield Route(4, _number(net), _number(net) + size - 1, int(metric), way)


def _ipv6_routes(lines: Iterable[str]) -> Iterator[Route]:
    for line in lines:
        net, prefix, _, _, gateway, metric, _, _, flags, device = line.split()
        size = 2 ** (_BITS[6] - int(prefix, 16))
        way = _way(device, int(flags, 16), has_gateway=int(gateway, 16) != 0)
        yield Route(6, int(net, 16), int(net, 16) + size - 1, int(metric, 16), way)


def _way(device: str, flags: int, *, has_gateway: bool) -> Way:
    if device in ("lo", "*") or flags & _REJECT:
        return Way.DIRECT  # the kernel answers by itself
    return Way.ROUTED if has_gateway or flags & _GATEWAY else Way.ON_LINK


def _number(digits: str) -> int:
    """An IPv4 address as the kernel prints it: in the machine's own byte order."""
    return int.from_bytes(struct.pack("=I", int(digits, 16)), "big")
