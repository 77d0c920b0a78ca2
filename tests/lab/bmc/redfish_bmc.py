"""A Redfish BMC of ours, for what sushy-tools' emulator lacks: sessions, one-time boot devices, a machine
that is told of in full, and answers that are not what they should be (`Profile.web_fault`):

- `huge`: 64 MB of JSON
- `packed`: 256 MB, packed into 256 KB
- `deep`: lists in lists, 100 000 of them
- `types`: every value is of another type than it should be
- `endless`: never ends
- `crooked`: links that lead in circles, out of the tree, and to what is not there
"""

import base64
import gzip
import json
import ssl
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.lab.bmc.certificate import write_certificate
from tests.lab.bmc.profile import Profile

_ROOT = "/redfish/v1"
_SYSTEM = f"{_ROOT}/Systems/1"
_SESSIONS = f"{_ROOT}/SessionService/Sessions"


@dataclass
class Machine:
    """What the BMC is asked about."""

    is_on: bool = False
    boots: list[str] = field(default_factory=list)  # the device of each
    boot: dict[str, str] = field(
        default_factory=lambda: {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideMode": "UEFI",
        }
    )

    def reset(self, kind: str) -> None:
        if kind in ("ForceOff", "GracefulShutdown"):
            self.is_on = False
            return
        self.is_on = True
        is_set = self.boot["BootSourceOverrideEnabled"] != "Disabled"
        self.boots.append(self.boot["BootSourceOverrideTarget"] if is_set else "None")
        if self.boot["BootSourceOverrideEnabled"] == "Once":
            self.boot["BootSourceOverrideEnabled"] = "Disabled"


def mac_of(address: str, number: int) -> str:
    """The MAC of a card of the machine, and with number 0 of the BMC."""
    return f"02:f{number:x}:" + ":".join(f"{int(part):02x}" for part in address.split("."))


# What works with every fault, for who has to get as far as to the others.
_SOUND = (_ROOT, f"{_ROOT}/Systems", f"{_ROOT}/Managers", _SYSTEM)
_CROOKED: dict[str, Any] = {
    "@odata.id": _SYSTEM,
    "Members": [
        {"@odata.id": path}
        for path in (
            _SYSTEM,
            "http://127.0.0.1/",
            "/etc/passwd",
            f"{_ROOT}/\r\nX: y",
            f"{_ROOT}/ü",
            7,
        )
    ]
    * 1000,
    "Drives": [{"@odata.id": f"{_ROOT}/nowhere"}] * 1000,
}


def _in_other_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_other_types(one) for name, one in value.items()}
    if isinstance(value, list):
        return {str(place): one for place, one in enumerate(value)}
    return [value] if isinstance(value, str) else {"value": value}


def _resources(bmc: "RedfishBmc") -> dict[str, Any]:
    """All there is, by path."""
    profile, manager = bmc.profile, f"{_ROOT}/Managers/1"
    ports, processors = f"{_SYSTEM}/EthernetInterfaces", f"{_SYSTEM}/Processors"
    controller = f"{_SYSTEM}/Storage/RAID"
    return {
        _ROOT: {
            "RedfishVersion": "1.9.0",
            "Vendor": "Firstbox",
            "Systems": _link(f"{_ROOT}/Systems"),
            "Managers": _link(f"{_ROOT}/Managers"),
            **({"SessionService": {}} if bmc.max_sessions else {}),
        },
        f"{_ROOT}/Systems": _collection(_SYSTEM),
        f"{_ROOT}/Managers": _collection(manager),
        manager: {"Id": "1", "EthernetInterfaces": _link(f"{manager}/EthernetInterfaces")},
        f"{manager}/EthernetInterfaces": _collection(
            f"{manager}/EthernetInterfaces/usb", f"{manager}/EthernetInterfaces/lan"
        ),
        f"{manager}/EthernetInterfaces/usb": {"Id": "usb", "MACAddress": mac_of(bmc.address, 15)},
        f"{manager}/EthernetInterfaces/lan": {
            "Id": "lan",
            "MACAddress": profile.mac or mac_of(bmc.address, 0),
            "IPv4Addresses": [{"Address": bmc.address}],
        },
        _SYSTEM: {
            "PowerState": "On" if bmc.machine.is_on else "Off",
            "Boot": bmc.machine.boot,
            "Actions": {"#ComputerSystem.Reset": {"target": f"{_SYSTEM}/Actions/Reset"}},
            "Manufacturer": profile.vendor,
            "Model": profile.product,
            "SerialNumber": profile.serial or f"S-{bmc.address}",
            "SKU": "TAG-1",
            "ProcessorSummary": {"Count": 2, "Model": "Simulated CPU"},
            "MemorySummary": {"TotalSystemMemoryGiB": 256},
            **{name: _link(f"{_SYSTEM}/{name}") for name in ("Processors", "Storage")},
            "EthernetInterfaces": _link(ports),
            "Links": {"ManagedBy": [_link(manager)], "Chassis": [_link(f"{_ROOT}/Chassis/1")]},
        },
        f"{_ROOT}/Chassis/1": {"SerialNumber": f"C-{bmc.address}"},
        ports: _collection(*(f"{ports}/{number}" for number in range(1, len(bmc.macs) + 1))),
        **{
            f"{ports}/{number}": {
                "Id": f"NIC.{number}",
                "MACAddress": mac.upper(),
                "SpeedMbps": 10_000,
                "LinkStatus": "LinkUp" if number == 1 else "LinkDown",
            }
            for number, mac in enumerate(bmc.macs, 1)
        },
        processors: _collection(f"{processors}/1", f"{processors}/2"),
        **{
            f"{processors}/{number}": {
                "ProcessorType": "CPU",
                "InstructionSet": "x86-64",
                "TotalCores": 16,
                "TotalThreads": 32,
            }
            for number in (1, 2)
        },
        f"{_SYSTEM}/Storage": _collection(controller),
        controller: {"Drives": [_link(f"{controller}/{disk}") for disk in ("disk0", "nvme0")]},
        f"{controller}/disk0": {
            "Id": "disk0",
            "CapacityBytes": 4_000_787_030_016,
            "Protocol": "SAS",
            "MediaType": "HDD",
            "Model": "Turning",
            "SerialNumber": "T1",
        },
        f"{controller}/nvme0": {
            "Id": "nvme0",
            "CapacityBytes": 960_197_124_096,
            "Protocol": "NVMe",
            "MediaType": "SSD",
            "Model": "Standing",
            "SerialNumber": "N1",
        },
    }


def _collection(*paths: str) -> dict[str, Any]:
    return {"Members": [_link(path) for path in paths]}


def _link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up, or do not like our certificate, are part of the tests."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class RedfishBmc:
    """One BMC at `address`; a context manager. `max_sessions` 0 means it has no session service."""

    def __init__(
        self, address: str, directory: Path, *, port: int = 8443, max_sessions: int = 8
    ) -> None:
        self.address = address
        self.port = port
        self.machine = Machine()
        self.sessions: set[str] = set()
        self.logins = 0
        self.refused_logins = 0
        self.requests = 0
        self.macs = [mac_of(address, 1), mac_of(address, 2)]  # of the machine's cards
        self.delay = 0.0  # seconds each answer takes
        self.max_sessions = max_sessions
        self.profile = Profile()
        self._directory = directory
        self._refused_in_a_row = 0
        self._locked_until = 0.0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> "RedfishBmc":
        self._directory.mkdir(parents=True, exist_ok=True)
        bmc = self

        class Handler(_Handler):
            of = bmc

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*write_certificate(self._directory, self.address))
        self._server = _Server((self.address, self.port), Handler)
        # The handshake happens in the connection's own thread, not in the one that accepts.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def takes(self, login: object) -> bool:
        """Whether this is the user and the password, and nobody is locked out."""
        known = {"UserName": self.profile.username, "Password": self.profile.password}
        if login == known and time.monotonic() >= self._locked_until:
            self._refused_in_a_row = 0
            return True
        self.refused_logins += 1
        self._refused_in_a_row += 1
        if 0 < self.profile.lockout_after <= self._refused_in_a_row:
            self._refused_in_a_row = 0
            self._locked_until = time.monotonic() + self.profile.lockout_seconds
        return False

    def __exit__(self, *_exception: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """The resources that a client for power and boot device asks for."""

    of: RedfishBmc

    def do_GET(self) -> None:
        self.of.requests += 1
        resources = _resources(self.of)
        path = self.path.rstrip("/")
        profile = self.of.profile
        if path != _ROOT and not self._is_known():
            return
        if profile.web_fault and (path not in _SOUND or profile.web_fault_from_root):
            self._answer_badly(profile.web_fault, resources.get(path, {}))
        elif path in resources:
            self._answer(200, resources[path])
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        asked = self._body()
        if self.path == _SESSIONS:
            self._log_in(asked)
        elif self._is_known():
            self.of.machine.reset(asked["ResetType"])
            self._answer(204, None)

    def do_PATCH(self) -> None:
        asked = self._body()
        if self._is_known():
            self.of.machine.boot.update(asked["Boot"])
            self._answer(200, {})

    def do_DELETE(self) -> None:
        if self._is_known():
            self.of.sessions.discard(self.path.rpartition("/")[2])
            self._answer(204, None)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing on the terminal."""

    def _log_in(self, asked: dict[str, str]) -> None:
        if not self.of.takes(asked):
            self._answer(401, {})
        elif len(self.of.sessions) >= self.of.max_sessions:
            self._answer(503, {})
        else:
            self.of.logins += 1
            token = f"token-{self.of.logins}"
            self.of.sessions.add(token)
            self._answer(201, {}, {"X-Auth-Token": token, "Location": f"{_SESSIONS}/{token}"})

    def _is_known(self) -> bool:
        """By session, or by user and password with each request."""
        if self.headers.get("X-Auth-Token") in self.of.sessions:
            return True
        kind, _, pair = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(pair).decode().partition(":")
            if self.of.takes({"UserName": user, "Password": password}):
                return True
        self._answer(401, {})
        return False

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(
        self, status: int, body: dict[str, Any] | None, headers: dict[str, str] | None = None
    ) -> None:
        time.sleep(self.of.delay)
        with suppress(ConnectionError):  # the client gave up
            self._send(status, body, headers or {})

    def _answer_badly(self, fault: str, resource: dict[str, Any]) -> None:
        with suppress(ConnectionError):  # the client had enough
            match fault:
                case "huge":
                    self._write_raw(b'{"Members": ["' + b"A" * 64_000_000 + b'"]}')
                case "packed":
                    packed = gzip.compress(b"[" * 256_000_000, 1)
                    self._write_raw(packed, {"Content-Encoding": "gzip"})
                case "deep":
                    self._write_raw(b"[" * 100_000 + b"]" * 100_000)
                case "types":
                    self._write_raw(json.dumps(_in_other_types(resource)).encode())
                case "crooked":
                    self._write_raw(json.dumps(_CROOKED).encode())
                case "endless":
                    self.send_response(200)
                    self.end_headers()
                    while True:
                        self.wfile.write(b"A" * 65_536)

    def _write_raw(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send(self, status: int, body: dict[str, Any] | None, headers: dict[str, str]) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
