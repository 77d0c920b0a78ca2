"""How many neighbours the kernel can know at a time: its table's limit, asked over netlink.

The table is one for all network namespaces, but /proc/sys shows its limit in the first one only, so not
in a container.
"""

import socket
import struct
from collections.abc import Iterator

from api.bmc.ways import FAMILIES

DEFAULT = 1024  # the kernel's own
_GET_TABLES, _TABLE, _THRESH3 = 66, 64, 4  # RTM_GETNEIGHTBL, RTM_NEWNEIGHTBL, NDTA_THRESH3
_REQUEST_DUMP = 0x301
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def neighbour_limit(version: int) -> int:
    """The limit (gc_thresh3); the kernel's default where it is not told to us."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(1)
            question = struct.pack("=B3x", FAMILIES[version])
            size = _HEADER.size + len(question)
            netlink.send(_HEADER.pack(size, _GET_TABLES, _REQUEST_DUMP, 1, 0) + question)
            answer = netlink.recv(65536)
    except OSError:
        return DEFAULT
    return next(_limits(answer), DEFAULT)


def _limits(answer: bytes) -> Iterator[int]:
    """Of every table in a netlink answer."""
    for kind, message in _messages(answer):
        if kind == _TABLE:
            for number, value in _attributes(message[4:]):
                if number == _THRESH3:
                    yield int(struct.unpack("=I", value)[0])


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : size]
        data = data[_aligned(max(size, _HEADER.size)) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        size, number = _ATTRIBUTE.unpack_from(data)
        yield number, data[_ATTRIBUTE.size : size]
        data = data[_aligned(max(size, _ATTRIBUTE.size)) :]


def _aligned(size: int) -> int:
    return (size + 3) & ~3
