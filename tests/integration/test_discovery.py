"""Strangers at a real boot server: who of them is answered, and until when."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from api.store.bm_nodes import BM_NODE
from api.store.boots import BOOT
from api.store.session import reading, writing
from tests.lab.boot_server import ADDRESS, BootServer
from tests.lab.netboot import (
    FIRMWARE,
    LOADER,
    SYSTEM,
    ask_dhcp,
    foreign_server,
    virtual_machine,
)
from tests.lab.paper import PaperMachine, PaperRack
from tests.lab.segment import Host, Segment
from tests.service import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

MOST = 2
PAPER = PaperMachine("127.0.94.1", "52:54:00:78:00:01", serial_number="SN-PAPER", order="network")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    """A boot server that discovers, two machines at a time."""
    place = tmp_path_factory.mktemp("discovery")
    settings = {"discovery": True, "discovery_most": MOST}
    with (
        Segment(f"{ADDRESS}/24") as segment,
        BootServer(place, segment, **settings) as running,
    ):
        running.add_ramdisk(fill)
        yield running


def fill(directory: Path) -> None:
    (directory / "kernel").write_bytes(b"not a kernel")
    (directory / "initrd").write_bytes(b"nor an initrd")


@pytest.fixture(autouse=True)
def nobody_is_at_it(server: BootServer) -> None:
    """What was discovered before takes nobody's place."""
    with writing(server.engine) as connection:
        connection.execute(update(BOOT).where(BOOT.c.node_id.is_(None)).values(expire_time=1.0))


_next_mac = iter(range(0x21, 0xFF))


def new_mac() -> str:
    return f"52:54:00:78:00:{next(_next_mac):02x}"


@pytest.fixture
def mac() -> str:
    """A MAC of the test's own."""
    return new_mac()


@pytest.fixture
def host(server: BootServer, mac: str) -> Host:
    """A machine on the network with that MAC."""
    return server.segment.add_host(mac)


def is_let_in(server: BootServer, mac: str) -> bool:
    """Whether there is a discovery of this machine."""
    query = select(BOOT.c.boot_id).where(BOOT.c.mac == mac, BOOT.c.node_id.is_(None))
    with reading(server.engine) as connection:
        return connection.execute(query).first() is not None


def is_heard(server: BootServer, mac: str) -> bool:
    return f"{mac} asks for an address" in server.said("keeper")


def test_a_stranger_that_boots_over_the_network_is_answered_from_its_next_request_on(
    server: BootServer, host: Host, mac: str, tmp_path: Path
) -> None:
    told = ask_dhcp(host, tmp_path, FIRMWARE, seconds=8)
    assert told["bootfile"] == "undionly.kpxe"
    assert f"{server.url}/boot/b-" in ask_dhcp(host, tmp_path, LOADER)["bootfile"]
    said = server.said("keeper")
    assert f"{mac} is unknown and boots over the network: the ramdisk" in said
    wait_until(
        lambda: f"{mac}: has {told['ip']} (DHCP)" in server.said("keeper"), 5, what="is said"
    )


def test_a_stranger_with_an_operating_system_is_not(
    server: BootServer, host: Host, mac: str, tmp_path: Path
) -> None:
    assert ask_dhcp(host, tmp_path, SYSTEM, seconds=6) == {}
    assert is_heard(server, mac)
    assert not is_let_in(server, mac)


def test_a_registered_machine_is_not(
    server: BootServer, host: Host, mac: str, tmp_path: Path
) -> None:
    server.add_machine(mac)
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=6) == {}
    assert is_heard(server, mac)
    assert not is_let_in(server, mac)


def test_more_than_are_allowed_at_a_time_are_not_until_one_is_through(
    server: BootServer, host: Host, mac: str, tmp_path: Path
) -> None:
    others = [new_mac() for _ in range(MOST)]
    for number, other in enumerate(others):
        place = tmp_path / str(number)
        place.mkdir()
        assert ask_dhcp(server.segment.add_host(other), place, FIRMWARE, seconds=8)
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=6) == {}
    expire(server, others[0], 1)
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=12)


def test_a_stranger_whose_time_is_over_waits_for_its_next_one(
    server: BootServer, host: Host, mac: str, tmp_path: Path
) -> None:
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=8)
    before = server.starts()
    expire(server, mac, 1)
    wait_until(lambda: server.starts() > before, 10, what="DHCP knows")
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=6) == {}
    expire(server, mac, 601)
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=12)


def expire(server: BootServer, mac: str, seconds: float) -> None:
    """Let a discovery have been over for so long."""
    over = time.time() - seconds
    with writing(server.engine) as connection:
        connection.execute(update(BOOT).where(BOOT.c.mac == mac).values(expire_time=over))


def test_beside_another_dhcp_server_a_stranger_is_let_in_too(tmp_path: Path, mac: str) -> None:
    with (
        Segment(f"{ADDRESS}/24") as segment,
        foreign_server(segment, tmp_path),
        BootServer(tmp_path, segment, mode="proxy", discovery=True) as server,
    ):
        server.add_ramdisk(fill)
        with virtual_machine(segment, mac):
            wait_until(
                lambda: f"{mac}: is told what to boot" in server.said("keeper"), 90, what="is"
            )
            wait_until(lambda: f"{mac}: fetched the kernel" in server.said("api"), 90, what="boots")


def test_a_machine_that_said_hello_is_registered_and_answered_no_more(
    server: BootServer, tmp_path: Path
) -> None:
    with PaperRack(server.segment, tmp_path, [PAPER]) as rack:
        login = ("-I", "lanplus", "-H", PAPER.bmc_address, "-U", "ADMIN", "-P", "ADMIN-secret")
        assert server.segment.run("ipmitool", *login, "power", "on").returncode == 0
        wait_until(lambda: machines(server), 40, what=f"it is known: {rack.log(PAPER.bmc_address)}")
    [row] = machines(server)
    assert (row.status, row.serial_number) == ("discovered", "SN-PAPER")
    assert row.pxe_network_mac_addr == PAPER.mac


def machines(server: BootServer) -> list[object]:
    query = select(BM_NODE).where(BM_NODE.c.pxe_network_mac_addr == PAPER.mac)
    with reading(server.engine) as connection:
        return list(connection.execute(query).all())
