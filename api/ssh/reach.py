"""Does an SSH server answer at this address?"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol

from api.ssh.target import Refused, Target
from api.states import Reason


async def reach(target: Target) -> str:
    """Connect and read the server's greeting; no login. Raises Refused."""
    return await greet(target, asyncio.open_connection(target.address, target.port))


class _Reader(Protocol):
    async def readline(self) -> bytes: ...


class _Writer(Protocol):
    def close(self) -> None: ...


async def greet(target: Target, connecting: Awaitable[tuple[_Reader, _Writer]]) -> str:
    """The same over a connection that is being made. Raises Refused."""
    started = time.monotonic()
    try:
        reader, writer = await connecting
    except ConnectionRefusedError:
        raise Refused(Reason.SSH_CLOSED, f"nothing listens on port {target.port}") from None
    except TimeoutError:
        raise Refused(Reason.SSH_SILENT, f"did not answer on port {target.port}") from None
    except OSError as error:
        raise Refused(Reason.SSH_SILENT, f"cannot be reached: {error.strerror}") from None
    try:
        # A server may send lines of its own before the greeting (RFC 4253, 4.2).
        for _ in range(20):
            line = await reader.readline()
            if line.startswith(b"SSH-"):
                return f"answered on port {target.port} after {time.monotonic() - started:.2f} s"
            if not line:
                break
    except (ConnectionError, ValueError):
        pass  # hung up, or no line in 64 KiB: no greeting either way
    finally:
        writer.close()
    raise Refused(Reason.SSH_CLOSED, f"port {target.port} answers, but not with SSH")
