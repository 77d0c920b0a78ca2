"""Clients that boot over the network: a DHCP client as firmware, loader or system, and a virtual machine;
and a DHCP server that is not ours."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.segment import Host, Segment, die_with_parent

FIRMWARE = ("-V", "PXEClient:Arch:00000:UNDI:002001", "-x", "0x5d:0000")
UEFI = ("-V", "PXEClient:Arch:00007:UNDI:003001", "-x", "0x5d:0007")
LOADER = (*FIRMWARE, "-x", "0xaf:01")
SYSTEM: tuple[str, ...] = ()

_TELL = '#!/bin/sh\n[ "$1" = bound ] && env && ip address replace "$ip/$mask" dev "$interface"\nexit 0\n'


def ask_dhcp(host: Host, place: Path, kind: tuple[str, ...], seconds: int = 3) -> dict[str, str]:
    """What a DHCP client is told; {} when nobody answers within `seconds`."""
    script = place / "udhcpc-script"
    if not script.exists():
        script.write_text(_TELL)
        script.chmod(0o755)
    # Of the environment it prints only what the server told is of interest.
    client = [
        "env",
        "-i",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "busybox",
        "udhcpc",
        "-i",
        "eth0",
        "-n",
        "-q",
        "-f",
        "-s",
        str(script),
    ]
    done = host.run(*client, "-t", str(seconds), "-T", "1", "-O", "bootfile", *kind)
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs} if done.returncode == 0 else {}


def fetch(host: Host, url: str) -> bytes:
    """A file by TFTP or HTTP; b"" when there is none."""
    done = subprocess.run(
        host.command("curl", "--silent", "--fail", "--max-time", "10", url),
        capture_output=True,
        timeout=30,
    )
    return done.stdout if done.returncode == 0 else b""


@contextmanager
def virtual_machine(segment: Segment, mac: str) -> Iterator[subprocess.Popen[bytes]]:
    """A machine with BIOS, no disk and one card, which boots from the network as QEMU's iPXE does."""
    tap = f"tap{mac[-2:]}"
    segment.ip(f"tuntap add {tap} mode tap")
    segment.ip(f"link set {tap} master {segment.bridge} up")
    net = f"tap,id=net,ifname={tap},script=no,downscript=no"
    machine = subprocess.Popen(
        segment.command(
            *("qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults"),
            *("-display", "none", "-boot", "n", "-netdev", net),
            *("-device", f"virtio-net-pci,netdev=net,mac={mac}"),
        ),
        stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        yield machine
    finally:
        machine.kill()
        machine.wait()
        segment.ip(f"link delete {tap}")


@contextmanager
def foreign_server(segment: Segment, place: Path) -> Iterator[None]:
    """Another DHCP server on the same network."""
    host = segment.add_host("52:54:00:00:00:fe")
    host.ip("address add 10.77.0.254/24 dev eth0")
    words = ("--port=0", "--user=root", "--keep-in-foreground", "--conf-file=/dev/null")
    addresses = ("--interface=eth0", "--dhcp-range=10.77.0.210,10.77.0.240", "--dhcp-authoritative")
    process = subprocess.Popen(
        host.command("dnsmasq", *words, *addresses, f"--dhcp-leasefile={place / 'foreign'}"),
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
