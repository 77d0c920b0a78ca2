"""A UDP socket for asking many: it tells of every question that did not get through."""

import errno
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

from api.bmc.ways import FAMILIES

_LARGEST = 2048  # bytes of an answer that are looked at
_RECEIVE_BUFFER = 8 * 2**20  # answers that came while we were busy asking

# Not in Python's socket module, or not in all versions of it.
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
# ICMP type and code: no route to it, or no such host. Others come from a firewall, or from the host.
_NOBODY = {4: {(3, 0), (3, 1)}, 6: {(1, 0), (1, 3)}}
_ERROR = struct.Struct("=IBBB")  # errno, origin, ICMP type and code


class Undelivered(NamedTuple):
    """A question that came back as an error."""

    address: str
    port: int
    is_nobody: bool  # nobody has the address; otherwise somebody, who does not listen at this port


class Door:
    """A socket of one IP version, with buffers as large as we may have them; a context manager."""

    def __init__(self, version: int, send_buffer: int) -> None:
        self.version = version
        self._socket = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if version == 6:  # an IPv4 address in IPv6's clothes is not ours to ask
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._socket.setsockopt(*_RECVERR[version], 1)
        self._grow(socket.SO_RCVBUF, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self._grow(socket.SO_SNDBUF, _SO_SNDBUFFORCE, send_buffer)
        self.send_buffer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.fileno = self._socket.fileno()

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def send(self, question: bytes, to: tuple[str, int]) -> None:
        """Raises OSError, also for what was sent before: then nothing was sent, see `returned`."""
        self._socket.sendto(question, to)

    def receive(self) -> tuple[bytes, str, int]:
        """The next answer, from an address and port. Raises OSError, as `send` does."""
        packet, (address, port, *_) = self._socket.recvfrom(_LARGEST)
        return packet, address, port

    def returned(self) -> Undelivered | None:
        """The next question that came back; None when there is no more."""
        try:
            _, notes, _, to = self._socket.recvmsg(0, 128, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return None
        _, _, kind, code = _ERROR.unpack_from(notes[0][2])
        return Undelivered(to[0], to[1], (kind, code) in _NOBODY[self.version])

    def _grow(self, option: int, by_force: int, size: int) -> None:
        """To `size` bytes as the kernel counts, if it is less: it makes twice of what it is told."""
        for name in (option, by_force):
            if self._socket.getsockopt(socket.SOL_SOCKET, option) < size:
                with suppress(PermissionError):  # only root may have more than net.core.*mem_max
                    self._socket.setsockopt(socket.SOL_SOCKET, name, size // 2 + 1)


def is_full(error: OSError) -> bool:
    """Whether a send failed because something is full that empties by itself."""
    return error.errno in (errno.ENOBUFS, errno.EAGAIN)
