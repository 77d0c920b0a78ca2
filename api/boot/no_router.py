"""Tells loaders that there is no IPv6 router, which they otherwise wait for: 14 s for each boot.

iPXE goes on only when every way to an address has ended, IPv6 included. An advertisement with a lifetime of
0 says "no router here" and ends that wait. Only machines with an open boot get one, each for itself:
others on the network may have IPv6 of their own.
"""

import logging
import select
import socket
import struct
import threading
from collections.abc import Collection

_SOLICITATION, _ADVERTISEMENT = 133, 134
_SOURCE_LINK_ADDRESS = 1
_ALL_ROUTERS = socket.inet_pton(socket.AF_INET6, "ff02::2")
_LOOK = 0.5  # seconds between two looks whether to end

# Hop limit, flags, router lifetime, reachable and retransmission time: all of them nothing.
ADVERTISEMENT = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)

logger = logging.getLogger("firstbox.boot")


class NoRouter(threading.Thread):
    """Answers router solicitations of `macs`, which its owner keeps up to date."""

    def __init__(self, interface: str) -> None:
        super().__init__(name="no-router", daemon=True)
        self.macs: Collection[str] = ()
        self._interface = interface
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as channel:
                _prepare(channel, self._interface)
                while not self._ending.is_set():
                    if select.select([channel], [], [], _LOOK)[0]:
                        self._answer(channel)
        except OSError as error:  # machines boot without it, only later
            logger.warning("loaders will wait for an IPv6 router in vain: %s", error)

    def end(self) -> None:
        """Answer no more."""
        self._ending.set()

    def _answer(self, channel: socket.socket) -> None:
        message, sender = channel.recvfrom(2048)
        if soliciting_mac(message) in self.macs:
            channel.sendto(ADVERTISEMENT, sender)


def soliciting_mac(message: bytes) -> str:
    """The card that looks for a router with this ICMPv6 message; "" if it is something else."""
    if len(message) < 8 or message[0] != _SOLICITATION:
        return ""
    place = 8
    while place + 8 <= len(message) and message[place + 1]:
        if message[place] == _SOURCE_LINK_ADDRESS:
            return message[place + 2 : place + 8].hex(":")
        place += message[place + 1] * 8
    return ""


def _prepare(channel: socket.socket, interface: str) -> None:
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    # Anything else is taken for a packet from beyond a router, and thrown away.
    channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
    index = socket.if_nametoindex(interface)
    group = _ALL_ROUTERS + struct.pack("@I", index)
    channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
