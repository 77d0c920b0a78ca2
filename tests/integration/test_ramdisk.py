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

pytestmark = pytest.mark.lab

MAC = "52:54:00:aa:bb:01"
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
    """Hears hellos; says at first that it is busy."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.hellos: list[tuple[str, bytes]] = []
        self.is_greeted = threading.Event()


class _Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.server.hellos.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        is_busy = len(self.server.hellos) < 3
        self.send_response(503 if is_busy else 200)
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
    build_ramdisk(
        Recipe(kernel="cloud"), place, [key.with_suffix(".pub").read_text()], print, fresh=False
    )
    with served() as service, machine(place, service.server_address[1]) as port:
        booted = Booted(service, port, key, place / "console")
        if not service.is_greeted.wait(SECONDS_TO_HELLO):
            pytest.fail(f"no hello: {booted.console.read_text(errors='replace')[-2000:]}")
        yield booted


@contextlib.contextmanager
def served() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        thread.join(10)
        service.server_close()


@contextlib.contextmanager
def machine(place: Path, service_port: int) -> Iterator[int]:
    """Boot kernel and initrd of `place`; the port its SSH server is at."""
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
    command += ["-smbios", "type=1,serial=SN-1234,product=Box 'one' & \"two\",manufacturer=ACME"]
    command += ["-kernel", str(place / "kernel"), "-initrd", str(place / "initrd")]
    command += ["-append", arguments]
    # The card we boot from is the second, and the first has no cable.
    command += ["-device", "virtio-net-pci,mac=52:54:00:aa:bb:02"]
    command += ["-netdev", network, "-device", f"virtio-net-pci,netdev=net,mac={MAC}"]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL
    ) as qemu:
        try:
            yield port
        finally:
            qemu.kill()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


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


def test_dead_orphans_do_not_stay(booted: Booted) -> None:
    booted.run("(sleep 0.1 &) ; (sh -c 'sleep 0.2 & exit' &)")
    time.sleep(1)

    assert booted.run("cat /proc/[0-9]*/stat | awk '$3 == \"Z\"'")[1] == ""


def test_nothing_of_the_builder_s_machine_is_in_it(booted: Booted) -> None:
    _, output = booted.run("cat /etc/hostname /etc/machine-id; ls /etc/ssh/*_key")

    assert output.splitlines()[:2] == ["ramdisk", "/etc/ssh/ssh_host_ed25519_key"]
    assert "machine-id: No such file" in output
