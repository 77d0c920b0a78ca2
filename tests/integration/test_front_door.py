"""From the host to a service in a network namespace."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.lab import LabError
from tests.lab.front_door import FrontDoor
from tests.lab.segment import Segment

pytestmark = pytest.mark.lab

PORT = 18321


@pytest.fixture
def door() -> Iterator[FrontDoor]:
    """A door to a service in a namespace, which sends back what it was sent, in capitals."""
    with FrontDoor(PORT) as door, Segment("10.77.0.1/24") as segment:
        with segment.inside():
            service = socket.create_server(("127.0.0.1", PORT))
        with service:
            thread = threading.Thread(target=shout, args=(service,), daemon=True)
            thread.start()
            door.open_to(segment, "127.0.0.1", PORT)
            yield door
            thread.join(10)


def shout(service: socket.socket) -> None:
    heard = b""
    caller, _ = service.accept()
    with caller:
        while data := caller.recv(65536):
            heard += data
        caller.sendall(heard.upper())


def test_all_that_is_said_at_the_door_reaches_the_service_and_is_answered(door: FrontDoor) -> None:
    question = b"a long question " * 50_000
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as caller:
        caller.sendall(question)
        caller.shutdown(socket.SHUT_WR)

        assert b"".join(iter(lambda: caller.recv(65536), b"")) == question.upper()


def test_two_doors_at_one_port_are_refused() -> None:
    with FrontDoor(PORT), pytest.raises(LabError, match=f"port {PORT} .*in use"):
        FrontDoor(PORT)
