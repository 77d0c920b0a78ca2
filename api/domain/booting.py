"""What becomes of the calls of a machine that boots: whose they are, and what is said about them."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from api.errors import Conflict, OurFault
from api.states import BootMethod
from api.store.bm_nodes import get_bm_nodes
from api.store.boots import UNKNOWN, Sighting, find_by_tokens
from api.store.images import find_ramdisk, get_image
from api.store.sealing import Seal

# To any token that belongs to no open boot, whatever the cause.
NOBODY = "No machine is expected to boot with this address."
# BIOS machines load an iPXE of 32 bits, whatever they are.
_BUILDS = {"i386": "x86_64", "arm64": "aarch64"}
# The same sentence about the same machine at most once in so many seconds.
_PAUSE = 60.0
_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Booting:
    """A machine that may call us now."""

    boot: Row[Any]
    machine: Row[Any] | None  # its registration; None for a machine that nobody knows

    @property
    def name(self) -> str:
        """What to call it."""
        return str(self.boot.node_id or UNKNOWN)


def find_callers(connection: Connection, seal: Seal, tokens: Sequence[str]) -> dict[str, Booting]:
    """Whose tokens these are; those that nobody waits for, whatever the cause, are left out."""
    boots = find_by_tokens(connection, seal, tokens)
    machines = get_bm_nodes(connection, {boot.node_id for boot in boots.values() if boot.node_id})
    return {
        token: Booting(boot, machines.get(boot.node_id))
        for token, boot in boots.items()
        if boot.node_id is None or boot.node_id in machines
    }


def boots_from(connection: Connection, caller: Booting, build: str = "") -> Row[Any]:
    """Whose kernel and initrd it gets: the ramdisk's, or its installer's. Raises OurFault.

    `build` is the architecture its iPXE says it was made for, which is all there is to know of an
    unknown machine; where there is one kind of ramdisk, every machine gets that.
    """
    if caller.machine is None:
        image = find_ramdisk(connection, "") or find_ramdisk(connection, _BUILDS.get(build, build))
        what = f"ramdisk for {build[:16]!r}"
    elif caller.boot.method == BootMethod.IMAGE:
        image = find_ramdisk(connection, caller.machine.cpu_arch)
        what = f"ramdisk for {caller.machine.cpu_arch}"
    else:
        image, what = get_image(connection, caller.boot.image), f"image {caller.boot.image}"
    if image is None:
        raise OurFault(f"There is no {what} any more.")
    return image


def greet(caller: Booting, hello: Mapping[str, Any], address: str) -> Sighting:
    """What a ramdisk's hello tells. Raises Conflict when it lacks the card it should boot from."""
    boot = caller.boot
    macs = [nic["mac"] for nic in hello["nics"]]
    if boot.mac not in macs:
        raise Conflict(f"a hello from {address} is refused: that machine has no card {boot.mac}")
    registered = caller.machine.serial_number if caller.machine is not None else None
    wrong = _wrong_serial(registered, hello["serial_number"])
    known = {**hello, "wrong": wrong} if wrong else dict(hello)
    now = time.time()
    values = {
        "hello": known,
        "host_key": hello["host_key"],
        "address": address,
        "hello_time": now,
    }
    text = _greeting(hello, address, wrong)
    return Sighting(boot, text, values, is_failure=bool(wrong), time=now)


def _wrong_serial(registered: str | None, shown: str) -> str:
    if registered and shown and registered != shown:
        return f"its serial number is {shown}, and {registered} is registered"
    return ""


def _greeting(hello: Mapping[str, Any], address: str, wrong: str) -> str:
    nics = len(hello["nics"])
    who = f"serial number {hello['serial_number'] or 'unknown'}, {nics} NIC{'s' * (nics > 1)}"
    line = f"the ramdisk says hello from {address} ({who})"
    return f"{line}: {wrong}" if wrong else line


class Repeats:
    """Lets the same words pass once a minute, so that a machine that asks for ever fills no log."""

    def __init__(self, pause: float = _PAUSE) -> None:
        self._pause = pause
        self._last: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def is_new(self, *words: str) -> bool:
        """Whether these words were not let pass a short time ago."""
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(words, -self._pause) < self._pause:
                return False
            if len(self._last) >= _MOST:
                self._last = {
                    word: when for word, when in self._last.items() if now - when < self._pause
                }
            self._last[words] = now
            return True


def loudly(sightings: Sequence[Sighting], repeats: Repeats) -> list[Sighting]:
    """The same sightings, without the words that were said a short time ago."""
    return [
        sighting
        if repeats.is_new(sighting.boot.boot_id, sighting.text)
        else Sighting(sighting.boot, "", sighting.values, time=sighting.time)
        for sighting in sightings
    ]
