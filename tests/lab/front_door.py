"""A way from the host to one service in a network namespace: a port of 127.0.0.1.

with FrontDoor(8010) as door, Segment("10.77.0.1/24") as segment:
    door.open_to(segment, "127.0.0.1", 8000)

A socket keeps the network namespace it was made in: we listen on the host, and call inside.
"""

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from tests.lab.errors import LabError
from tests.lab.segment import Host

_SECONDS_TO_OPEN = 10


class FrontDoor:
    """Listens from the beginning, and answers once it is open; a context manager."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
            self._listener.listen(100)
        except OSError as error:
            self._listener.close()
            raise LabError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}") from None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None and self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)
        self._listener.close()

    def open_to(self, host: Host, address: str, port: int) -> None:
        """Pass on who knocks to a port inside a host's network."""
        is_open: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(host, address, port, is_open), name="door", daemon=True
        )
        self._thread.start()
        is_open.result(_SECONDS_TO_OPEN)

    def _serve(self, host: Host, address: str, port: int, is_open: Future[None]) -> None:
        try:
            with host.inside():
                asyncio.run(self._pass_on(address, port, is_open))
        except OSError as error:
            is_open.set_exception(error)

    async def _pass_on(self, address: str, port: int, is_open: Future[None]) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()

        async def connect(caller: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
            try:
                served, service = await asyncio.open_connection(address, port)
            except OSError:  # it does not run: hang up, as its host would
                answer.close()
                return
            await asyncio.gather(_copy(caller, service), _copy(served, answer))
            service.close()
            answer.close()

        async with await asyncio.start_server(connect, sock=self._listener):
            is_open.set_result(None)
            await self._over.wait()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on all that comes, and then that it was all."""
    with contextlib.suppress(OSError):  # one side has gone
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.write_eof()
