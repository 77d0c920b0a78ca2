"""IPMI over LAN by pyghmi, one session at a time; nothing else here imports pyghmi's IPMI.

pyghmi's session class is used without its `Command`, which asks every BMC for its vendor first and
gives up on setting a boot device when the BMC does not know "do not forget it after 60 s".

What we know about pyghmi 1.6.19, and do about it:
- An answer that arrives before anybody waits for it is not seen until a timer of 0.5 s or more:
  `_io_wait` is replaced.
- With credentials as text, a second login to the same BMC fails or returns a dead session: they are
  bytes here.
- It deadlocks with threads and silent BMCs, and its only deadline is its own: use it from one thread
  of a process that can be killed (api/bmc/worker.py).
- After any refusal to open a session it tries again with SHA-1, and then reports how that ended: a
  BMC without a free session would seem to lack a cipher suite. `_Session` looks at the first answer.
"""

import threading
import time
from contextlib import suppress
from typing import Any

from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.private import session as pyghmi

from api.bmc.client import About, BootDevice, Device, PowerOrder
from api.bmc.fru import Fru, FruFault, fetch_fru, lenovo_macs, parse_fru
from api.bmc.identify import mac_of
from api.bmc.target import BmcError, BmcTarget
from api.states import PowerState, Reason

CHASSIS, APPLICATION, STORAGE, TRANSPORT = 0x00, 0x06, 0x0A, 0x0C  # functions
CHASSIS_STATUS = 0x01
CHASSIS_CONTROL = 0x02
SET_BOOT_OPTION = 0x08
GET_BOOT_OPTION = 0x09
FLAGS_CLEARING = 3  # boot option: when the BMC forgets the boot flags by itself
BOOT_FLAGS = 5
DEVICE_ID = 0x01
FRU_SIZE = 0x10
FRU_READ = 0x11
LAN_PARAMETER = 0x02
MAC_ADDRESS = 5  # LAN parameter
_CHANNELS = (0x0E, 1)  # the one we talk over; some BMCs do not know that number, and have it first

_ORDERS: dict[PowerOrder, int] = {"off": 0, "on": 1, "cycle": 2, "soft_off": 5}
_DEVICES: dict[Device, int] = {"none": 0, "pxe": 1, "disk": 2}
_VALID, _PERSISTENT, _EFI = 0x80, 0x40, 0x20
# Completion codes that say "not now": node busy, timeout while processing, BMC still starting.
_BUSY_CODES = frozenset({0xC0, 0xC3, 0xD2})
_TOO_LONG_CODES = frozenset({0xC7, 0xC8, 0xC9, 0xCA})  # as BMCs refuse too many bytes at once
# IANA's numbers of IBM's and Lenovo's servers, whose FRU data tell more.
_LENOVO = frozenset({20301, 19046, 7154})
_NO_SESSION_CODES = {0x01: "has no free session", 0x0B: "has no free session for this user"}
_LOGIN_WORDS = ("password", "unauthorized", "invalid role", "username", "privelege level", "rakp")
_CIPHER_WORDS = ("algorithm", "cipher", "integrity payload")
_NO_SESSION = "no free session"


class IpmiClient:
    """A session with one BMC over RMCP+."""

    certificate = ""

    def __init__(self, target: BmcTarget, *, slowness: float = 0.0) -> None:
        self._interval = target.interval
        self._last = 0.0
        # pyghmi's first timer; a BMC that is slower than it would be asked twice and never heard.
        pyghmi.initialtimeout = min(max(0.5, 3 * slowness), 5.0)
        try:
            self._session = _Session(
                target.address,
                target.username.encode(),
                target.password.encode(),
                port=target.port,
            )
        except IpmiException as error:
            raise _refused_login(str(error)) from None

    def power_state(self) -> PowerState:
        status = self._ask(CHASSIS_STATUS)
        if not status:
            raise BmcError(Reason.BMC_REFUSED, "answers nothing when asked for its power state")
        return PowerState.ON if status[0] & 1 else PowerState.OFF

    def set_power(self, order: PowerOrder) -> None:
        self._ask(CHASSIS_CONTROL, _ORDERS[order])

    def boot_device(self) -> BootDevice | None:
        try:
            answer = self._ask(GET_BOOT_OPTION, BOOT_FLAGS, 0, 0)
        except BmcError as error:
            if error.reason != Reason.BMC_REFUSED:
                raise
            return None
        if len(answer) < 5 or answer[1] & 0x7F != BOOT_FLAGS:
            return None
        flags, device = answer[2], answer[3] >> 2 & 0x0F
        if not flags & _VALID:  # whatever else it says is left over from an earlier boot
            return BootDevice("none")
        names: dict[int, Device] = {number: name for name, number in _DEVICES.items()}
        return BootDevice(
            names.get(device, "other"), once=not flags & _PERSISTENT, uefi=bool(flags & _EFI)
        )

    def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        try:
            # Keep the boot flags until the machine boots, and not for 60 s only.
            self._ask(SET_BOOT_OPTION, FLAGS_CLEARING, 0x08)
        except BmcError as error:
            # BMCs that do not know this option still have boot flags; the boot follows at once.
            if error.reason != Reason.BMC_REFUSED:
                raise
        flags = _VALID | (0 if once else _PERSISTENT) | (_EFI if uefi else 0)
        self._ask(SET_BOOT_OPTION, BOOT_FLAGS, flags, _DEVICES[device] << 2, 0, 0, 0)

    def about(self) -> About:
        try:
            fru = self._fru()
        except FruFault as fault:
            fru = Fru(notes=(str(fault),))
        return About(
            maker=fru.maker,
            product=fru.product,
            serial_number=fru.serial_number,
            bmc_mac=self._mac(),
            boot_macs=self._boot_macs(fru),
            notes=fru.notes,
        )

    def _fru(self) -> Fru:
        try:
            size = self._ask(FRU_SIZE, 0, function=STORAGE)
            if len(size) < 3:
                raise FruFault("says nothing about its FRU data")
            width = 2 if size[2] & 1 else 1  # some count words
            data = fetch_fru(
                lambda start, count: self._read_fru(start, count, width),
                int.from_bytes(size[:2], "little"),
            )
        except _Refusal as refusal:
            raise FruFault(f"its FRU data cannot be read ({refusal.code:02X}h)") from None
        return parse_fru(data)

    def _read_fru(self, start: int, count: int, width: int) -> bytes | None:
        place = (start // width).to_bytes(2, "little")
        try:
            answer = self._ask(FRU_READ, 0, *place, -(-count // width), function=STORAGE)
        except _Refusal as refusal:
            if refusal.code in _TOO_LONG_CODES:
                return None
            raise
        return answer[1 : 1 + answer[0] * width] if answer else b""

    def _mac(self) -> str:
        for channel in _CHANNELS:
            with suppress(_Refusal):
                answer = self._ask(LAN_PARAMETER, channel, MAC_ADDRESS, 0, 0, function=TRANSPORT)
                return mac_of(answer[1:7])
        return ""

    def _boot_macs(self, fru: Fru) -> tuple[str, ...]:
        found = lenovo_macs(fru)
        with suppress(_Refusal):
            if found and self._vendor() in _LENOVO:
                return found
        return ()

    def _vendor(self) -> int:
        return int.from_bytes(self._ask(DEVICE_ID, function=APPLICATION)[6:9], "little") & 0xFFFFF

    def close(self) -> None:
        with suppress(IpmiException):  # the BMC is gone, and with it the session
            self._session.logout()

    def _ask(self, command: int, *data: int, function: int = CHASSIS) -> bytes:
        time.sleep(max(0.0, self._last + self._interval - time.monotonic()))
        try:
            answer = self._session.raw_command(netfn=function, command=command, data=data)
        except IpmiException:
            raise BmcError(Reason.BMC_SILENT, "fell silent in the middle of the session") from None
        finally:
            self._last = time.monotonic()
        return _checked(answer)


class _Refusal(BmcError):
    """A command was refused, with a completion code that may say why."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(Reason.BMC_REFUSED, f"refused ({code:02X}h): {words}")
        self.code = code


def _checked(answer: dict[str, Any]) -> bytes:
    code = answer.get("code", 0)
    if code == 0xFFFF:
        raise BmcError(Reason.BMC_SILENT, "fell silent in the middle of the session")
    if code in _BUSY_CODES:
        raise BmcError(Reason.BMC_BUSY, f"is busy ({code:02X}h)")
    if code or "error" in answer:
        words = str(answer.get("error") or "no reason given")
        raise _Refusal(code, words)
    return bytes(answer["data"])


def _refused_login(words: str) -> BmcError:
    """What a failed login means; pyghmi has sentences for it, and None for silence."""
    said = words.lower()
    if said in ("", "none") or "timeout" in said:
        return BmcError(Reason.BMC_SILENT, "is there, but does not answer the login")
    if _NO_SESSION in said or "insufficient resources" in said:
        return BmcError(Reason.BMC_BUSY, "has no free session")
    if any(word in said for word in _CIPHER_WORDS):
        return BmcError(Reason.BMC_NO_CIPHER, f"has neither cipher suite 3 nor 17 for us: {words}")
    if any(word in said for word in _LOGIN_WORDS):
        return BmcError(Reason.BMC_LOGIN_REFUSED, f"refused the login: {words}")
    return BmcError(Reason.BMC_REFUSED, f"ended the login: {words}")


class _Session(pyghmi.Session):  # type: ignore[misc]  # pyghmi has no types
    """pyghmi's session, without its second guess about a BMC that has no session left."""

    def _got_rmcp_response(self, data: bytearray) -> Any:
        is_ours = self.sessioncontext == "OPENSESSION" and data[0] == self.rmcptag
        if is_ours and data[1] in _NO_SESSION_CODES:
            self.onlogon({"error": _NO_SESSION_CODES[data[1]]})
            return -9
        return super()._got_rmcp_response(data)


def _io_wait(timeout: float, myaddr: Any = None, evq: Any = None) -> None:
    """As pyghmi's, but looks whether the answer is there already before it waits for one."""
    event = threading.Event()
    if evq is not None:
        evq.append(event)
    deadline = timeout + pyghmi._monotonic_time()
    pyghmi.ioqueue.append((deadline, event, myaddr))
    if myaddr is not None:
        handlers = pyghmi.Session.bmc_handlers.get(myaddr, {})
        if any(session.pktqueue for session in list(handlers.values())):
            return
    elif pyghmi.sessionqueue:
        return
    if deadline < pyghmi.selectdeadline:
        waker = pyghmi.iosockets[0]
        waker.sendto(b"\x01", (pyghmi.myself, waker.getsockname()[1]))
    event.wait()


pyghmi._io_wait = _io_wait
