"""Keeps one virtual machine: `python -m tests.lab.vm_keeper FILE` with what `tests.lab.vms` says of it.

It takes orders (`on pxe`, `off none`) from the pipe FILE.orders, one at a time, and starts and stops QEMU
as a BMC's orders start and stop a machine. It ends with its owner, and QEMU with it. The pid of a QEMU
that runs stands in FILE.pid, where the BMC looks whether the machine is on.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.segment import die_with_parent

OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"


class Keeper:
    """The machine's power."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._vm: dict[str, Any] = json.loads(Path(f"{place}.vm").read_text())
        self._pid = Path(f"{place}.pid")
        self._qemu: subprocess.Popen[bytes] | None = None
        # Open for writing too, so that the end of one writer is no end of file.
        self._orders = os.open(f"{place}.orders", os.O_RDWR)
        self._buffer = b""
        self._resets = False

    def run(self) -> None:
        """Obey until killed."""
        while True:
            streams = [self._orders]
            if self._qemu is not None and self._qemu.stdout is not None:
                streams.append(self._qemu.stdout.fileno())
            ready, _, _ = select.select(streams, [], [])
            if self._orders in ready:
                for order in os.read(self._orders, 4096).decode().splitlines():
                    event, _, device = order.partition(" ")
                    self._obey(event, device)
            elif self._qemu is not None:
                self._listen()

    def _obey(self, event: str, device: str) -> None:
        if event in ("off", "cycle", "reset"):
            self._stop()
        if event in ("on", "cycle", "reset"):
            self._start(device)
        elif event == "soft":
            self._say({"execute": "system_powerdown"})
        elif event == "pause":
            self._say({"execute": "stop"})

    def _listen(self) -> None:
        """What QEMU says of its guest: a guest that resets starts again, in its own boot order."""
        assert self._qemu is not None
        assert self._qemu.stdout is not None
        data = os.read(self._qemu.stdout.fileno(), 65536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in filter(None, lines):
            said = json.loads(line)
            if said.get("event") == "SHUTDOWN":
                self._resets = said["data"]["reason"] == "guest-reset"
        if not data:
            resets = self._resets
            self._stop()
            if resets:
                self._start("none")

    def _start(self, device: str) -> None:
        first = {"pxe": "network", "disk": "disk"}.get(device, self._vm["order"])
        with Path(f"{self._place}.boots").open("a") as boots:
            boots.write(f"{first}\n")
        with Path(f"{self._place}.qemu").open("ab") as log:
            self._qemu = subprocess.Popen(
                self._command(first),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        self._buffer, self._resets = b"", False
        self._say({"execute": "qmp_capabilities"})
        self._pid.write_text(str(self._qemu.pid))

    def _stop(self) -> None:
        self._pid.unlink(missing_ok=True)
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            for stream in (self._qemu.stdin, self._qemu.stdout):
                if stream is not None:
                    stream.close()
            self._qemu = None

    def _say(self, command: dict[str, str]) -> None:
        if self._qemu is not None and self._qemu.stdin is not None:
            self._qemu.stdin.write(json.dumps(command).encode() + b"\n")
            self._qemu.stdin.flush()

    def _command(self, first: str) -> list[str]:
        vm = self._vm
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi"]
        command += ["-smp", "2", "-m", str(vm["memory"]), "-display", "none", "-no-reboot"]
        command += ["-qmp", "stdio", "-serial", f"file:{self._place}.console"]
        command += ["-smbios", f"type=1,serial={vm['serial_number']},manufacturer=lab,product=vm"]
        if vm["firmware"] == "uefi":
            flash = "if=pflash,format=raw"
            command += ["-drive", f"{flash},readonly=on,file={OVMF_CODE}"]
            command += ["-drive", f"{flash},file={self._place}.vars"]
        for number, (tap, mac) in enumerate(vm["nics"]):
            netdev = f"tap,id=net{number},ifname={tap},script=no,downscript=no"
            # Only the first card boots: the others have no ROM.
            boots = f"bootindex={int(first != 'network')}" if number == 0 else "romfile="
            device = f"virtio-net-pci,netdev=net{number},mac={mac},{boots}"
            command += ["-netdev", netdev, "-device", device]
        for number, disk in enumerate(vm["disks"]):
            drive = f"if=none,id=disk{number},format=raw,file={disk},cache=unsafe,discard=unmap"
            boots = f",bootindex={int(first != 'disk')}" if number == 0 else ""
            device = f"virtio-blk-pci,drive=disk{number},serial=DISK{number}{boots}"
            command += ["-drive", drive, "-device", device]
        return command


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to hear
    Keeper(Path(sys.argv[1])).run()
