"""Many BMCs in one process, each on an address of its own, each with its quirks."""

import asyncio
import ipaddress
import os
import random
import struct
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from tests.lab.bmc import rmcp
from tests.lab.bmc.commands import Commands
from tests.lab.bmc.machine import Event, Machine
from tests.lab.bmc.profile import Profile
from tests.lab.bmc.rmcp import Session

PING = bytes.fromhex("06 00 ff 06 00 00 11 be 80")
_INSUFFICIENT, _BAD_ALGORITHM, _BAD_NAME, _BAD_ROLE, _BAD_CODE = 0x01, 0x04, 0x0D, 0x0A, 0x0F


class Bmc(asyncio.DatagramProtocol):
    """One BMC: packets in, packets out."""

    def __init__(self, address: str, profile: Profile, machine: Machine) -> None:
        self.address = address
        self.profile = profile
        self.machine = machine
        self.logins = 0
        self.refused_logins = 0  # those too that the console gave up, who saw that we differ
        self.most_sessions = 0
        self.commands: Counter[str] = Counter()
        self._guid = uuid.uuid5(uuid.NAMESPACE_DNS, address).bytes
        self._commands = Commands(profile, machine, self._guid)
        self._sessions: dict[int, Session] = {}
        self._in_sessions = 0  # commands
        self._silent_until = 0.0
        self._refused_in_a_row = 0
        self._locked_until = 0.0
        self._random = random.Random(address)  # noqa: S311  # the same losses in every run
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def sessions(self) -> int:
        """Sessions that are open, or half open, now."""
        self._forget_idle_sessions()
        return len(self._sessions)

    @property
    def is_locked(self) -> bool:
        """Whether it accepts no login for a while, after too many that were refused."""
        return time.monotonic() < self._locked_until

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._is_lost() or self.profile.is_dead:
            return
        answer = self._answer(data)
        if answer is None or self._is_lost():
            return
        if self.profile.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self.profile.delay, self._send, answer, addr)
        else:
            self._send(answer, addr)

    def close(self) -> None:
        self.machine.close()
        if self._transport is not None:
            self._transport.close()

    def _send(self, packet: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(packet, addr)

    def _is_lost(self) -> bool:
        lost = self.profile.loss and self._random.random() < self.profile.loss
        return bool(lost) or time.monotonic() < self._silent_until

    def _answer(self, packet: bytes) -> bytes | None:
        if packet[:9] == PING:
            return (
                packet[:8]
                + b"\x40"
                + packet[9:10]
                + b"\0\x10"
                + bytes.fromhex("000011be 00000000 81 00 000000000000")
            )
        if packet[:4] != rmcp.HEADER or len(packet) < 16:
            return None
        if packet[4] == 0:  # outside of sessions
            return rmcp.sessionless_packet(self._without_session(packet[14 : 14 + packet[13]]))
        if packet[4] != 6 or self.profile.freezes_at_login:
            return None
        kind, payload = packet[5] & 0x3F, packet[16:]
        if packet[5:10] == bytes(5):  # the same in newer clothes
            return rmcp.setup_packet(kind, self._without_session(payload))
        if kind == rmcp.OPEN_REQUEST:
            return rmcp.setup_packet(kind + 1, self._open(payload))
        session = self._sessions.get(self._number(kind, packet))
        if session is None:
            return None
        session.used = time.monotonic()
        if kind == rmcp.RAKP_1:
            return rmcp.setup_packet(kind + 1, self._rakp_1(session, payload))
        if kind == rmcp.RAKP_3:
            return rmcp.setup_packet(kind + 1, self._rakp_3(session, payload))
        return self._in_session(session, packet) if kind == rmcp.IPMI else None

    def _without_session(self, message: bytes) -> bytes:
        code, data = self._commands.without_session(message[1] >> 2, message[5], message[6:-1])
        return rmcp.answer_to(message, code, data)

    @staticmethod
    def _number(kind: int, packet: bytes) -> int:
        place = 6 if kind == rmcp.IPMI else 20
        return int(struct.unpack_from("<I", packet, place)[0])

    def _open(self, request: bytes) -> bytes:
        console = request[4:8]
        suite = rmcp.suite_of(request)
        self._forget_idle_sessions()
        if suite is None or suite not in self.profile.suites:
            return bytes([request[0], _BAD_ALGORITHM, 0, 0]) + console
        if len(self._sessions) >= self.profile.max_sessions:
            return bytes([request[0], _INSUFFICIENT, 0, 0]) + console
        number = self._random.randrange(1, 2**32)
        self._sessions[number] = Session(number, struct.unpack("<I", console)[0], suite, self._guid)
        self.most_sessions = max(self.most_sessions, len(self._sessions))
        return bytes([request[0], 0, 4, 0]) + console + struct.pack("<I", number) + request[8:32]

    def _rakp_1(self, session: Session, request: bytes) -> bytes:
        if not session.console_random:  # else it is repeated
            self._count_refused()
        session.console_random, session.role = request[8:24], request[24]
        session.username = request[28 : 28 + request[27]]
        session.our_random = os.urandom(16)
        head = struct.pack("<I", session.console)
        if self.is_locked or session.username != self.profile.username.encode():
            return self._refused(session, request[0], _BAD_NAME)
        if session.role & 0x0F == 4 and not self.profile.is_privileged:
            return self._refused(session, request[0], _BAD_ROLE)
        code = session.rakp_2(self.profile.password.encode())
        return bytes([request[0], 0, 0, 0]) + head + session.our_random + self._guid + code

    def _rakp_3(self, session: Session, request: bytes) -> bytes:
        code = session.rakp_3(self.profile.password.encode())
        if request[1] or request[8 : 8 + len(code)] != code:
            return self._refused(session, request[0], _BAD_CODE)
        if not session.is_active:
            session.is_active = True
            self.logins += 1
            self.refused_logins -= 1
            self._refused_in_a_row = 0
        return bytes([request[0], 0, 0, 0]) + struct.pack("<I", session.console) + session.rakp_4()

    def _count_refused(self) -> None:
        """A login that begins: refused, until it ends well."""
        self.refused_logins += 1
        if 0 < self.profile.lockout_after <= self._refused_in_a_row:
            self._refused_in_a_row = 0
            self._locked_until = time.monotonic() + self.profile.lockout_seconds
        else:
            self._refused_in_a_row += 1

    def _refused(self, session: Session, tag: int, status: int) -> bytes:
        self._sessions.pop(session.number, None)
        return bytes([tag, status, 0, 0]) + struct.pack("<I", session.console)

    def _in_session(self, session: Session, packet: bytes) -> bytes | None:
        message = session.unwrap(packet) if session.is_active else None
        if message is None:
            return None
        if message != session.last_request:  # a repeated question gets the same answer, once done
            if self._freezes():
                return None
            code, data = self._run(session, message)
            session.last_request = message
            session.last_answer = self._spoil(rmcp.answer_to(message, code, data))
        return session.wrap(session.last_answer)

    def _spoil(self, answer: bytes) -> bytes:
        match self.profile.answer_fault:
            case "oversized":
                return answer[:-1] + b"A" * 20_000 + answer[-1:]
            case "truncated":
                return answer[:5]
            case "checksums":
                return answer[:-1] + bytes([answer[-1] ^ 0xFF])
        return answer

    def _freezes(self) -> bool:
        self._in_sessions += 1
        after = self.profile.freezes_after
        return after is not None and self._in_sessions > after

    def _run(self, session: Session, message: bytes) -> tuple[int, bytes]:
        function, command, data = message[1] >> 2, message[5], message[6:-1]
        self.commands[f"{function:x}/{command:02x}"] += 1
        if (function, command) == (6, 0x3C):  # close session
            self._sessions.pop(session.number, None)
            return 0, b""
        if function == 0 and self.profile.busy > 0:
            self.profile.busy -= 1
            return 0xC0, b""
        code, answer = self._commands.in_session(function, command, data)
        starts = (function, command) == (0, 2) and data[:1] in (b"\1", b"\2", b"\3")
        if starts and self.profile.link_down:
            self._silent_until = time.monotonic() + self.profile.link_down
        return code, answer

    def _forget_idle_sessions(self) -> None:
        oldest = time.monotonic() - self.profile.session_timeout
        for number in [n for n, session in self._sessions.items() if session.used < oldest]:
            del self._sessions[number]


class Simulator:
    """BMCs at these addresses, in a thread of their own; a context manager.

    `profiles` gives the odd ones; `heard` is called, in that thread, for every event of a machine's
    power; `hook` is a program that is called for it (README.md), with state files in `directory`.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        profiles: Mapping[str, Profile] | None = None,
        port: int = 623,
        on: Iterable[str] = (),
        hook: Path | None = None,
        directory: Path | None = None,
        heard: Callable[[str, Event], None] | None = None,
    ) -> None:
        self.port = port
        self._thread = threading.Thread(target=self._run, name="bmcs", daemon=True)
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._scratch = None if directory else tempfile.TemporaryDirectory(prefix="bmcs-")
        place = directory or Path(self._scratch.name if self._scratch else ".")
        place.mkdir(parents=True, exist_ok=True)
        started = set(on)
        self.bmcs: dict[str, Bmc] = {}
        for address in addresses:
            profile = (profiles or {}).get(address) or Profile()
            machine = Machine(
                address,
                profile,
                is_on=address in started,
                hook=hook,
                state=place / address if hook else None,
                heard=heard,
            )
            self.bmcs[address] = Bmc(address, profile, machine)

    def __enter__(self) -> "Simulator":
        self._thread.start()
        if not self._ready.wait(30) or self._error is not None:
            raise RuntimeError(f"the BMCs did not start: {self._error}")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        if self._scratch is not None:
            self._scratch.cleanup()

    def __getitem__(self, address: str) -> Bmc:
        return self.bmcs[address]

    def unplug(self, address: str) -> None:
        """Take one away; its address is free then."""
        assert self._loop is not None
        gone = threading.Event()

        def close() -> None:
            self.bmcs[address].close()
            # The socket is closed in the loop's next turn.
            asyncio.get_running_loop().call_soon(gone.set)

        self._loop.call_soon_threadsafe(close)
        gone.wait(10)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            self._ready.set()
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        try:
            for address, bmc in self.bmcs.items():
                await self._loop.create_datagram_endpoint(
                    lambda bmc=bmc: bmc,
                    local_addr=(address, self.port),  # type: ignore[misc]
                )
            self._ready.set()
            await self._over.wait()
        finally:
            for bmc in self.bmcs.values():
                bmc.close()


def addresses(first: str, count: int) -> list[str]:
    """`count` addresses from `first` on."""
    start = ipaddress.ip_address(first)
    return [str(start + number) for number in range(count)]
