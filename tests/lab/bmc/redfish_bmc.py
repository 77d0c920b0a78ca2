"""A Redfish BMC of ours, for what sushy-tools' emulator lacks: sessions, and one-time boot devices."""

import base64
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
        self.delay = 0.0  # seconds each answer takes
        self.max_sessions = max_sessions
        self.profile = Profile()
        self._directory = directory
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

    def __exit__(self, *_exception: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """The resources that a client for power and boot device asks for."""

    of: RedfishBmc

    def do_GET(self) -> None:
        resources: dict[str, Any] = {
            _ROOT: {
                "Systems": {"@odata.id": f"{_ROOT}/Systems"},
                "Managers": {"@odata.id": f"{_ROOT}/Managers"},
                **({"SessionService": {}} if self.of.max_sessions else {}),
            },
            f"{_ROOT}/Systems": {"Members": [{"@odata.id": _SYSTEM}]},
            f"{_ROOT}/Managers": {"Members": [{"@odata.id": f"{_ROOT}/Managers/1"}]},
            f"{_ROOT}/Managers/1": {"Id": "1"},
            _SYSTEM: {
                "PowerState": "On" if self.of.machine.is_on else "Off",
                "Boot": self.of.machine.boot,
                "Actions": {"#ComputerSystem.Reset": {"target": f"{_SYSTEM}/Actions/Reset"}},
            },
        }
        path = self.path.rstrip("/")
        if path == _ROOT or self._is_known():
            self._answer(200, resources[path]) if path in resources else self._answer(404, {})

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
        known = {"UserName": self.of.profile.username, "Password": self.of.profile.password}
        if asked != known:
            self.of.refused_logins += 1
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
        pair = f"{self.of.profile.username}:{self.of.profile.password}".encode()
        basic = "Basic " + base64.b64encode(pair).decode()
        if self.headers.get("X-Auth-Token") in self.of.sessions:
            return True
        if self.headers.get("Authorization") == basic:
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

    def _send(self, status: int, body: dict[str, Any] | None, headers: dict[str, str]) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
