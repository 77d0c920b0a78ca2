"""Interfaces: which are listed, what is nested, and who tells."""

from collections.abc import Callable

import pytest

from api.hardware.parse import parse_probe

MakeProbe = Callable[..., str]
MAC = "52:54:00:00:00:{:02x}"


def link(index: int, name: str, detail: str = "", master: str = "", flags: str = "UP") -> str:
    mac, owner = MAC.format(index), f" master {master}" if master else ""
    line = (
        f"{index}: {name}: <{flags}> mtu 1500 qdisc mq{owner} state UP \\    link/ether {mac} brd"
    )
    return f"{line} ff:ff:ff:ff:ff:ff promiscuity 0 \\    {detail} " if detail else line


def address(index: int, name: str, text: str, rest: str = "scope global") -> str:
    family = "inet6" if ":" in text else "inet"
    return f"{index}: {name}    {family} {text} {rest} {name}\\       valid_lft forever"


LO = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN \\    link/loopback 00:00:00:00:00:00 brd"


@pytest.mark.parametrize(
    "detail",
    ["veth", "tun type tap pi off", "vxlan id 4 dev eth0", "ifb", "wireguard", "ipip any", "dummy"],
)
def test_virtual_interface_is_not_listed(detail: str, make_probe: MakeProbe) -> None:
    hardware = parse_probe(make_probe(link=[LO, link(2, "eth0"), link(3, "virt0", detail)]))

    assert [network.name for network in hardware.networks] == ["eth0"]


@pytest.mark.parametrize("detail", ["altname enp1s0", "vf 0 link/ether 0", "prog/xdp id 5"])
def test_what_ip_adds_to_a_plain_device_is_no_kind(detail: str, make_probe: MakeProbe) -> None:
    hardware = parse_probe(make_probe(link=[link(2, "eth0", detail)], address=[]))

    assert [network.name for network in hardware.networks] == ["eth0"]


def test_veth_with_an_address_is_the_wire_of_a_container(make_probe: MakeProbe) -> None:
    hardware = parse_probe(
        make_probe(
            link=[LO, link(5, "eth0@if6", "veth"), link(7, "cali1@if4", "veth")],
            address=[address(5, "eth0", "192.0.2.5/24"), address(7, "cali1", "10.244.0.1/32")],
        )
    )

    assert [network.name for network in hardware.networks] == ["eth0"]


def test_bridge_without_a_port_to_the_outside_is_not_listed(make_probe: MakeProbe) -> None:
    hardware = parse_probe(
        make_probe(
            link=[
                link(2, "eth0"),
                link(3, "docker0", "bridge x 1"),
                link(4, "v0", "veth", "docker0"),
            ],
            address=[address(2, "eth0", "192.0.2.5/24"), address(3, "docker0", "172.17.0.1/16")],
        )
    )

    assert [network.name for network in hardware.networks] == ["eth0"]


def test_tunnel_we_reached_the_machine_through_is_listed(make_probe: MakeProbe) -> None:
    text = make_probe(
        link=[link(2, "eth0"), link(3, "wg0", "wireguard")],
        address=[address(2, "eth0", "192.0.2.5/24"), address(3, "wg0", "198.51.100.3/24")],
    )

    hardware = parse_probe(text, "198.51.100.3")

    assert [network.name for network in hardware.networks] == ["eth0", "wg0"]
    assert hardware.mgmt_network.name == "wg0"


def test_bridge_with_two_ports_nests_the_first_and_names_both(make_probe: MakeProbe) -> None:
    ports = [link(2, "eth0", "bridge_slave state forwarding", "br0"), link(3, "eth1", "", "br0")]
    bridge = link(4, "br0", "bridge forward_delay 1500")

    hardware = parse_probe(make_probe(link=[*ports, bridge], address=[]))

    assert [network.name for network in hardware.networks] == ["eth1", "br0"]
    found = hardware.networks[1]
    assert (found.raw_device, found.raw_device_type) == ("eth0", "common")
    assert found.slave_devices == "eth0,eth1"


def test_bond_below_a_nested_vlan_is_listed_by_itself(make_probe: MakeProbe) -> None:
    hardware = parse_probe(
        make_probe(
            link=[
                link(2, "eth0", "bond_slave state ACTIVE perm_hwaddr 52:54:00:00:00:aa", "bond0"),
                link(3, "bond0", "bond mode 802.3ad miimon 100"),
                link(4, "bond0.7@bond0", "vlan protocol 802.1Q id 7 <REORDER_HDR>", "br0"),
                link(5, "br0", "bridge forward_delay 1500"),
            ]
        )
    )

    assert [network.name for network in hardware.networks] == ["eth0", "bond0", "br0"]
    assert hardware.networks[0].mac_address == "52:54:00:00:00:aa"
    assert (hardware.networks[1].bond_mode, hardware.networks[1].slave_devices) == (4, "eth0")
    assert hardware.networks[2].raw_device_info is not None
    assert hardware.networks[2].raw_device_info.raw_device == "bond0"


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("load balancing (round-robin)", 0),
        ("fault-tolerance (active-backup)", 1),
        ("load balancing (xor)", 2),
        ("fault-tolerance (broadcast)", 3),
        ("IEEE 802.3ad Dynamic link aggregation", 4),
        ("transmit load balancing", 5),
        ("adaptive load balancing", 6),
    ],
)
def test_bond_is_known_from_proc_where_ip_tells_no_details(
    mode: str, number: int, make_probe: MakeProbe
) -> None:
    path = "/proc/net/bonding/bond0"
    procnet = [
        f"{path}:Bonding Mode: {mode}",
        f"{path}:Slave Interface: eth0",
        f"{path}:Permanent HW addr: 52:54:00:00:00:bb",
    ]

    hardware = parse_probe(make_probe(link=[link(2, "eth0"), link(3, "bond0")], procnet=procnet))

    slave, bond = hardware.networks
    assert (bond.type, bond.bond_mode, bond.slave_devices) == ("bond", number, "eth0")
    assert slave.mac_address == "52:54:00:00:00:bb"


def test_sys_of_another_network_namespace_is_not_believed(make_probe: MakeProbe) -> None:
    sysnet = ["eth0/address:02:00:00:00:00:99", "eth0/ifindex:2", "eth0/speed:10000"]

    hardware = parse_probe(make_probe(link=[link(2, "eth0")], sysnet=sysnet))

    assert hardware.networks[0].speed == 0
    assert hardware.networks[0].mac_address == MAC.format(2)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["eth0", "192.0.2.5/24"], ("192.0.2.5", "255.255.255.0", "192.0.2.0/24")),
        (["eth0", "2001:db8::5/64"], ("2001:db8::5", "64", "2001:db8::/64")),
        (["eth0", "fe80::5/64", "scope link"], ("", "", "")),
        (["eth0", "2001:db8::5/64", "scope global temporary dynamic"], ("", "", "")),
        (["eth0", "192.0.2.5", "peer 192.0.2.6/30 scope global"], ("192.0.2.5", "255.255.255.252", "192.0.2.4/30")),
        (["eth0", "fe80::1%eth0/64"], ("", "", "")),
        (["eth0", "999.1.1.1/24"], ("", "", "")),
    ],
)  # fmt: skip
def test_address_is_written_in_the_references_form(
    lines: list[str], expected: tuple[str, str, str], make_probe: MakeProbe
) -> None:
    hardware = parse_probe(make_probe(link=[link(2, "eth0")], address=[address(2, *lines)]))

    network = hardware.networks[0]
    assert (network.address, network.netmask, network.network) == expected


def test_ifconfig_of_net_tools_is_read_too(make_probe: MakeProbe) -> None:
    ifconfig = [
        "eth0: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500",
        "        inet 192.0.2.15  netmask 255.255.255.128  broadcast 192.0.2.127",
        "        inet6 2001:db8::15  prefixlen 64  scopeid 0x0<global>",
        "        inet6 fe80::a00:27ff:fe4e:66a1  prefixlen 64  scopeid 0x20<link>",
        "        ether 08:00:27:4e:66:a1  txqueuelen 1000  (Ethernet)",
    ]
    sysnet = ["eth0/address:08:00:27:4e:66:a1", "eth0/ifindex:2", "eth0/mtu:1500", "eth0/carrier:1"]

    hardware = parse_probe(make_probe(link=[], address=ifconfig, sysnet=sysnet), "2001:db8::15")

    network = hardware.networks[0]
    assert (network.address, network.netmask) == ("192.0.2.15", "255.255.255.128")
    assert (network.mac_address, network.link) == ("08:00:27:4e:66:a1", "up")
    assert (hardware.mgmt_network.address, hardware.mgmt_network.netmask) == ("2001:db8::15", "64")


def test_default_route_with_the_lowest_metric_is_managed(make_probe: MakeProbe) -> None:
    route = "/proc/net/route:{}\t00000000\t{}\t0003\t0\t0\t{}\t00000000\t0\t0\t0"

    hardware = parse_probe(
        make_probe(
            link=[link(2, "eth0"), link(3, "eth1")],
            address=[address(2, "eth0", "192.0.2.5/24"), address(3, "eth1", "198.51.100.5/24")],
            procnet=[route.format("eth0", "010200C0", 200), route.format("eth1", "016433C6", 100)],
        )
    )

    assert [network.gateway for network in hardware.networks] == ["192.0.2.1", "198.51.100.1"]
    assert hardware.mgmt_network.name == "eth1"
