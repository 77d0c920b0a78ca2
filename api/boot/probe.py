"""Finds other DHCP servers on a network before we become one: asks for an address, and takes none.

Raw frames, because the host itself has an address, and answers to machines without one would not reach an
ordinary socket.
"""

import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from api.errors import FirstboxError
from api.states import ADVICE, Reason

SECONDS = 5.0  # a server may look for three whether the address is free
_AGAIN = 1.0  # seconds between two questions
_ETH_P_IP = 0x0800
_SIOCGIFHWADDR, _SIOCGIFADDR = 0x8927, 0x8915
_COOKIE = bytes([99, 130, 83, 99])
_DISCOVER, _OFFER = 1, 2
# Options by their numbers in RFC 2132 and 4578.
_MESSAGE_TYPE, _SERVER, _REQUESTED = 53, 54, 55
_VENDOR_CLASS, _ARCHITECTURE, _END = 60, 93, 255


@dataclass(frozen=True, slots=True)
class Server:
    """A DHCP server that answered."""

    address: str
    mac: str
    offered: str  # "" when it only says what to boot (proxy DHCP)

    def __str__(self) -> str:
        what = f"offers {self.offered}" if self.offered else "says what to boot"
        return f"{self.address} ({self.mac}) {what}"


def find_servers(interface: str, seconds: float = SECONDS) -> list[Server]:
    """DHCP servers other than this host that answer on an interface within `seconds`.

    Raises FirstboxError when the interface cannot be asked on.
    """
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP)) as channel:
            channel.bind((interface, _ETH_P_IP))
            mac = _hardware_address(interface)
            own = _own_address(interface)
            found = set(_ask(channel, mac, seconds))
    except OSError as error:
        message = f"Other DHCP servers cannot be looked for on {interface}: {error.strerror}."
        raise FirstboxError(message) from error
    return sorted((one for one in found if one.address != own), key=str)


def refuse_beside_others(interface: str) -> None:
    """Raise FirstboxError if another DHCP server answers on an interface."""
    servers = find_servers(interface)
    if servers:
        names = "; ".join(str(server) for server in servers)
        raise FirstboxError(
            f"Another DHCP server answers on {interface}: {names}. {ADVICE[Reason.FOREIGN_DHCP]}"
        )


def _ask(channel: socket.socket, mac: bytes, seconds: float) -> Iterator[Server]:
    """Questions, once a second, in turn as an operating system and as firmware; answers as they come."""
    transaction = os.urandom(4)
    deadline = time.monotonic() + seconds
    next_question, number = 0.0, 0
    while (now := time.monotonic()) < deadline:
        if now >= next_question:
            channel.send(discover(mac, transaction, as_firmware=bool(number % 2)))
            next_question, number = now + _AGAIN, number + 1
        if select.select([channel], [], [], min(next_question, deadline) - now)[0]:
            server = read_offer(channel.recv(65535), transaction)
            if server is not None:
                yield server


def discover(mac: bytes, transaction: bytes, *, as_firmware: bool) -> bytes:
    """An Ethernet frame with a DHCPDISCOVER."""
    options = _option(_MESSAGE_TYPE, bytes([_DISCOVER])) + _option(_REQUESTED, bytes([1, 3, 67]))
    if as_firmware:
        options += _option(_VENDOR_CLASS, b"PXEClient:Arch:00000:UNDI:002001")
        options += _option(_ARCHITECTURE, bytes(2))
    # Broadcast answers, because nobody here has the address that will be offered.
    head = struct.pack("!BBBB4sHH", 1, 1, 6, 0, transaction, 0, 0x8000)
    message = head + bytes(16) + mac.ljust(16, b"\0") + bytes(192) + _COOKIE + options + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4
    )
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return b"\xff" * 6 + mac + struct.pack("!H", _ETH_P_IP) + ip + udp


def read_offer(frame: bytes, transaction: bytes) -> Server | None:
    """The server behind a frame, if it is an offer in answer to our question."""
    if len(frame) < 14 + 20 + 8 + 240 or frame[23] != 17:
        return None
    start = 14 + (frame[14] & 15) * 4
    ports, message = struct.unpack_from("!HH", frame, start), frame[start + 8 :]
    if ports != (67, 68) or message[4:8] != transaction or message[236:240] != _COOKIE:
        return None
    options = _options(message[240:])
    if options.get(_MESSAGE_TYPE) != bytes([_OFFER]):
        return None
    offered = IPv4Address(message[16:20])
    server = options.get(_SERVER, b"")
    address = IPv4Address(server if len(server) == 4 else frame[26:30])
    return Server(str(address), frame[6:12].hex(":"), str(offered) if int(offered) else "")


def _option(number: int, value: bytes) -> bytes:
    return bytes([number, len(value)]) + value


def _options(raw: bytes) -> dict[int, bytes]:
    """Options by number; what is cut off is left out."""
    found: dict[int, bytes] = {}
    place = 0
    while place + 1 < len(raw) and raw[place] != _END:
        if raw[place] == 0:  # padding
            place += 1
            continue
        length = raw[place + 1]
        found.setdefault(raw[place], raw[place + 2 : place + 2 + length])
        place += 2 + length
    return found


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _hardware_address(interface: str) -> bytes:
    return _ask_kernel(interface, _SIOCGIFHWADDR)[18:24]


def _own_address(interface: str) -> str:
    try:
        return socket.inet_ntoa(_ask_kernel(interface, _SIOCGIFADDR)[20:24])
    except OSError:  # it has none
        return ""


def _ask_kernel(interface: str, question: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        return fcntl.ioctl(channel, question, struct.pack("256s", interface[:15].encode()))
