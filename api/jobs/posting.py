"""One event to one webhook by HTTP, within a deadline, and nowhere else than its address leads."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network

import httpx

from api.domain.webhooks import signed
from api.registration.addresses import is_allowed

_MOST_READ = 65_536  # bytes of an answer, of which nothing but the status counts
# The receiver took a look at the event and does not want it; the next one may be better.
_ABOUT_THE_EVENT = (400, 413, 415, 422)


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent, and where."""

    url: str
    secret: str
    event_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; no error means that it is delivered."""

    error: str = ""
    is_about_event: bool = False  # the webhook itself is well


class Poster:
    """Sends letters to one webhook over one connection."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        allowed: Sequence[IPv4Network | IPv6Network],
        deadline: float,
    ) -> None:
        self._client = client
        self._allowed = allowed
        self._deadline = deadline

    async def post(self, letter: Letter) -> Outcome:
        """Send it; every failure is an outcome."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._post(letter)
        except TimeoutError:
            return Outcome(f"no answer within {self._deadline:g} s")
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return Outcome(str(error) or type(error).__name__)

    async def _post(self, letter: Letter) -> Outcome:
        url = httpx.URL(letter.url)
        refused: httpx.ConnectError | None = None
        for address in await self._addresses(url):
            try:
                return _outcome(await self._post_to(address, url, letter))
            except httpx.ConnectError as error:
                refused = error  # nothing was sent: the next address may be better
        assert refused is not None  # noqa: S101  # there is an address
        raise refused

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """The addresses of a URL's host that this service may talk to. Raises OSError."""
        port = url.port or (443 if url.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
        allowed = [one for one in addresses if is_allowed(one, self._allowed)]
        if not allowed:
            raise OSError(
                f"{url.host} leads to {addresses[0]}, outside of FIRSTBOX_ALLOWED_NETWORKS"
            )
        return allowed

    async def _post_to(self, address: str, url: httpx.URL, letter: Letter) -> int:
        """The HTTP status. The name is looked up once, so that what was checked is what is called."""
        body = letter.body.encode()
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={
                "host": url.netloc.decode(),
                "content-type": "application/json",
                "user-agent": "Firstbox",
                **signed(letter.secret, letter.event_id, int(time.time()), body),
            },
            extensions={"sni_hostname": url.host},
        )
        answer = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            await _read_some(answer)
        finally:
            await answer.aclose()
        return answer.status_code


@asynccontextmanager
async def poster(
    allowed: Sequence[IPv4Network | IPv6Network], deadline: float
) -> AsyncIterator[Poster]:
    """A poster whose connection is closed in the end."""
    # Not from the environment: no proxy stands between, and no .netrc adds a password.
    async with httpx.AsyncClient(verify=_trusted(), timeout=deadline, trust_env=False) as client:
        yield Poster(client, allowed, deadline)


@cache
def _trusted() -> ssl.SSLContext:
    """The system's certificate authorities, read once."""
    return ssl.create_default_context()


async def _read_some(answer: httpx.Response) -> None:
    """Read to the end, so that the connection serves again; of an endless answer only so much."""
    size = 0
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > _MOST_READ:
            return


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome()
    if 300 <= status < 400:
        return Outcome(f"HTTP {status}: redirects are not followed")
    return Outcome(f"HTTP {status}", is_about_event=status in _ABOUT_THE_EVENT)
