"""Finds Redfish: whoever lets us connect is asked for the service root, which needs no login.

Nothing there is believed more than it has to be: no certificate is checked, because nothing secret is
sent; no redirect is followed; and an answer has an end, in bytes and in seconds.
"""

import asyncio
import errno
import itertools
import json
import re
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from api.bmc.identify import text_of
from api.bmc.roll_call import Answer

if TYPE_CHECKING:
    import httpx

PATH = "/redfish/v1/"
_CONNECT = 3.5  # seconds: the kernel asks at 0, 1 and 3
_FULL = (0.3, 0.6, 1.2)  # pauses while the neighbour table is full
_READ = 10.0  # seconds from the connection to the end of the answer
_MOST = 64 * 1024  # bytes of it
_TEXT = 60  # letters of what it says of itself
_AT_ONCE = 512  # connections that are tried,
_READING = 32  # and answers that are read at a time
_BREATH = 64  # connections between two looks at the others
_SPARE = 64  # files this process needs for other things
_VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){1,2}", re.ASCII)

Place = tuple[str, int]  # address and port
Told = Callable[[int, int], None]  # how many were asked, how many answer


def find_service_roots(places: Iterator[Place], *, most: int, told: Told) -> dict[Place, Answer]:
    """Those of the places where a Redfish service is. At most `most` connections are tried at a time."""
    first = next(places, None)
    if first is None:
        return {}
    places = itertools.chain((first,), places)
    return asyncio.run(_Search(places, told).run(min(most, _AT_ONCE, _free_files())))


def said_in(body: bytes) -> str | None:
    """What a service root says ("Redfish 1.9.0 (Dell Inc.)"), or None when this is not one."""
    try:
        root = json.loads(body)
    except (ValueError, RecursionError):
        return None
    version = root.get("RedfishVersion") if isinstance(root, dict) else None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return None
    made_by = ", ".join(filter(None, (text_of(root.get(n))[:_TEXT] for n in ("Vendor", "Product"))))
    return f"Redfish {version} ({made_by})" if made_by else f"Redfish {version}"


class _Search:
    """Many at a time take the next place, until none is left."""

    def __init__(self, places: Iterator[Place], told: Told) -> None:
        self._places = places
        self._told = told
        self._asked = 0
        self._found: dict[Place, Answer] = {}
        self._reading = asyncio.Semaphore(_READING)
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def run(self, at_once: int) -> dict[Place, Answer]:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._search())
        if self._transport is not None:
            await self._transport.aclose()
        return self._found

    async def _search(self) -> None:
        for place in self._places:
            began = time.monotonic()
            if await _accepts(place):
                seconds = time.monotonic() - began
                said = await self._ask(place)
                if said is not None:
                    self._found[place] = Answer(seconds, said)
            self._asked += 1
            if self._asked % _BREATH == 0:  # where all refuse at once, nobody else gets a turn
                self._told(self._asked, len(self._found))
                await asyncio.sleep(0)

    async def _ask(self, place: Place) -> str | None:
        import httpx  # 0.1 s that a network without Redfish need not pay

        self._transport = self._transport or httpx.AsyncHTTPTransport(
            verify=_any_certificate(), limits=httpx.Limits(max_keepalive_connections=0)
        )
        async with self._reading:
            try:
                async with asyncio.timeout(_READ):
                    return await _read(self._transport, place)
            except (httpx.HTTPError, OSError):  # no TLS, no HTTP, or no end
                return None


async def _accepts(place: Place) -> bool:
    """Whether somebody takes connections there."""
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            async with asyncio.timeout(_CONNECT):
                for pause in _FULL:
                    code = asking.connect_ex(place)
                    if code not in (errno.ENOBUFS, errno.EAGAIN):
                        break
                    await asyncio.sleep(pause)
                if code == errno.EINPROGRESS:
                    await asyncio.get_running_loop().sock_connect(asking, place)
                return code in (0, errno.EINPROGRESS)
        except OSError:  # refused, unreachable, or silent to the end
            return False


async def _read(transport: "httpx.AsyncHTTPTransport", place: Place) -> str | None:
    import httpx

    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    # Not compressed: what we read is what there is.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    request = httpx.Request("GET", f"https://{host}:{place[1]}{PATH}", headers=headers)
    response = await transport.handle_async_request(request)
    body = bytearray()
    try:
        if response.status_code != 200:
            return None
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > _MOST:
                return None
    finally:
        await response.aclose()
    return said_in(bytes(body))


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # older BMCs know nothing newer
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _free_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - _SPARE) // 2)
