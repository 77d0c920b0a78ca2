"""QEMU's command line for one start of a virtual machine. Pure: nothing is started here."""

from itertools import count
from pathlib import Path
from typing import Any

OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"


def qemu_command(vm: dict[str, Any], place: Path, first: str) -> list[str]:
    """The command that starts a machine from the network or from its disks first.

    It waits for QMP's `cont`, and stands still when the guest resets or shuts down: the next start may
    be from elsewhere, and until then there is a process that the BMC sees.
    """
    command = ["qemu-system-x86_64", "-nodefaults", "-S", "-qmp", "stdio"]
    command += ["-action", "reboot=shutdown,shutdown=pause"]
    # Without graphics, BIOS and loaders speak on the serial line.
    command += ["-machine", "q35,graphics=off", "-display", "none", "-accel", "tcg,thread=multi"]
    command += ["-smp", "2", "-m", str(vm["memory"]), "-device", "virtio-rng-pci"]
    command += ["-smbios", f"type=1,serial={vm['serial_number']},manufacturer=lab,product=vm"]
    command += ["-chardev", f"file,id=console,path={place}.console,append=on"]
    command += ["-serial", "chardev:console"]
    if vm["firmware"] == "uefi":
        flash = "if=pflash,format=raw"
        command += ["-drive", f"{flash},readonly=on,file={OVMF_CODE}"]
        command += ["-drive", f"{flash},file={place}.vars"]
    card, *disks = _places(len(vm["disks"]), first)
    for number, (tap, mac) in enumerate(vm["nics"]):
        # Only the first card boots: the others have no ROM.
        command += _nic(number, tap, mac, f"bootindex={card}" if number == 0 else "romfile=")
    for number, (file, index) in enumerate(zip(vm["disks"], disks, strict=True)):
        command += _disk(number, file, index)
    return command + (_bmc(vm["bmc"]) if vm["bmc"] else [])


def _places(disks: int, first: str) -> list[int]:
    """Places in the boot order: of the card, then of each disk."""
    places = count()
    if first == "network":
        return [next(places) for _ in range(disks + 1)]
    behind = [next(places) for _ in range(disks)]
    return [next(places), *behind]


def _nic(number: int, tap: str, mac: str, boots: str) -> list[str]:
    netdev = f"tap,id=net{number},ifname={tap},script=no,downscript=no"
    device = f"virtio-net-pci,id=nic{number},netdev=net{number},mac={mac},{boots}"
    return ["-netdev", netdev, "-device", device]


def _disk(number: int, file: str, place: int) -> list[str]:
    drive = f"if=none,id=disk{number},format=raw,file={file},cache=unsafe,discard=unmap"
    device = f"virtio-blk-pci,drive=disk{number},serial=DISK{number},bootindex={place}"
    return ["-drive", drive, "-device", device]


def _bmc(address: str) -> list[str]:
    """Its BMC, as a device that SMBIOS and ACPI tell the system of."""
    command = ["-chardev", f"socket,id=bmc,{address},reconnect=1"]
    command += ["-device", "ipmi-bmc-extern,id=bmc0,chardev=bmc"]
    return [*command, "-device", "isa-ipmi-kcs,bmc=bmc0"]
