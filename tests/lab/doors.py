"""The addresses at which machines answer, and what happens to who knocks.

A door listens on a loopback address of the lab's host. A connection it accepts becomes the
standard input and output of an SSH server started inside the machine; the socket goes on
working there, although the machine has a network of its own.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from typing import Literal

Manner = Literal["open", "stopped", "silent", "slow"]


@dataclass(eq=False)
class Door:
    """One address, and the command that serves a connection to it."""

    name: str
    address: str
    port: int
    command: list[str]
    manner: Manner = "open"
    seconds: float = 0.0
    listener: socket.socket | None = None
    kept_waiting: set[socket.socket] = field(default_factory=set)

    def listen(self) -> None:
        """Begin to accept connections."""
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.address, self.port))
        self.listener.listen(512)
        self.listener.setblocking(False)


class Doors:
    """All doors of a keeper and the connections that came through them."""

    def __init__(self, log: int) -> None:
        self._log = log
        self._doors: list[Door] = []
        self._sessions: dict[int, tuple[Door, socket.socket, subprocess.Popen[bytes]]] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def open(self, door: Door) -> None:
        """Begin to answer at this door."""
        self._doors.append(door)
        self._listen(door)

    def treat(self, name: str, manner: Manner, seconds: float) -> None:
        """Change how all doors of a machine treat new connections; stopping ends the old."""
        for door in self._doors:
            if door.name != name:
                continue
            door.manner, door.seconds = manner, seconds
            if manner == "stopped":
                self._close(door)
            elif door.listener is None:
                self._listen(door)
            if manner == "open":
                self._hang_up_on_waiting(door)

    def hang_up(self, name: str) -> None:
        """Cut every connection to a machine, as a pulled cable or a power cut would."""
        for door, connection, _ in self._sessions.values():
            if door.name == name:
                with contextlib.suppress(OSError):  # the client was quicker
                    connection.shutdown(socket.SHUT_RDWR)
        for door in self._doors:
            if door.name == name:
                self._hang_up_on_waiting(door)

    def wait_for_sessions(self) -> None:
        """Wait for what served the connections, once the machines are stopped."""
        while self._sessions:
            _, (_, connection, server) = self._sessions.popitem()
            server.wait(timeout=10)
            connection.close()

    def _listen(self, door: Door) -> None:
        door.listen()
        asyncio.get_running_loop().add_reader(_listener(door), self._accept, door)

    def _close(self, door: Door) -> None:
        if door.listener is not None:
            asyncio.get_running_loop().remove_reader(door.listener)
            door.listener.close()
            door.listener = None
        self.hang_up(door.name)

    def _hang_up_on_waiting(self, door: Door) -> None:
        for connection in door.kept_waiting:
            connection.close()
        door.kept_waiting.clear()

    def _accept(self, door: Door) -> None:
        try:
            connection, _ = _listener(door).accept()
        except OSError:  # it was gone before we came to the door
            return
        if door.manner == "open":
            self._serve(door, connection)
            return
        door.kept_waiting.add(connection)
        if door.manner == "slow":
            asyncio.get_running_loop().call_later(door.seconds, self._serve_late, door, connection)

    def _serve_late(self, door: Door, connection: socket.socket) -> None:
        if connection in door.kept_waiting:
            door.kept_waiting.remove(connection)
            self._serve(door, connection)

    def _serve(self, door: Door, connection: socket.socket) -> None:
        connection.setblocking(True)
        server = subprocess.Popen(
            door.command,
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=self._log,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        self._sessions[server.pid] = (door, connection, server)

    def _reap(self) -> None:
        for pid in [*self._sessions]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _, connection, server = self._sessions.pop(pid)
                server.returncode = os.waitstatus_to_exitcode(status)
                connection.close()


def _listener(door: Door) -> socket.socket:
    assert door.listener is not None
    return door.listener
