"""`firstbox boot`: dnsmasq, told which machines are to boot over the network and listened to.

Twice a second: which boots are open is read from the database, and put where dnsmasq reads it if it
changed; what dnsmasq said of their machines in the meantime goes into the boots' rows and the jobs' logs.
While the database is away dnsmasq answers who was known last, and what it says is kept.
"""

import contextlib
import logging
import os
import queue
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row

from api.boot.dhcp import Armed, Kind, Listener, Said, boots_file
from api.boot.dnsmasq import Dnsmasq
from api.boot.no_router import NoRouter
from api.boot.probe import refuse_beside_others
from api.boot.seen import sighting_of
from api.domain.booting import Repeats, loudly
from api.domain.discovering import answer_unknown
from api.errors import Busy, Conflict, FirstboxError
from api.settings import Settings
from api.states import BootState
from api.store.boots import Sighting, active_boots, record, token_of
from api.store.sealing import Seal
from api.store.session import open_database, reading, writing

_LOOK = 0.5  # seconds between two looks into the database
_BREATH = 0.05
_STARTING = 5.0  # seconds dnsmasq has to read what was written for it
_MOST_KEPT = 10_000  # things seen that wait for a database that is away
_HOUR = 3600.0
_AGAIN = 5.0  # seconds after which a machine that asks on may be let in, if it was not before
_MOST_UNKNOWN = 1000

# DHCP and TFTP apart: DHCP is started anew for each change, and no file breaks off.
DHCP, TFTP, BOOTS = "dhcp.conf", "tftp.conf", "boots.conf"

logger = logging.getLogger("firstbox.boot")


def keep(settings: Settings) -> None:
    """Answer machines that are to boot over the network, until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Keeper(settings).run_until(stop)


@dataclass(frozen=True, slots=True)
class Network:
    """Where machines boot, as dnsmasq's configuration says it."""

    interface: str
    proxy: str  # this host's address, where another server gives the addresses; else ""


def read_network(directory: Path) -> Network:
    """Where dnsmasq is to answer. Raises FirstboxError when it is not configured."""
    path = directory / DHCP
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FirstboxError(
            f"The boot server is not configured: {path} cannot be read ({error.strerror}). "
            "playbooks/boot_server.yml writes it."
        ) from None
    interface = re.search(r"^interface=(\S+)$", text, re.MULTILINE)
    if interface is None:
        raise FirstboxError(f"{path} has no line interface=NAME.")
    proxy = re.search(r"^dhcp-range=([0-9.]+),proxy\b", text, re.MULTILINE)
    return Network(interface[1], proxy[1] if proxy else "")


class Keeper:
    """Keeps dnsmasq in step with the database, and the database with what dnsmasq sees."""

    def __init__(self, settings: Settings) -> None:
        if not settings.boot_url:
            raise FirstboxError(
                "FIRSTBOX_BOOT_URL is not set: booting machines could reach nothing."
            )
        self._settings = settings
        self._network = read_network(settings.boot)
        self._engine: Engine = open_database(settings.database, pool_size=1)
        self._seal = Seal(settings.keys)
        self._lines: queue.Queue[str] = queue.Queue()
        self._dhcp = Dnsmasq(settings.boot / DHCP, self._lines)
        self._tftp = Dnsmasq(settings.boot / TFTP, self._lines)
        self._no_router = NoRouter(self._network.interface)
        self._listener = Listener()
        self._repeats = Repeats()
        self._strangers = Repeats(_HOUR)
        self._unknown: set[str] = set()  # MACs of strangers that boot over the network
        self._heard = Repeats(_AGAIN)
        self._addresses: dict[str, str] = {}  # address given -> MAC
        self._kept: deque[Sighting] = deque(maxlen=_MOST_KEPT)
        self._boots: dict[str, Row[Any]] = {}
        self._written: tuple[Armed, ...] | None = None
        self._unread_since: float | None = None  # written, and dnsmasq did not read it yet
        self._is_away = False

    def run_until(self, stop: threading.Event) -> None:
        """Work until `stop` is set; dnsmasq ends with us."""
        if not self._network.proxy:
            refuse_beside_others(self._network.interface)
        with self._database_may_be_away():
            self._look()
        if self._written is None:
            self._prepare()
        self._dhcp.start()
        self._tftp.start()
        self._no_router.start()
        logger.info(
            "answering on %s, %s",
            self._network.interface,
            "beside another DHCP server" if self._network.proxy else "as its DHCP server",
        )
        try:
            while not self._waits(stop):
                self._hear()
                with self._database_may_be_away():
                    self._discover()
                    self._look()
                    self._write_down()
        finally:
            self._dhcp.end()
            self._tftp.end()
            self._no_router.end()
            self._engine.dispose()

    def _waits(self, stop: threading.Event) -> bool:
        """Until it is time for the next look, or dnsmasq said something; True to stop."""
        deadline = time.monotonic() + _LOOK
        while time.monotonic() < deadline and self._lines.empty():
            if stop.wait(_BREATH):
                return True
        # The lines of one request come together.
        return stop.wait(_BREATH)

    @contextlib.contextmanager
    def _database_may_be_away(self) -> Iterator[None]:
        try:
            yield
        except Busy as error:
            if not self._is_away:
                logger.warning("going on with what is known: %s", error)
            self._is_away = True
        else:
            self._is_away = False

    def _discover(self) -> None:
        """Let strangers boot the ramdisk, where that is wanted."""
        asking, self._unknown = self._unknown, set()
        for mac in sorted(asking):
            with contextlib.suppress(Conflict), writing(self._engine) as connection:
                if answer_unknown(connection, self._settings, mac):
                    logger.info("%s is unknown and boots over the network: the ramdisk", mac)

    def _look(self) -> None:
        """Read which boots are open, and have dnsmasq read it when that changed."""
        with reading(self._engine) as connection:
            rows = active_boots(connection, self._settings.served_zones)
        self._boots = {row.mac: row for row in rows}
        armed = tuple(self._armed(row) for row in rows if row.state == BootState.OPEN)
        self._no_router.macs = frozenset(boot.mac for boot in armed)
        now = time.monotonic()
        if self._unread_since is None:
            if armed != self._written:
                self._tell(armed)
        elif now - self._unread_since > _STARTING:
            logger.warning("dnsmasq is not ready after %g s; starting it again", _STARTING)
            self._tell(armed)

    def _armed(self, boot: Row[Any]) -> Armed:
        token = token_of(self._seal, boot.boot_id)
        return Armed(boot.boot_id, boot.mac, f"{self._settings.boot_url}/boot/{token}/script.ipxe")

    def _tell(self, armed: tuple[Armed, ...]) -> None:
        _write(self._settings.boot / BOOTS, boots_file(armed, self._network.proxy))
        self._written, self._unread_since = armed, time.monotonic()
        # SIGHUP would do for a hosts file, but dnsmasq 2.90 dies after it when hosts have tags; and
        # what a proxy answers is read at start only. A start takes milliseconds, leases are kept.
        self._dhcp.restart()

    def _prepare(self) -> None:
        """The file dnsmasq cannot start without; who was known last stays so."""
        path = self._settings.boot / BOOTS
        if not path.exists():
            _write(path, "")

    def _hear(self) -> None:
        """Take in what dnsmasq said, whether or not it can be written down now."""
        self._kept += loudly(list(self._sightings()), self._repeats)

    def _write_down(self) -> None:
        if not self._kept:
            return
        try:
            with writing(self._engine) as connection:
                record(connection, list(self._kept))
        except Busy:
            raise  # later
        except Exception:  # machines must be answered, whatever is wrong with a log line
            logger.exception("%d things machines did are not in the log", len(self._kept))
        self._kept.clear()

    def _sightings(self) -> Iterator[Sighting]:
        """What dnsmasq said since, of the machines we know."""
        for line in _drain(self._lines):
            said = self._listener.understand(line)
            if said is None:
                continue
            if said.kind is Kind.READY:
                yield from self._have_armed()
            elif boot := self._boots.get(self._mac(said)):
                if sighting := sighting_of(boot, said):
                    yield sighting
            elif said.kind is Kind.IGNORED:
                self._hear_stranger(said)

    def _hear_stranger(self, said: Said) -> None:
        if self._strangers.is_new(said.mac):
            logger.info("%s asks for an address; nobody waits for it, no answer", said.mac)
        may_boot = self._settings.discovery and said.is_network_boot
        if may_boot and len(self._unknown) < _MOST_UNKNOWN and self._heard.is_new(said.mac):
            self._unknown.add(said.mac)

    def _mac(self, said: Said) -> str:
        if said.mac and said.address:
            self._addresses[said.address] = said.mac
        return said.mac or self._addresses.get(said.address) or _neighbour(said.address)

    def _have_armed(self) -> Iterator[Sighting]:
        """dnsmasq has read what we wrote last."""
        if self._written is None:
            return
        self._unread_since = None
        now = time.time()
        known = {armed.boot_id for armed in self._written}
        for boot in self._boots.values():
            if boot.boot_id in known and boot.armed_time is None:
                yield Sighting(boot, "the boot server is ready for it", {"armed_time": now})


def _drain(lines: "queue.Queue[str]") -> Iterator[str]:
    with contextlib.suppress(queue.Empty):
        while True:
            line = lines.get_nowait()
            if _IS_WORD_OF_ITS_OWN.match(line):
                logger.info("%s", line)
            yield line


# Not a detail of a request, which has a number; those lines also hold the boots' tokens.
_IS_WORD_OF_ITS_OWN = re.compile(r"dnsmasq(-dhcp|-tftp)?(\[\d+\])?: (?!\d+ )")


def _write(path: Path, text: str) -> None:
    """All of it or nothing: dnsmasq may read at any moment."""
    new = path.with_name(f"{path.name}.new")
    with open(new, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)
    new.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # tokens


def _neighbour(address: str) -> str:
    """The MAC this host last saw at an address of its own network."""
    for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[0] == address:
            return fields[3]
    return ""
