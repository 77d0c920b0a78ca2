"""Keeps one virtual machine: `python -m tests.lab.vm_keeper FILE` with what `tests.lab.vms` says of it.

It takes orders (`on pxe`, `off`) from the pipe FILE.orders, one at a time, and starts and stops QEMU as a
BMC's orders start and stop a machine. It ends with its owner, and QEMU and the disks with it. The pid of
QEMU stands in FILE.pid, where the BMC looks whether a machine that it switched on still runs.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.segment import die_with_parent
from tests.lab.vm_command import qemu_command

_ORDERS = {"pxe": "network", "disk": "disk"}


class Keeper:
    """The machine's power."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._vm: dict[str, Any] = json.loads(Path(f"{place}.vm").read_text())
        self._pid = Path(f"{place}.pid")
        self._qemu: subprocess.Popen[bytes] | None = None
        # Open for writing too, so that the end of one writer is no end of file.
        self._orders = os.open(f"{place}.orders", os.O_RDWR)
        self._order = self._vm["order"]  # what a reboot starts from
        self._unplugged: set[str] = set()
        self._buffer = b""

    def run(self) -> None:
        """Obey until told to end."""
        while True:
            streams = [self._orders]
            if self._qemu is not None and self._qemu.stdout is not None:
                streams.append(self._qemu.stdout.fileno())
            ready, _, _ = select.select(streams, [], [])
            if self._orders in ready:
                for order in os.read(self._orders, 4096).decode().splitlines():
                    self._obey(*order.split())
            elif self._qemu is not None:
                self._listen()

    def close(self) -> None:
        """End QEMU, and remove what takes space."""
        self._stop()
        for path in (*self._vm["disks"], f"{self._place}.vars", self._pid, f"{self._place}.orders"):
            Path(path).unlink(missing_ok=True)

    def _obey(self, event: str, what: str = "", is_persistent: str = "0") -> None:
        match event:
            case "on" | "cycle" | "reset":
                asked = _ORDERS.get(what, self._vm["order"])
                self._order = asked if is_persistent == "1" else self._vm["order"]
                self._start(asked)
            case "off":
                self._pid.unlink(missing_ok=True)
                self._stop()
            case "die":
                self._stop()
            case "soft":
                self._say("system_powerdown")
            case "pause":
                self._say("stop")
            case "resume":
                self._say("cont")
            case "unplug":
                self._unplugged.add(what)
                self._say("set_link", name=what, up=False)
            case "plug":
                self._unplugged.discard(what)
                self._say("set_link", name=what, up=True)

    def _listen(self) -> None:
        """What QEMU says of its guest: a guest that resets starts again, in the machine's own order."""
        assert self._qemu is not None
        assert self._qemu.stdout is not None
        data = os.read(self._qemu.stdout.fileno(), 65536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        events = [said for said in map(json.loads, lines) if said.get("event") == "SHUTDOWN"]
        if events and events[0]["data"]["reason"] == "guest-reset":
            self._start(self._order)
        elif events or not data:
            self._stop()  # its pid stays written down: so the BMC learns that it is off

    def _start(self, first: str) -> None:
        # Between two processes of a machine that stays on, there is none whose end could be seen.
        self._pid.unlink(missing_ok=True)
        self._stop()
        with Path(f"{self._place}.boots").open("a") as boots:
            boots.write(f"{first}\n")
        with Path(f"{self._place}.qemu").open("ab") as log:
            self._qemu = subprocess.Popen(
                qemu_command(self._vm, self._place, first),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        self._buffer = b""
        self._say("qmp_capabilities")
        for card in self._unplugged:
            self._say("set_link", name=card, up=False)
        self._say("cont")
        self._pid.write_text(str(self._qemu.pid))

    def _stop(self) -> None:
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            for stream in (self._qemu.stdin, self._qemu.stdout):
                if stream is not None:
                    stream.close()
            self._qemu = None

    def _say(self, command: str, **arguments: Any) -> None:
        if self._qemu is None or self._qemu.stdin is None:
            return  # nobody hears it: the machine is off
        words = {"execute": command, "arguments": arguments}
        with contextlib.suppress(BrokenPipeError):  # we shall read of its end
            self._qemu.stdin.write(json.dumps(words).encode() + b"\n")
            self._qemu.stdin.flush()


def main() -> None:
    """Keep the machine until SIGTERM, which is also what the owner's death sends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to hear
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    keeper = Keeper(Path(sys.argv[1]))
    try:
        keeper.run()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.close()


if __name__ == "__main__":
    main()
