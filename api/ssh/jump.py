"""Jump hosts: logged in to once for all the nodes behind them."""

import asyncio
from functools import lru_cache
from pathlib import Path

import asyncssh

from api.ssh.reach import greet
from api.ssh.target import Refused, Target
from api.states import Reason


class JumpHosts:
    """Connections to the jump hosts of one batch of nodes. Use in one event loop."""

    def __init__(self) -> None:
        self._logins: dict[str, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def to(self, target: Target) -> asyncssh.SSHClientConnection | None:
        """The way to a target: None where it needs no jump host. Raises Refused."""
        if not target.jump:
            return None
        if target.jump not in self._logins:
            self._logins[target.jump] = asyncio.create_task(_log_in(target))
        try:
            # A node whose time is up must not end the login that others wait for.
            return await asyncio.shield(self._logins[target.jump])
        except (OSError, asyncssh.Error) as error:
            message = f"jump host {target.jump} did not let us through: {error}"
            raise Refused(Reason.SSH_SILENT, message) from None

    async def close(self) -> None:
        """Log out."""
        for login in self._logins.values():
            login.cancel()
            if login.done() and not login.cancelled() and not login.exception():
                login.result().close()

    async def reach(self, target: Target) -> str:
        """Like `api.ssh.reach.reach`, for a target behind a jump host. Raises Refused."""
        jump = await self.to(target)
        assert jump is not None  # noqa: S101  # the caller looked: there is a jump host
        try:
            return await greet(target, jump.open_connection(target.address, target.port))
        except asyncssh.ChannelOpenError as error:
            message = f"cannot be reached from {target.jump}: {error.reason}"
            raise Refused(Reason.SSH_CLOSED, message) from None


async def _log_in(target: Target) -> asyncssh.SSHClientConnection:
    user, _, place = target.jump.rpartition("@")
    host, _, port = place.partition(":")
    return await asyncssh.connect(
        host,
        int(port or 22),
        username=user or target.user,
        client_keys=[private_key(target.private_key)],
        client_factory=lambda: _KeyCheck(target),
        known_hosts=None if target.known_hosts == "off" else ([], [], []),
        config=None,
        agent_path=None,
        preferred_auth="publickey",
    )


class _KeyCheck(asyncssh.SSHClient):
    """Holds a jump host to what the known_hosts file says; plain ssh reads and writes it too."""

    def __init__(self, target: Target) -> None:
        self._policy = target.known_hosts
        self._file = Path(target.known_hosts_file)

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        text = self._file.read_text() if self._file.is_file() else ""
        known = asyncssh.import_known_hosts(text).match(host, addr, port)[0]
        if known or self._policy == "strict":
            return key in known
        name = host if port == 22 else f"[{host}]:{port}"
        line = f"{name} {key.export_public_key('openssh').decode().strip()}\n"
        with self._file.open("a") as file:
            file.write(line)
        return True


@lru_cache(maxsize=16)
def private_key(path: str) -> asyncssh.SSHKey:
    """Our private key from its file. Raises Refused."""
    try:
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError) as error:
        raise Refused(
            Reason.SSH_REFUSED, f"our private key {path} cannot be read: {error}"
        ) from None
