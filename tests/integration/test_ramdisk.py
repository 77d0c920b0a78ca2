"""The ramdisk on a machine of its own: what it says, and whom it lets in."""

import contextlib
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from api.boot.hello import read_hello
from api.images.ramdisk import Recipe, build_ramdisk
from tests.lab.bmc.ipmi_sim import IN_BAND_PORT, IpmiSim
from tests.lab.lldp import lldp_frame
from tests.service import wait_until

pytestmark = pytest.mark.lab

MAC = "52:54:00:aa:bb:01"
BMC = "127.0.96.1"
UUID = "4c4c4544-0039-5a10-8052-b7c04f4d3732"
SERVICE = "10.0.2.100"  # inside the machine's own network, which leads nowhere else
URL = f"http://{SERVICE}/boot/b-1-secret"
SECONDS_TO_HELLO = 120
# The machine's network stack starts it for each connection to SERVICE.
RELAY = """
import os, socket, sys, threading
service = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
def answer():
    while data := service.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=answer, daemon=True).start()
while data := os.read(0, 65536):
    service.sendall(data)
"""


class Service(HTTPServer):
    """Hears hellos; says at first that it is busy, and then `answer`."""

    def __init__(self, answer: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answer = answer
        self.hellos: list[tuple[str, bytes]] = []
        self.is_greeted = threading.Event()


class _Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.server.hellos.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        is_busy = len(self.server.hellos) < 3
        self.send_response(503 if is_busy else self.server.answer)
        self.end_headers()
        if not is_busy:
            self.server.is_greeted.set()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's own output."""


@dataclass
class Booted:
    """A machine that runs the ramdisk."""

    service: Service
    port: int
    key: Path
    console: Path
    switch: int  # UDP port that is the other end of the first card's cable

    def run(self, script: str, *options: str, key: Path | None = None) -> tuple[int, str]:
        """Exit code and output of a script over SSH; 255 when we are not let in."""
        command = ["ssh", "-F", "none", "-i", str(key or self.key), "-p", str(self.port)]
        for option in (
            *options,  # of the same option, the first one counts
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ):
            command += ["-o", option]
        done = subprocess.run(
            [*command, "root@127.0.0.1", script],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    place = tmp_path_factory.mktemp("ramdisk")
    key = new_key(place / "key")
    # The cloud kernel has no drivers for BMCs.
    build_ramdisk(Recipe(), place, [key.with_suffix(".pub").read_text()], print, fresh=False)
    switch = free_port(socket.SOCK_DGRAM)
    with (
        IpmiSim(BMC, place, in_band=True),
        served() as service,
        machine(place, service.server_address[1], switch) as (port, _),
    ):
        booted = Booted(service, port, key, place / "console", switch)
        if not service.is_greeted.wait(SECONDS_TO_HELLO):
            pytest.fail(f"no hello: {booted.console.read_text(errors='replace')[-2000:]}")
        yield booted


@contextlib.contextmanager
def served(answer: int = 200) -> Iterator[Service]:
    service = Service(answer)
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        thread.join(10)
        service.server_close()


@contextlib.contextmanager
def machine(
    place: Path, service_port: int, switch: int
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Boot kernel and initrd of `place`; the port its SSH server is at, and the machine itself."""
    relay, port = place / "relay.py", free_port()
    relay.write_text(RELAY)
    network = (
        f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22,"
        f"guestfwd=tcp:{SERVICE}:80-cmd:{sys.executable} {relay} {service_port}"
    )
    arguments = f"console=tty0 console=ttyS0 firstbox={URL} BOOTIF=01-{MAC.replace(':', '-')}"
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"]
    command += ["-display", "none", "-monitor", "none", "-no-reboot"]
    command += ["-serial", f"file:{place / 'console'}"]
    command += [
        "-uuid",
        UUID,
        "-smbios",
        "type=1,serial=SN-1234,product=Box 'one' & \"two\",manufacturer=ACME",
    ]
    command += ["-kernel", str(place / "kernel"), "-initrd", str(place / "initrd")]
    command += ["-append", arguments]
    # The card we boot from is the second; the first is cabled to a switch, which gives no address.
    cable = f"socket,id=cable,udp=127.0.0.1:9,localaddr=127.0.0.1:{switch}"
    command += ["-netdev", cable, "-device", "virtio-net-pci,netdev=cable,mac=52:54:00:aa:bb:02"]
    command += ["-chardev", f"socket,id=bmc,host={BMC},port={IN_BAND_PORT},reconnect=1"]
    command += [
        "-device",
        "ipmi-bmc-extern,id=bmc0,chardev=bmc",
        "-device",
        "isa-ipmi-kcs,bmc=bmc0",
    ]
    command += ["-netdev", network, "-device", f"virtio-net-pci,netdev=net,mac={MAC}"]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL
    ) as qemu:
        try:
            yield port, qemu
        finally:
            qemu.kill()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def test_a_machine_that_nobody_wants_goes_on_to_its_next_boot_device(tmp_path: Path) -> None:
    build_ramdisk(Recipe(), tmp_path, [], print, fresh=False)
    with (
        served(answer=410) as service,
        machine(tmp_path, service.server_address[1], free_port(socket.SOCK_DGRAM)) as (_, qemu),
    ):
        assert qemu.wait(SECONDS_TO_HELLO) == 0  # the end, where others reboot

    console = (tmp_path / "console").read_text(errors="replace")
    assert "Nobody waits for this machine: on to its next boot device" in console
    assert len(service.hellos) == 3


def test_hello_says_what_machine_it_is(booted: Booted) -> None:
    path, body = booted.service.hellos[-1]
    hello = read_hello(body)

    assert path == "/boot/b-1-secret/hello"
    assert hello["serial_number"] == "SN-1234"
    assert (hello["brand"], hello["product"]) == ("ACME", "Box 'one' & \"two\"")
    assert (hello["cpu_arch"], hello["boot_mode"]) == (platform.machine(), "bios")
    assert 900 < hello["memory_kib"] / 1024 < 1024
    carriers = {nic["mac"]: nic["carrier"] for nic in hello["nics"]}
    assert carriers[MAC]
    assert len(carriers) == 2


def test_hello_says_where_its_bmc_is(booted: Booted) -> None:
    hello = read_hello(booted.service.hellos[-1][1])

    assert (hello["bmc_address"], hello["bmc_mac"]) == (BMC, "02:ff:7f:00:60:01")
    assert hello["uuid"] == UUID


def test_its_bmc_is_the_one_on_the_network(booted: Booted) -> None:
    made = "user set name 3 made; ipmitool user set password 3 in-band-1; "
    made += "ipmitool channel setaccess 1 3 ipmi=on link=on privilege=4; ipmitool user enable 3"
    code, output = booted.run(f"ipmitool {made}")
    assert code == 0, output

    login = ["-I", "lanplus", "-C", "3", "-H", BMC, "-U", "made", "-P", "in-band-1"]
    asked = subprocess.run(
        ["ipmitool", *login, "power", "status"], capture_output=True, text=True, timeout=30
    )
    assert "Chassis Power is" in asked.stdout, asked.stderr


def test_it_hears_which_switch_a_card_is_cabled_to_and_says_nothing(booted: Booted) -> None:
    frame = lldp_frame(switch="sw-r01", port="Ethernet1/7", chassis="02:1b:d0:00:00:01")
    card = "$(grep -l bb:02 /sys/class/net/*/address | cut -d/ -f5)"

    def is_heard() -> bool:
        with socket.socket(type=socket.SOCK_DGRAM) as cable:
            cable.sendto(frame, ("127.0.0.1", booted.switch))
        output = booted.run(f"lldptool -t -n -i {card}")[1]
        return "sw-r01" in output and "Ifname: Ethernet1/7" in output

    wait_until(is_heard, 20, what="the switch is heard")
    assert "=rx\n" in booted.run(f"lldptool get-lldp adminStatus -i {card}")[1]


def test_hello_is_repeated_until_it_is_taken_and_not_after(booted: Booted) -> None:
    time.sleep(3)

    assert len(booted.service.hellos) == 3


def test_the_service_s_key_opens_it_and_the_host_key_is_the_one_it_said(
    booted: Booted, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    host_key = read_hello(booted.service.hellos[-1][1])["host_key"]
    known.write_text(f"[127.0.0.1]:{booted.port} {host_key}\n")

    expect = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}"]
    code, output = booted.run("id -u; cat /run/firstbox/boot", *expect)

    assert (code, output) == (0, f"0\n{URL}\n")


def test_another_key_and_any_password_are_refused(booted: Booted, tmp_path: Path) -> None:
    stranger, _ = booted.run("true", key=new_key(tmp_path / "stranger"))
    code, output = booted.run("true", "PreferredAuthentications=password,keyboard-interactive")

    assert stranger == 255
    assert code == 255
    assert "Permission denied (publickey)" in output


def test_consoles_show_steps_and_no_prompt(booted: Booted) -> None:
    console = booted.console.read_text(errors="replace")

    for step in ("Ramdisk started", "Drivers loaded", f"({MAC})", "sshd runs", "Said hello"):
        assert step in console
    assert "login:" not in console
    assert booted.run("pgrep -f getty")[0] == 1


def test_it_has_what_disks_and_cards_need(booted: Booted) -> None:
    programs = (
        "curl zstd dd lsblk wipefs sfdisk sgdisk parted partprobe blkdiscard mkfs.vfat mkfs.ext4 "
        "mkfs.xfs mdadm lvm nvme ipmitool lldpad lldptool dmidecode arping ethtool lspci sha256sum"
    )
    _, output = booted.run(f"for p in {programs}; do command -v $p >/dev/null || echo $p; done")

    assert output == ""


def test_scripts_find_their_streams_where_they_are_everywhere(booted: Booted) -> None:
    assert booted.run("echo word | cat /dev/stdin >/dev/stdout") == (0, "word\n")


def test_dead_orphans_do_not_stay(booted: Booted) -> None:
    booted.run("(sleep 0.1 &) ; (sh -c 'sleep 0.2 & exit' &)")
    time.sleep(1)

    assert booted.run("cat /proc/[0-9]*/stat | awk '$3 == \"Z\"'")[1] == ""


def test_nothing_of_the_builder_s_machine_is_in_it(booted: Booted) -> None:
    _, output = booted.run("cat /etc/hostname /etc/machine-id; ls /etc/ssh/*_key")

    assert output.splitlines()[:2] == ["ramdisk", "/etc/ssh/ssh_host_ed25519_key"]
    assert "machine-id: No such file" in output
