"""Is anybody there? Asked of all BMCs at once, without a login, so that silent ones cost nobody time."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterable
from typing import cast

from api.bmc.rmcp import CAPABILITIES
from api.bmc.target import BmcTarget

_TRIES = (0.0, 0.25, 0.55)  # parts of the silence at which the question is put
_BURST = 64  # datagrams sent before the loop takes in answers

Address = tuple[str, int]


class Presence:
    """Who of the targets answers, and how fast. Use in one event loop, and close."""

    def __init__(self, targets: Iterable[BmcTarget], silence: float) -> None:
        loop = asyncio.get_running_loop()
        self._silence = silence
        self._answers: dict[Address, asyncio.Future[float]] = {
            _address(target): loop.create_future() for target in targets if target.kind == "ipmi"
        }
        self._asking = asyncio.create_task(self._ask())

    async def seconds(self, target: BmcTarget) -> float | None:
        """How long it took to answer; None when it says nothing."""
        try:
            async with asyncio.timeout(self._silence):
                if target.kind == "ipmi":
                    return await asyncio.shield(self._answers[_address(target)])
                began = time.monotonic()
                _, writer = await asyncio.open_connection(target.address, target.port)
                writer.close()
                return time.monotonic() - began
        except OSError:  # a refused connection, or the end of our patience
            return None

    async def close(self) -> None:
        """Stop asking and listening."""
        self._asking.cancel()
        await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        began = time.monotonic()
        listeners = [
            await _listen(family, self._answers)
            for family in (socket.AF_INET, socket.AF_INET6)
            if any((":" in host) == (family == socket.AF_INET6) for host, _ in self._answers)
        ]
        try:
            for part in _TRIES:
                await asyncio.sleep(began + part * self._silence - time.monotonic())
                await self._put_question(listeners)
            await asyncio.sleep(self._silence)
        finally:
            for listener in listeners:
                listener.close()

    async def _put_question(self, listeners: list["_Listener"]) -> None:
        waiting = [address for address, answer in self._answers.items() if not answer.done()]
        for number, address in enumerate(waiting, 1):
            for listener in listeners:
                listener.put(address)
            if number % _BURST == 0:
                await asyncio.sleep(0.001)


class _Listener(asyncio.DatagramProtocol):
    """One socket, from which many are asked."""

    def __init__(self, family: int, answers: dict[Address, asyncio.Future[float]]) -> None:
        self._is_ipv6 = family == socket.AF_INET6
        self._answers = answers
        self._asked: dict[Address, float] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def put(self, address: Address) -> None:
        """Ask, if the address is of this socket's family."""
        if self._transport is not None and (":" in address[0]) == self._is_ipv6:
            self._asked.setdefault(address, time.monotonic())
            self._transport.sendto(CAPABILITIES, address)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        address = (addr[0], addr[1])
        answer = self._answers.get(address)
        if answer is not None and not answer.done() and data[:1] == b"\x06":
            answer.set_result(time.monotonic() - self._asked.get(address, time.monotonic()))

    def error_received(self, exc: Exception) -> None:
        """Somebody's network says nobody is there; they may be in a moment."""

    def close(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()


async def _listen(family: int, answers: dict[Address, asyncio.Future[float]]) -> _Listener:
    loop = asyncio.get_running_loop()
    _, listener = await loop.create_datagram_endpoint(
        lambda: _Listener(family, answers), family=family
    )
    return listener


def _address(target: BmcTarget) -> Address:
    return str(ipaddress.ip_address(target.address)), target.port
