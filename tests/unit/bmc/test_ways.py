"""How addresses are reached, by the kernel's routing tables."""

from ipaddress import ip_address

from api.bmc import ways
from api.bmc.ways import Route, Way, ways_between

# 10.77.0.0/20 on eth0; 10.77.4.0/24 by a router there; 10.77.8.9 is blocked; a default route.
IPV4 = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
eth0\t00044D0A\t01004D0A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t09084D0A\t00000000\t0205\t0\t0\t0\tFFFFFFFF\t0\t0\t0
eth1\t00004D0A\t00000000\t0000\t0\t0\t0\t00F0FFFF\t0\t0\t0
"""
IPV6 = """\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd0000000000000000000000000000fe 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
"""


def between(first: str, last: str, routes: list[Route]) -> list[tuple[str, str, Way]]:
    start = ip_address(first)
    pieces = ways_between(start.version, int(start), int(ip_address(last)), routes)
    make = type(start)
    return [(str(make(begin)), str(make(end)), way) for begin, end, way in pieces]


def test_an_ipv4_range_falls_into_pieces_of_one_way_each() -> None:
    routes = list(ways._ipv4_routes(IPV4.splitlines()))

    assert between("10.76.255.255", "10.77.16.1", routes) == [
        ("10.76.255.255", "10.76.255.255", Way.ROUTED),
        ("10.77.0.0", "10.77.3.255", Way.ON_LINK),
        ("10.77.4.0", "10.77.4.255", Way.ROUTED),
        ("10.77.5.0", "10.77.8.8", Way.ON_LINK),
        ("10.77.8.9", "10.77.8.9", Way.DIRECT),
        ("10.77.8.10", "10.77.15.255", Way.ON_LINK),
        ("10.77.16.0", "10.77.16.1", Way.ROUTED),
    ]


def test_an_ipv6_range_falls_into_pieces_of_one_way_each() -> None:
    routes = list(ways._ipv6_routes(IPV6.splitlines()))

    assert between("fd00::", "fd00::ff", routes) == [
        ("fd00::", "fd00::", Way.ON_LINK),
        ("fd00::1", "fd00::1", Way.DIRECT),
        ("fd00::2", "fd00::ff", Way.ON_LINK),
    ]
    assert between("fd01::1", "fd01::2", routes) == [("fd01::1", "fd01::2", Way.ROUTED)]


def test_where_there_is_no_route_we_are_careful() -> None:
    assert between("10.0.0.1", "10.0.0.1", []) == [("10.0.0.1", "10.0.0.1", Way.ROUTED)]


def test_loopback_is_direct_in_this_namespace() -> None:
    assert between("127.0.0.1", "127.9.9.9", ways.read_routes()) == [
        ("127.0.0.1", "127.9.9.9", Way.DIRECT)
    ]
