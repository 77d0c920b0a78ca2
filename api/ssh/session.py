"""Log in to a node and run one script there; many at once, one process (asyncssh)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh

from api.ssh.jump import JumpHosts, private_key
from api.ssh.target import Refused, Target
from api.states import Reason

# Ed25519 first, as OpenSSH asks: an older dropbear without an RSA key offers RSA all the same, and
# dies when it is taken at its word.
_HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-rsa",
)
MAX_OUTPUT = 4_000_000  # bytes; a node that prints more is broken or hostile


@dataclass(frozen=True, slots=True)
class Answer:
    """What the script printed, and the host key the node showed."""

    output: str
    host_key: str


class Sessions:
    """Runs scripts on targets, through their jump hosts if need be. Use in one event loop."""

    def __init__(self) -> None:
        self._jumps = JumpHosts()

    async def run(self, target: Target, script: str) -> Answer:
        """Feed `script` to /bin/sh on the node. Raises Refused."""
        async with self.conversation(target) as conversation:
            return await conversation.run(script)

    @asynccontextmanager
    async def conversation(self, target: Target) -> "AsyncIterator[Conversation]":
        """One login for several scripts: on a slow machine each costs seconds. Raises Refused."""
        async with self._login(target) as connection:
            yield Conversation(connection)

    async def close(self) -> None:
        """Log out of the jump hosts."""
        await self._jumps.close()

    @asynccontextmanager
    async def _login(self, target: Target) -> AsyncIterator[asyncssh.SSHClientConnection]:
        try:
            connection = await self._connect(target)
        except asyncssh.HostKeyNotVerifiable:
            raise _wrong_key(target) from None
        except asyncssh.KeyExchangeFailed as error:
            if target.host_key:  # it has no key of the recorded kind any more
                raise _wrong_key(target) from None
            raise Refused(Reason.SSH_REFUSED, f"no common cryptography: {error.reason}") from None
        except asyncssh.PermissionDenied:
            message = f"refused our key for user {target.user}"
            raise Refused(Reason.SSH_REFUSED, message) from None
        except asyncssh.Error as error:
            raise Refused(Reason.SSH_REFUSED, f"ended the SSH login: {error.reason}") from None
        except ConnectionRefusedError:
            raise Refused(Reason.SSH_CLOSED, f"nothing listens on port {target.port}") from None
        except OSError as error:
            raise Refused(Reason.SSH_SILENT, f"cannot be reached: {error.strerror}") from None
        try:
            yield connection
        except asyncssh.Error as error:
            message = f"hung up while it was asked: {error.reason}"
            raise Refused(Reason.PROBE_INCOMPLETE, message) from None
        finally:
            connection.abort()

    async def _connect(self, target: Target) -> asyncssh.SSHClientConnection:
        known = (
            target.host_key.split()[0] if target.known_hosts != "off" and target.host_key else ""
        )
        return await asyncssh.connect(
            target.address,
            target.port,
            tunnel=await self._jumps.to(target),
            username=target.user,
            client_keys=[private_key(target.private_key)],
            client_factory=lambda: _HostKeyCheck(target),
            known_hosts=None if target.known_hosts == "off" else ([], [], []),
            server_host_key_algs=_host_key_algorithms(known),
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            compression_algs=["none"],
        )


class Conversation:
    """A login on a node."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection

    async def run(self, script: str) -> Answer:
        """Feed `script` to /bin/sh on the node. Raises Refused."""
        output = await _run(self._connection, script)
        key = self._connection.get_server_host_key()
        return Answer(output, key.export_public_key("openssh").decode().strip() if key else "")


class _HostKeyCheck(asyncssh.SSHClient):
    """Holds a node to the key it showed at first contact."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        if not self._target.host_key:
            return self._target.known_hosts == "accept-new"
        shown = key.export_public_key("openssh").decode().split()[:2]
        return bool(shown == self._target.host_key.split()[:2])


def _host_key_algorithms(known: str) -> list[str]:
    """Ways to prove a host key of the recorded kind; without a record, of every kind."""
    if known == "ssh-rsa":  # the name of the key, and of its oldest signature, now refused by many
        return [name for name in _HOST_KEY_ALGORITHMS if "rsa" in name]
    return [known] if known else list(_HOST_KEY_ALGORITHMS)


async def _run(connection: asyncssh.SSHClientConnection, script: str) -> str:
    process = await connection.create_process("/bin/sh", stderr=asyncssh.DEVNULL, encoding=None)
    process.stdin.write(script.encode())
    process.stdin.write_eof()
    chunks, size = [], 0
    while chunk := await process.stdout.read(65536):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_OUTPUT:
            raise Refused(Reason.PROBE_INCOMPLETE, f"printed more than {MAX_OUTPUT} bytes")
    return b"".join(chunks).decode(errors="replace")


def _wrong_key(target: Target) -> Refused:
    if target.host_key:
        return Refused(Reason.HOST_KEY_CHANGED, "shows another host key than at first contact")
    return Refused(Reason.HOST_KEY_UNKNOWN, "shows a host key that nobody recorded before")
