"""A switch that says by LLDP who it is, to the card of a machine.

with LldpNeighbour(segment, rack.tap("r01n01"), switch="sw-r01", port="Ethernet1/7"):
    ...  # every second a frame arrives at that card
"""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

from tests.lab.segment import Segment

CHASSIS = "02:1b:d0:00:00:01"
_NEAREST_BRIDGE = "01:80:c2:00:00:0e"
_ETHERTYPE = 0x88CC
_EVERY = 1.0  # seconds; switches take thirty, and tests are in a hurry
_LIFETIME = 120
_MAC, _INTERFACE_NAME = 4, 5  # kinds of chassis and port ids


class LldpNeighbour:
    """What is at the other end of a card's cable; a context manager."""

    def __init__(
        self, segment: Segment, interface: str, *, switch: str, port: str, chassis: str = CHASSIS
    ) -> None:
        """`interface` is the segment's side of the cable: a machine's tap."""
        self._segment = segment
        self._interface = interface
        self._frame = lldp_frame(switch=switch, port=port, chassis=chassis)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, name=f"lldp {interface}", daemon=True)

    def __enter__(self) -> Self:
        with self._segment.inside():  # a socket stays where it was made
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((self._interface, 0))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _speak(self) -> None:
        while not self._over.wait(_EVERY):
            try:
                self._socket.send(self._frame)
            except OSError:  # nobody is at the other end: the machine is off
                continue


def lldp_frame(*, switch: str, port: str, chassis: str) -> bytes:
    """An Ethernet frame with what every switch says: chassis id, port id, time to live, its name."""
    header = _mac(_NEAREST_BRIDGE) + _mac(chassis) + struct.pack(">H", _ETHERTYPE)
    parts = (
        _part(1, bytes([_MAC]) + _mac(chassis)),
        _part(2, bytes([_INTERFACE_NAME]) + port.encode()),
        _part(3, struct.pack(">H", _LIFETIME)),
        _part(4, f"to a machine, {port}".encode()),
        _part(5, switch.encode()),
        _part(0, b""),
    )
    return (header + b"".join(parts)).ljust(60, b"\0")


def _part(kind: int, value: bytes) -> bytes:
    return struct.pack(">H", kind << 9 | len(value)) + value


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
