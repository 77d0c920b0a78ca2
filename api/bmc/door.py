"""A UDP socket for asking many: it tells of every question that did not get through."""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from api.bmc.ways import FAMILIES

LARGEST = 2048  # bytes of an answer that are looked at
_RECEIVE_BUFFER = 8 * 2**20  # answers that came while we were busy asking

# Not in Python's socket module, or not in all versions of it.
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
# ICMP type and code: no route to it, or no such host. Others come from a firewall, or from the host.
_NOBODY = {4: {(3, 0), (3, 1)}, 6: {(1, 0), (1, 3)}}
_ICMP_ORIGINS = (2, 3)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A question that came back as an error."""

    address: str
    port: int
    is_nobody: bool  # nobody has the address; otherwise somebody, who does not listen at this port


def open_door(version: int, send_buffer: int) -> socket.socket:
    """A socket of that IP version, with buffers as large as we may have them."""
    door = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
    door.setblocking(False)
    if version == 6:  # an IPv4 address in IPv6's clothes is not ours to ask
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    level, option = _RECVERR[version]
    door.setsockopt(level, option, 1)
    _grow(door, socket.SO_RCVBUF, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    _grow(door, socket.SO_SNDBUF, _SO_SNDBUFFORCE, send_buffer)
    return door


def undelivered(door: socket.socket) -> Iterator[Undelivered]:
    """Take what came back since the last time."""
    version = 6 if door.family == socket.AF_INET6 else 4
    while True:
        try:
            _, notes, _, destination = door.recvmsg(0, 128, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return
        _, origin, kind, code = struct.unpack_from("=IBBB", notes[0][2])
        if origin in _ICMP_ORIGINS:
            is_nobody = (kind, code) in _NOBODY[version]
            yield Undelivered(destination[0], destination[1], is_nobody)


def is_full(error: OSError) -> bool:
    """Whether a send failed because something is full that empties by itself."""
    return error.errno in (errno.ENOBUFS, errno.EAGAIN)


def _grow(door: socket.socket, option: int, by_force: int, size: int) -> None:
    """To `size` bytes as the kernel counts, if it is less: it makes twice of what it is told."""
    for name in (option, by_force):
        if door.getsockopt(socket.SOL_SOCKET, option) < size:
            with suppress(PermissionError):  # only root may have more than net.core.*mem_max
                door.setsockopt(socket.SOL_SOCKET, name, size // 2 + 1)
