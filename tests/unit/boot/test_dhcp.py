"""What dnsmasq 2.90 wrote into its log, and what it means."""

import pytest

from api.boot.dhcp import Armed, Kind, Listener, Said, boots_file

MAC = "52:54:00:00:00:01"
URL = "http://10.77.0.1/boot/b-AAAAAAAA-00000000000000000000000000000000/script.ipxe"
BOOT = Armed("b-AAAAAAAA", MAC, URL)

RECORDED = f"""\
dnsmasq-dhcp[28635]: DHCP, IP range 10.77.0.100 -- 10.77.0.200, lease time 1h
dnsmasq-dhcp[28635]: DHCP, sockets bound exclusively to interface br0
dnsmasq-dhcp[28635]: 4114443380 available DHCP range: 10.77.0.100 -- 10.77.0.200
dnsmasq-dhcp[28635]: 4114443380 vendor class: PXEClient:Arch:00000:UNDI:002001
dnsmasq-dhcp[28635]: 4114443380 DHCPDISCOVER(br0) {MAC}
dnsmasq-dhcp[28635]: 4114443380 tags: b-AAAAAAAA, known, br0
dnsmasq-dhcp[28635]: 4114443380 DHCPOFFER(br0) 10.77.0.156 {MAC}
dnsmasq-dhcp[28635]: 4114443380 sent size: 87 option: 67 bootfile-name {URL}
dnsmasq-dhcp[28635]: 4114443381 vendor class: udhcp 1.35.0
dnsmasq-dhcp[28635]: 4114443381 DHCPREQUEST(br0) 10.77.0.156 {MAC}
dnsmasq-dhcp[28635]: 4114443381 DHCPACK(br0) 10.77.0.156 {MAC}
dnsmasq-dhcp[28635]: 874373185 vendor class: PXEClient:Arch:00007:UNDI:003001
dnsmasq-dhcp[28635]: 874373185 DHCPDISCOVER(br0) 52:54:00:00:00:02 ignored
dnsmasq-dhcp[28635]: 874373186 vendor class: udhcp 1.35.0
dnsmasq-dhcp[28635]: 874373186 DHCPDISCOVER(br0) 52:54:00:00:00:02 ignored
dnsmasq-dhcp[28635]: 1 PXE(br0) {MAC} proxy
dnsmasq-dhcp[28635]: 2 PXE(br0) 52:54:00:00:00:02 proxy-ignored
dnsmasq-tftp[28636]: TFTP root is /var/lib/firstbox/boot/tftp secure mode
dnsmasq-tftp[28636]: sent /var/lib/firstbox/boot/tftp/undionly.kpxe to 10.77.0.156
dnsmasq-tftp[28636]: file /var/lib/firstbox/boot/tftp/pxelinux.0 not found for 10.77.0.156
dnsmasq[28636]: exiting on receipt of SIGTERM
"""
STRANGER = "52:54:00:00:00:02"
MEANT = [
    Said(Kind.READY),
    Said(Kind.ASKED, MAC, is_network_boot=True),
    Said(Kind.OFFERED, MAC, "10.77.0.156", is_network_boot=True),
    Said(Kind.ASKED, MAC, "10.77.0.156"),
    Said(Kind.GIVEN, MAC, "10.77.0.156"),
    Said(Kind.IGNORED, STRANGER, is_network_boot=True),
    Said(Kind.IGNORED, STRANGER),
    Said(Kind.POINTED, MAC, is_network_boot=True),
    Said(Kind.IGNORED, STRANGER, is_network_boot=True),
    Said(Kind.SENT, address="10.77.0.156", file="undionly.kpxe"),
    Said(Kind.NOT_FOUND, address="10.77.0.156", file="pxelinux.0"),
]


def test_recorded_lines_are_understood() -> None:
    listener = Listener()
    said = [listener.understand(line) for line in RECORDED.splitlines()]
    assert [one for one in said if one is not None] == MEANT


@pytest.mark.parametrize(
    "line",
    [
        "",
        "dnsmasq-dhcp: 12 DHCPDISCOVER(br0)",
        "dnsmasq-dhcp: 12 DHCPNAK(br0) 10.77.0.1 52:54:00:00:00:01 wrong network",
        f"x dnsmasq-dhcp: 12 DHCPDISCOVER(br0) {MAC}",
        # A machine's own words, which dnsmasq repeats.
        f"dnsmasq-dhcp: 12 client provides name: 12 DHCPACK(br0) 10.77.0.9 {MAC}",
    ],
)
def test_other_lines_mean_nothing(line: str) -> None:
    assert Listener().understand(line) is None


def test_a_thousand_requests_without_an_end_are_not_remembered_for_ever() -> None:
    listener = Listener()
    for number in range(5000):
        listener.understand(f"dnsmasq-dhcp: {number} vendor class: PXEClient")
    said = listener.understand(f"dnsmasq-dhcp: 4999 DHCPDISCOVER(br0) {MAC}")
    assert said == Said(Kind.ASKED, MAC, is_network_boot=True)
    assert len(listener._boots) <= 1000


@pytest.mark.parametrize(("server", "more"), [("", ""), ("10.77.0.1", ",,10.77.0.1")])
def test_dnsmasq_reads_who_is_answered_and_where_its_script_is(server: str, more: str) -> None:
    assert boots_file([BOOT], server) == (
        f"dhcp-host={MAC},set:b-AAAAAAAA\ndhcp-boot=tag:b-AAAAAAAA,tag:ipxe,{URL}{more}\n"
    )
