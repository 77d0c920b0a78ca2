"""Somebody whom webhooks tell what happened: a real HTTP server on the loopback, with its memory."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]  # names in small letters
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body's JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(slots=True)
class Receiver:
    """What came, and what is answered: a status for each request, made by `answer`."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], int] = lambda _received: 204
    location: str = ""  # where a redirect leads
    connections: int = 0

    @property
    def places(self) -> list[int]:
        """The field `place` of every event that came."""
        return [one.event["place"] for one in self.received]


@contextmanager
def receiving(trust: tuple[Any, Any] | None = None, name: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver that listens until the end; with a certificate and its key, by HTTPS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    scheme = "http"
    if trust is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*trust)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        scheme = "https"
    receiver = Receiver(f"{scheme}://{name}:{server.server_address[1]}/hook?key=x")
    server.receiver = receiver  # type: ignore[attr-defined]  # its handlers find it there
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def setup(self) -> None:
        super().setup()
        self._receiver.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.path, headers, body)
        self._receiver.received.append(received)
        self.send_response(self._receiver.answer(received))
        self.send_header("content-length", "0")
        if self._receiver.location:
            self.send_header("location", self._receiver.location)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests look at what was received instead."""

    @property
    def _receiver(self) -> Receiver:
        found: Receiver = self.server.receiver  # type: ignore[attr-defined]  # set when it was made
        return found
