"""Neighbours as lldpad 1.1 and lldpd 1.0 told of them, recorded from cables with a switch behind."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import api.hardware
from api.hardware.model import Neighbour, Network, to_json
from api.hardware.parse import parse_probe
from api.store.hardware import _NETWORK_FACTS

PROBE = Path(api.hardware.__file__).parent / "probe.sh"
LINK = "{number}: {name}: <UP,LOWER_UP> mtu 1500 state UP \\    link/ether 52:54:00:00:00:0{number}"
LLDPTOOL = """\
eth0:Chassis ID TLV
eth0:	MAC: 02:1b:d0:00:00:01
eth0:Port ID TLV
eth0:	Ifname: Ethernet1/7
eth0:Time to Live TLV
eth0:	120
eth0:Port Description TLV
eth0:	to a machine, Ethernet1/7
eth0:System Name TLV
eth0:	sw-r01
eth0:End of LLDPDU TLV
eth1:Chassis ID TLV
eth1:	Local: chassis-local
eth1:Port ID TLV
eth1:	MAC: 02:1b:d0:00:00:02
eth1:Time to Live TLV
eth1:	120
eth1:Port Description TLV
eth1:	\x1b[31mport
eth1:desc %end x
eth1:Management Address TLV
eth1:	IPv4: 10.0.0.9
eth1:	Ifindex: 1
eth1:End of LLDPDU TLV"""
LLDPCTL = """\
lldpctl:lldp.eth0.chassis.mac=02:1b:d0:00:00:01
lldpctl:lldp.eth0.chassis.name=sw-r01
lldpctl:lldp.eth0.port.ifname=Ethernet1/7
lldpctl:lldp.eth0.port.descr=to a machine, Ethernet1/7
lldpctl:lldp.eth0.port.ttl=120
lldpctl:lldp.eth1.chassis.local=chassis-local
lldpctl:lldp.eth1.chassis.mgmt-ip=10.0.0.9
lldpctl:lldp.eth1.chassis.mgmt-iface=1
lldpctl:lldp.eth1.port.mac=02:1b:d0:00:00:02
lldpctl:lldp.eth1.port.descr=\x1b[31mport desc %end x
lldpctl:lldp.eth1.port.ttl=120"""

Cards = Callable[..., dict[str, Network]]


@pytest.fixture
def cards(make_probe: Callable[..., str]) -> Cards:
    """The cards of a machine whose LLDP daemon says this, by their names."""

    def read(said: str) -> dict[str, Network]:
        link = [LINK.format(number=number, name=f"eth{number - 1}") for number in (1, 2)]
        text = make_probe(link=link, lldp=said.splitlines())
        return {network.name: network for network in parse_probe(text).networks}

    return read


@pytest.mark.parametrize("said", [LLDPTOOL, LLDPCTL], ids=["lldpad", "lldpd"])
def test_both_daemons_tell_the_switch_and_its_port(cards: Cards, said: str) -> None:
    found = cards(said)

    assert found["eth0"].lldp == Neighbour("sw-r01", "Ethernet1/7")
    assert found["eth1"].lldp is not None
    assert found["eth1"].lldp.switch == "chassis-local"


def test_a_ports_description_stands_for_a_bare_mac(cards: Cards) -> None:
    described = cards(LLDPCTL)["eth1"].lldp
    bare = cards("eth1:Port ID TLV\neth1:\tMAC: 02:1b:d0:00:00:02")["eth1"].lldp

    assert described == Neighbour("chassis-local", "[31mport desc %end x")
    assert bare == Neighbour("", "02:1b:d0:00:00:02")


def test_a_card_without_a_neighbour_says_nothing_about_one(cards: Cards) -> None:
    alone = cards("")["eth0"]

    assert alone.lldp is None
    assert "lldp" not in to_json(alone)


def test_what_a_switch_sends_is_short_and_can_be_printed(cards: Cards) -> None:
    name = "x" * 5000 + "\x1b]0;owned\x07\u202e"

    found = cards(f"eth0:System Name TLV\neth0:\t{name}\neth0:Port ID TLV\neth0:\t\x1b[2J1")

    assert found["eth0"].lldp == Neighbour("x" * 128, "[2J1")
    assert json.dumps(to_json(found["eth0"])).isprintable()


@pytest.mark.parametrize(
    "said",
    ["eth0", "eth0:", "eth0:System Name TLV", "lldpctl:lldp", "lldpctl:lldp.eth0.chassis.name"],
)
def test_half_an_answer_is_no_neighbour(cards: Cards, said: str) -> None:
    assert cards(said)["eth0"].lldp is None


def test_what_describe_nodes_answers_has_no_neighbours() -> None:
    assert "lldp" not in _NETWORK_FACTS


def listen(tmp_path: Path, lldptool: str, wait: int) -> str:
    """The probe's output where `lldptool` is this script, and eth0 the only card."""
    tool = tmp_path / "lldptool"
    tool.write_text(f"#!/bin/sh\n{lldptool}\n")
    tool.chmod(0o755)
    setup = "ip link add eth0 type veth peer name sw0; ip link set eth0 up; ip link set sw0 up"
    script = f"lldp_wait={wait}\n{PROBE.read_text()}"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", f"{setup}; mount -t sysfs s /sys; exec sh"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    return done.stdout


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: needs root")
def test_who_just_began_to_listen_gets_time_to_hear(tmp_path: Path) -> None:
    once = tmp_path / "asked"
    heard = 'printf "System Name TLV\\n\\tsw-late\\n"'
    late = f'[ "$1" = -p ] && exit 0; [ -e {once} ] && {heard}; touch {once}'

    [card] = parse_probe(listen(tmp_path, late, 5)).networks

    assert card.lldp == Neighbour("sw-late", "")


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: needs root")
def test_nobody_waits_for_a_switch_without_being_told_to(tmp_path: Path) -> None:
    count = tmp_path / "count"

    listen(tmp_path, f"echo asked >>{count}", 0)

    assert len(count.read_text().split()) == 2  # is a daemon there, and whom did it hear
