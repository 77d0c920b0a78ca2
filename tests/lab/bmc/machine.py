"""The machine behind a simulated BMC: its power, what it boots from, and the hook that makes it real."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tests.lab.bmc.profile import Profile

DEVICES = {0: "none", 1: "pxe", 2: "disk", 5: "cdrom", 6: "bios"}


@dataclass(frozen=True)
class BootFlags:
    """Boot option 5: five bytes, and when they were set."""

    data: bytes = bytes(5)
    time: float = 0.0

    @property
    def is_valid(self) -> bool:
        return bool(self.data[0] & 0x80)

    @property
    def is_persistent(self) -> bool:
        return bool(self.data[0] & 0x40)

    @property
    def is_efi(self) -> bool:
        return bool(self.data[0] & 0x20)

    @property
    def device(self) -> str:
        return DEVICES.get(self.data[1] >> 2 & 15, "none") if self.is_valid else "none"

    def cleared(self) -> "BootFlags":
        """Not valid any more; the rest is left over, as on real ones."""
        return replace(self, data=bytes([self.data[0] & 0x7F]) + self.data[1:])


class Event(NamedTuple):
    """What happened to the machine's power, and what it boots from."""

    name: str  # on, off, cycle, reset, soft
    power: str
    device: str
    is_persistent: bool
    is_efi: bool


class Machine:
    """Power and boot flags. Lives in the simulator's event loop."""

    def __init__(
        self,
        address: str,
        profile: Profile,
        *,
        is_on: bool = False,
        hook: Path | None = None,
        state: Path | None = None,
        heard: Callable[[str, Event], None] | None = None,
    ) -> None:
        self.address = address
        self.profile = profile
        self.events: list[Event] = []
        self._is_on = is_on
        self._flags = BootFlags()
        self._flags_stay = False  # boot option 3, bit 3: not forgotten after 60 s
        self._hook = hook
        self._state = state
        self._heard = heard
        self._calls: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()
        self._caller: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """As it is, whatever the BMC says."""
        return self._is_on and not self._has_ended()

    @property
    def flags(self) -> BootFlags:
        """Boot flags, unless their time is over."""
        expires = not self._flags_stay and not self._flags.is_persistent
        if expires and time.monotonic() - self._flags.time > self.profile.boot_flags_seconds:
            self._flags = self._flags.cleared()
        return self._flags

    def set_flags(self, data: bytes) -> None:
        if not self.profile.keeps_boot_device:
            return
        mark = data[0]
        if not self.profile.keeps_efi:
            mark &= ~0x20
        if not self.profile.keeps_once:
            mark |= 0x40
        self._flags = BootFlags(bytes([mark]) + data[1:5], time.monotonic())

    def keep_flags(self, bits: int) -> None:
        self._flags_stay = bool(bits & 0x08)

    def order(self, number: int) -> int:
        """Chassis control; the completion code."""
        if number == 1:
            return self._start("on") if not self.is_on else 0
        if number == 0:
            return self._off()
        if number == 2 and not self.is_on and self.profile.cycle_when_off:
            return self._start("on")
        if number in (2, 3):
            return self._start("cycle" if number == 2 else "reset") if self.is_on else 0xD5
        if number == 5:
            return self._soft() if self.is_on else 0xD5
        return 0xCC

    def close(self) -> None:
        """Call the hook no more."""
        if self._caller is not None:
            self._caller.cancel()

    def _off(self) -> int:
        if not self.is_on:
            return 0 if self.profile.off_when_off else 0xD5
        self._after(self.profile.on_seconds, False, "off")
        return 0

    def _start(self, name: str) -> int:
        self._after(self.profile.on_seconds, True, name)
        return 0

    def _soft(self) -> int:
        self._tell("soft", self._flags)
        if self._hook is None and self.profile.soft_off_seconds >= 0 and self.profile.obeys_power:
            later = asyncio.get_running_loop().call_later
            later(self.profile.soft_off_seconds, self._turn, False)
        return 0

    def _after(self, seconds: float, is_on: bool, name: str) -> None:
        if not self.profile.obeys_power:
            return

        def happen() -> None:
            flags = self.flags
            if is_on and not flags.is_persistent:
                self._flags = flags.cleared()
            self._turn(is_on)
            self._tell(name, flags)

        if seconds:
            if name == "cycle":
                self._turn(False)
            asyncio.get_running_loop().call_later(seconds, happen)
        else:
            happen()

    def _turn(self, is_on: bool) -> None:
        self._is_on = is_on

    def _tell(self, name: str, flags: BootFlags) -> None:
        event = Event(
            name,
            "on" if self._is_on else "off",
            flags.device,
            flags.is_valid and flags.is_persistent,
            flags.is_valid and flags.is_efi,
        )
        self.events.append(event)
        if self._heard is not None:
            self._heard(self.address, event)
        if self._hook is not None:
            self._calls.put_nowait((name, self._words(event)))
            if self._caller is None:
                self._caller = asyncio.get_running_loop().create_task(self._call_hook())

    def _words(self, event: Event) -> dict[str, str]:
        return {
            "BMC_ADDRESS": self.address,
            "BMC_EVENT": event.name,
            "BMC_POWER": event.power,
            "BMC_BOOT_DEVICE": event.device,
            "BMC_BOOT_PERSISTENT": str(int(event.is_persistent)),
            "BMC_BOOT_EFI": str(int(event.is_efi)),
        }

    async def _call_hook(self) -> None:
        assert self._hook is not None
        assert self._state is not None
        while True:
            name, words = await self._calls.get()
            _write(self._state, words)
            with Path(f"{self._state}.log").open("ab") as log:  # noqa: ASYNC230  # a few bytes
                process = await asyncio.create_subprocess_exec(
                    str(self._hook),
                    name,
                    str(self._state),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **words},
                )
                code = await process.wait()
                log.write(f"{name}: exit code {code}\n".encode())

    def _has_ended(self) -> bool:
        """Whether the hook said which process the machine is, and that process ended."""
        pid = self._process()
        if not pid or _is_alive(pid):
            return False
        return self._process() == pid  # else it is another one by now

    def _process(self) -> str:
        """The machine's process; "" where the hook names none, or is just about to."""
        if self._state is None:
            return ""
        try:
            return Path(f"{self._state}.pid").read_text().strip()
        except FileNotFoundError:
            return ""


def _is_alive(pid: str) -> bool:
    try:
        status = Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _write(state: Path, words: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in words.items())
    with tempfile.NamedTemporaryFile("w", dir=state.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, state)
