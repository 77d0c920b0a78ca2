"""Redfish by pyghmi; nothing else here imports its Redfish client.

What we know about pyghmi 1.6.19, and do about it:
- It opens a session and never deletes it; BMCs have about eight. `_Command` remembers where it is.
- It answers questions about the boot device from a cache of 30 s, which is emptied before each.
- Its requests may take 60 s: a deadline of our own ends the process (api/bmc/worker.py).
- It takes in whatever is sent, packed or not, to the last byte: `_Answer` reads so much and no more.
- For each connection it reads the system's certificates, 25 ms of CPU, and then uses none of them: `_Ssl`.
- It opens a connection for each request, and each costs a BMC a good part of a second: what is only
  read for `about` comes over one.
"""

import hashlib
import json
import ssl
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar

from pyghmi.exceptions import PyghmiException, RedfishError, UnrecognizedCertificate
from pyghmi.redfish.command import Command
from pyghmi.util import webclient
from pyghmi.util.webclient import SecureHTTPConnection

from api.bmc.client import About, BootDevice, Device, PowerOrder
from api.bmc.inventory import Resource, read_about
from api.bmc.target import BmcError, BmcTarget
from api.states import PowerState, Reason

ROOT = "/redfish/v1/"
SESSIONS = f"{ROOT}SessionService/Sessions"
_MOST_BYTES = 2_000_000  # of one answer; real ones are a hundredth of it
_PATIENCE = 10.0  # seconds for what machine it is; a BMC with many disks may need longer

# Redfish's ForceRestart is the cycle that every BMC has; PowerCycle is missing on many.
_ORDERS: dict[PowerOrder, str] = {
    "on": "on",
    "off": "off",
    "soft_off": "shutdown",
    "cycle": "reset",
}
_DEVICES: dict[Device, str] = {"none": "default", "pxe": "network", "disk": "hd"}
_BUSY_MESSAGES = ("ServiceTemporarilyUnavailable", "ResourceInUse", "RAC0218")
_STATES = {
    "on": PowerState.ON,
    "off": PowerState.OFF,
    "poweringon": PowerState.OFF,
    "poweringoff": PowerState.ON,
}

T = TypeVar("T")


class _Ssl:
    """The module `ssl` as pyghmi sees it, with one context for all connections.

    It checks no certificate, as pyghmi's own would not: `RedfishClient` holds a BMC to the one it showed.
    """

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def create_default_context(self) -> ssl.SSLContext:
        return self._context

    def __getattr__(self, name: str) -> Any:
        return getattr(ssl, name)


webclient.ssl = _Ssl()


class RedfishClient:
    """A session with one BMC over HTTPS, whose certificate is held to the one of first contact."""

    def __init__(self, target: BmcTarget) -> None:
        self.certificate = ""
        self._known = target.certificate
        self._address, self._interval = target.address, target.interval
        self._command: _Command = _translated(
            lambda: _Command(
                target.address, target.username, target.password, self._accept, port=target.port
            )
        )
        if not self._command.sysurl:
            self.close()
            raise BmcError(Reason.BMC_REFUSED, "has no system, or several, at /redfish/v1/Systems")

    def power_state(self) -> PowerState:
        said = _translated(self._command.get_power)["powerstate"]
        if said not in _STATES:
            raise BmcError(Reason.BMC_REFUSED, f"says its machine is {said!r}")
        return _STATES[said]

    def set_power(self, order: PowerOrder) -> None:
        _translated(lambda: self._command.set_power(_ORDERS[order]))

    def boot_device(self) -> BootDevice | None:
        self._command._urlcache.clear()
        try:
            said = self._command.get_bootdev()
        except PyghmiException:
            return None  # a device or mode it has no word for, as older Supermicro BMCs answer
        names = {name: device for device, name in _DEVICES.items()}
        return BootDevice(
            names.get(said["bootdev"], "other"),
            once=not said["persistent"],
            uefi=bool(said.get("uefimode")),
        )

    def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        # pyghmi names a mode in any case, UEFI when it is told none: then the present one, for a
        # machine that boots otherwise would not start. A BMC that refuses it is asked without.
        mode = self._mode() if uefi is None else uefi
        _translated(
            lambda: self._command.set_bootdev(_DEVICES[device], persist=not once, uefiboot=mode)
        )

    def _mode(self) -> bool | None:
        boot = _translated(lambda: self._command.sysinfo.get("Boot", {}))
        return {"UEFI": True, "Legacy": False}.get(boot.get("BootSourceOverrideMode"))

    def about(self) -> About:
        system = _translated(lambda: self._command.sysinfo)
        if not isinstance(system, dict):
            raise BmcError(Reason.BMC_REFUSED, "answers what we cannot read about its system")
        reader = _Reader(self._command.wc.dupe(), self._interval)
        try:
            root = reader.get(ROOT)
            about = _translated(lambda: read_about(reader.get, root, system, self._address))
        finally:
            reader.close()
        return replace(about, notes=reader.notes)

    def close(self) -> None:
        self._command.end_session()

    def _accept(self, certificate: bytes) -> bool:
        self.certificate = hashlib.sha256(certificate).hexdigest()
        return not self._known or self.certificate == self._known


class _Command(Command):  # type: ignore[misc]  # pyghmi has no types
    """pyghmi's client, which can log out."""

    _session = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except Exception:  # whatever it was: the session may have been opened before
            self.end_session()
            raise

    def _get_session_token(self, wc: Any) -> None:
        login = {"UserName": self.username, "Password": self.password}
        answer = wc.grab_rsp(SESSIONS, login)
        answer.read()
        if answer.status in (401, 403):  # once is enough: BMCs lock out who fails several times
            raise BmcError(Reason.BMC_LOGIN_REFUSED, "refused the login")
        self.xauthtoken = answer.getheader("X-Auth-Token")
        if self.xauthtoken:  # without it the requests go on with user and password
            self._session = answer.getheader("Location") or ""
            for client in (wc, self.wc):
                client.stdheaders.pop("Authorization", None)
                client.stdheaders["X-Auth-Token"] = self.xauthtoken

    def end_session(self) -> None:
        """Delete the session, if there is one."""
        session, self._session = self._session, ""
        path = session[session.find("/redfish/") :] if "/redfish/" in session else ""
        if path:
            # Its work is done: a BMC that fails here ends the session by itself, later.
            with suppress(PyghmiException, HTTPException, OSError):
                self.wc.grab_rsp(path, method="DELETE").read()


class _Reader:
    """Resources over one connection, until our patience ends."""

    def __init__(self, connection: SecureHTTPConnection, interval: float) -> None:
        self._connection = connection
        self._interval = interval
        self._until = time.monotonic() + _PATIENCE
        self._is_garbled = False
        self._is_late = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said about what is missing."""
        late = ("is too slow to tell all of its hardware",) if self._is_late else ()
        return late + (("garbles some of what it tells",) if self._is_garbled else ())

    def get(self, path: str) -> Resource:
        """What is there; nothing when it cannot be read."""
        self._is_late = self._is_late or time.monotonic() > self._until
        if not path or self._is_late:
            return {}
        time.sleep(self._interval)
        for _ in range(2):
            try:
                return self._read(path)
            except _TooMuch:
                self._is_garbled = True
                self._connection.close()
                return {}
            except (OSError, HTTPException):
                self._connection.close()  # it may have ended it after the answer before
        raise BmcError(Reason.BMC_SILENT, "fell silent in the middle of the session")

    def close(self) -> None:
        self._connection.close()

    def _read(self, path: str) -> Resource:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:  # many have only part of the resources they point to
            return {}
        try:
            resource = json.loads(body)
        except (ValueError, RecursionError):
            resource = None
        if isinstance(resource, dict):
            return resource
        self._is_garbled = True
        return {}


class _TooMuch(HTTPException):
    """An answer longer than any real one."""


class _Answer(HTTPResponse):
    """An answer that is unpacked here, and of which no more is taken than a real one has."""

    def read(self, amt: int | None = None) -> bytes:
        if amt is not None:
            return super().read(amt)
        body = super().read(_MOST_BYTES + 1)
        if self.headers.get("Content-Encoding") == "gzip":
            with suppress(zlib.error):  # some say so of what is not packed
                body = zlib.decompressobj(31).decompress(body, _MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise _TooMuch
        return body

    def getheader(self, name: str, default: Any = None) -> Any:
        return default if name == "Content-Encoding" else super().getheader(name, default)


SecureHTTPConnection.response_class = _Answer


def _translated(ask: Callable[[], T]) -> T:
    """The answer, or a BmcError for whatever went wrong."""
    try:
        return ask()
    except UnrecognizedCertificate:
        message = "shows another certificate than at first contact"
        raise BmcError(Reason.BMC_CERTIFICATE_CHANGED, message) from None
    except RedfishError as error:
        is_busy = any(word in str(error.msgid) for word in _BUSY_MESSAGES)
        reason = Reason.BMC_BUSY if is_busy else Reason.BMC_REFUSED
        raise BmcError(reason, f"refused: {error or error.msgid or 'no reason given'}") from None
    except PyghmiException as error:
        if "Access Denied" in str(error):
            raise BmcError(Reason.BMC_LOGIN_REFUSED, "refused the login") from None
        raise BmcError(Reason.BMC_REFUSED, f"refused: {str(error)[:200]}") from None
    except _TooMuch:
        raise BmcError(Reason.BMC_REFUSED, "answers more than we can read") from None
    except (OSError, HTTPException) as error:
        raise BmcError(Reason.BMC_SILENT, f"cannot be reached: {error}") from None
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
        # pyghmi trusts that answers have the form it expects.
        raise BmcError(Reason.BMC_REFUSED, f"answers what we cannot read: {error!r}") from None
