"""The boot server on a network of its own, as the role sets it up, asked by real clients."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, text

from api.store.boots import close_boots, set_local
from api.store.session import writing
from tests.lab.boot_server import ADDRESS, RAMDISK, BootServer
from tests.lab.netboot import (
    FIRMWARE,
    LOADER,
    SYSTEM,
    UEFI,
    ask_dhcp,
    fetch,
    foreign_server,
    virtual_machine,
)
from tests.lab.segment import Host, Segment
from tests.service import children, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    """A boot server that gives addresses."""
    place = tmp_path_factory.mktemp("boot")
    with Segment(f"{ADDRESS}/24") as segment, BootServer(place, segment) as running:
        running.add_ramdisk(fill)
        yield running


def fill(directory: Path) -> None:
    (directory / "kernel").write_bytes(b"not a kernel")
    (directory / "initrd").write_bytes(b"nor an initrd")


_next_mac = iter(range(0x21, 0xFF))


@pytest.fixture
def mac() -> str:
    """A MAC of the test's own."""
    return f"52:54:00:00:00:{next(_next_mac):02x}"


@pytest.fixture
def host(server: BootServer, mac: str) -> Host:
    """A machine on the network with that MAC."""
    return server.segment.add_host(mac)


@pytest.fixture
def boot(server: BootServer, mac: str) -> Row[Any]:
    """Its open boot."""
    return server.open_boot(server.add_machine(mac), mac)


def log(server: BootServer, boot: Row[Any]) -> str:
    return "\n".join(server.log(boot.job_id))


def test_a_machine_with_an_open_boot_gets_loader_and_script(
    server: BootServer, host: Host, boot: Row[Any], tmp_path: Path
) -> None:
    told = ask_dhcp(host, tmp_path, FIRMWARE)
    assert told["bootfile"] == "undionly.kpxe"
    assert told["siaddr"] == ADDRESS
    assert ask_dhcp(host, tmp_path, UEFI)["bootfile"] == "snponly.efi"
    loader = fetch(host, f"tftp://{ADDRESS}/undionly.kpxe")
    assert loader == Path("/usr/lib/ipxe/undionly.kpxe").read_bytes()
    script = ask_dhcp(host, tmp_path, LOADER)["bootfile"]
    assert script == f"{server.url}/boot/{server.token(boot)}/script.ipxe"
    assert fetch(host, script).startswith(b"#!ipxe\n")
    seen = "script_time", "loader_time", "offer_time", "dhcp_time", "armed_time"
    wait_until(lambda: all(has(server, boot, name) for name in seen), 5, what="all is noted down")
    lines = log(server, boot)
    for line in (
        "the boot server is ready for it",
        "asks to boot over the network (DHCP)",
        f"has {told['ip']} (DHCP)",
        "fetched the loader undionly.kpxe (TFTP)",
        "fetched its boot script",
    ):
        assert line in lines


def has(server: BootServer, boot: Row[Any], column: str) -> bool:
    return getattr(server.boot(boot.boot_id), column) is not None


def test_the_ramdisk_gets_an_address_and_its_hello_comes_from_it(
    server: BootServer, host: Host, boot: Row[Any], mac: str, tmp_path: Path
) -> None:
    told = ask_dhcp(host, tmp_path, SYSTEM)
    key = "ssh-ed25519 " + "A" * 68
    fields = ("serial_number=", "product=", "brand=", "cpu_arch=x86_64", "memory_kib=1")
    pairs = (*fields, "boot_mode=bios", f"host_key={key}", f"nic=eth0,{mac},1")
    words = [word for pair in pairs for word in ("--data-urlencode", pair)]
    url = f"{server.url}/boot/{server.token(boot)}/hello"
    forged = ("-H", "X-Forwarded-For: 10.77.0.66", "-H", "X-Real-IP: 10.77.0.66")
    done = host.run(*("curl", "--silent", "--fail"), *words, *forged, url)
    assert done.returncode == 0, done.stderr
    assert server.boot(boot.boot_id).address == told["ip"]


def test_a_stranger_gets_nothing(server: BootServer, host: Host, tmp_path: Path) -> None:
    for kind in (FIRMWARE, LOADER, SYSTEM):
        assert ask_dhcp(host, tmp_path, kind) == {}
    host.ip("address add 10.77.0.250/24 dev eth0")
    assert fetch(host, f"{server.url}/boot/nobody/script.ipxe") == b""
    assert fetch(host, f"{server.url}/boot/") == b""


def test_a_machine_gets_its_own_script_and_no_other(
    server: BootServer, host: Host, boot: Row[Any], mac: str, tmp_path: Path
) -> None:
    neighbour_mac = f"52:54:00:00:00:{next(_next_mac):02x}"
    neighbour = server.segment.add_host(neighbour_mac)
    other = server.open_boot(server.add_machine(neighbour_mac), neighbour_mac)
    told = ask_dhcp(neighbour, tmp_path, LOADER)
    assert server.token(other) in told["bootfile"]
    assert server.token(boot) not in "".join(told.values())
    for path in ("boots.conf", "leases", "../boots.conf", "../leases", "/etc/hostname"):
        assert fetch(neighbour, f"tftp://{ADDRESS}/{path}") == b""


@pytest.mark.parametrize("end", [set_local, close_boots])
def test_a_machine_that_is_to_boot_from_its_disk_gets_nothing(
    server: BootServer, host: Host, boot: Row[Any], tmp_path: Path, end: Any
) -> None:
    assert ask_dhcp(host, tmp_path, FIRMWARE)
    before = server.starts()
    with writing(server.engine) as connection:
        end(connection, [boot.node_id], *([600] if end is set_local else []))
    wait_until(lambda: server.starts() > before, 10, what="DHCP knows")
    assert ask_dhcp(host, tmp_path, SYSTEM) == {}
    assert not has(server, boot, "again_time")
    assert ask_dhcp(host, tmp_path, FIRMWARE, seconds=6) == {}
    if end is set_local:
        wait_until(lambda: has(server, boot, "again_time"), 5, what="it is noted down")
        assert log(server, boot).count("it is to boot from its disk") == 1


def test_a_database_that_is_busy_delays_no_machine(
    server: BootServer, host: Host, boot: Row[Any], tmp_path: Path
) -> None:
    with server.engine.connect() as holder, holder.begin():
        holder.execute(text("UPDATE job SET version = version"))  # nobody else writes meanwhile
        assert ask_dhcp(host, tmp_path, FIRMWARE)
        assert not has(server, boot, "offer_time")
    wait_until(lambda: has(server, boot, "offer_time"), 10, what="it is noted down afterwards")


def dnsmasqs(server: BootServer) -> list[int]:
    return children(server.processes["keeper"].pid)


def test_a_dnsmasq_that_dies_is_started_again(
    server: BootServer, host: Host, boot: Row[Any], tmp_path: Path
) -> None:
    assert "ended with code" not in server.said("keeper")  # by itself it does not
    old = dnsmasqs(server)
    assert len(old) == 2
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(dnsmasqs(server)) - set(old)) == 2, 10, what="two others run")
    assert "another starts in 1 s" in server.said("keeper")
    wait_until(lambda: ask_dhcp(host, tmp_path, FIRMWARE), 10, what="it is answered again")


def test_dnsmasq_ends_with_its_keeper_however_that_ends(server: BootServer) -> None:
    old = dnsmasqs(server)
    server.stop("keeper", signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old), 5, what="they end")
    server.start_keeper()


def test_nginx_serves_large_files_and_nothing_beside_them(
    server: BootServer, host: Host, boot: Row[Any], tmp_path: Path
) -> None:
    ask_dhcp(host, tmp_path, SYSTEM)
    base = f"{server.url}/files/{RAMDISK}"
    assert fetch(host, f"{base}/kernel") == b"not a kernel"
    (server.settings.images / RAMDISK / "manifest.json").write_text("{}")
    for path in ("manifest.json", "", "../../keys/ssh_ed25519", "..%2f..%2ffirstbox.db"):
        assert fetch(host, f"{base}/{path}") == b""


def test_a_real_machine_boots_as_far_as_its_kernel(server: BootServer, mac: str) -> None:
    boot = server.open_boot(server.add_machine(mac), mac)
    with virtual_machine(server.segment, mac):
        wait_until(lambda: has(server, boot, "kernel_time"), 90, what="it fetches its kernel")
    assert has(server, boot, "script_time")
    assert "fetched the kernel" in log(server, boot)


def test_a_real_machine_that_nobody_waits_for_gets_nothing(server: BootServer, mac: str) -> None:
    with virtual_machine(server.segment, mac):
        wait_until(lambda: f"{mac} asks" in server.said("keeper"), 60, what="it asks")
        time.sleep(8)  # a second and a third time
    assert mac not in (server.settings.boot / "leases").read_text()


def test_another_dhcp_server_is_found_and_not_joined(server: BootServer, tmp_path: Path) -> None:
    assert "No other DHCP server" in probe(server).stdout
    server.stop("keeper")
    try:
        with foreign_server(server.segment, tmp_path):
            found = probe(server)
            assert found.returncode == 1
            assert "10.77.0.254" in found.stderr
            keeper = server.start("keeper", *server.boot_command)
            assert keeper.wait(30) == 1
            assert "Another DHCP server answers on br0: 10.77.0.254" in server.said("keeper")
    finally:
        server.start_keeper()


def probe(server: BootServer) -> subprocess.CompletedProcess[str]:
    return server.segment.run(str(server.program), "boot-probe", server.segment.bridge)


def test_beside_another_dhcp_server_only_boots_are_answered(tmp_path: Path, mac: str) -> None:
    with (
        Segment(f"{ADDRESS}/24") as segment,
        foreign_server(segment, tmp_path),
        BootServer(tmp_path, segment, mode="proxy") as server,
    ):
        server.add_ramdisk(fill)
        stranger = mac.replace("52:54:00", "52:54:02")
        boot = server.open_boot(server.add_machine(mac), mac)
        with virtual_machine(segment, mac):
            wait_until(lambda: has(server, boot, "kernel_time"), 90, what="it boots")
        assert "is told what to boot" in log(server, boot)
        with virtual_machine(segment, stranger):
            wait_until(lambda: f"{stranger} asks" in server.said("keeper"), 60, what="it asks")
