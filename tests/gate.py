"""The only way from a host of its own to a server on this one, which a test can cut.

with Gate(5432) as gate:
    subprocess.run(gate.host.command("psql", "-h", "127.0.0.1", "-p", str(gate.port)))
    gate.cut()  # packets vanish, as behind a switch that lost its power
    gate.mend()
"""

import socket
import threading
from contextlib import suppress

from tests.lab.segment import Host

_DROP = "table inet cut { chain out { type filter hook output priority 0; policy drop; }; }"  # all of it
_PATIENCE = 15.0  # seconds after which PostgreSQL hangs up, as keepalives get no answer


class Gate:
    """A network namespace whose only neighbour is a TCP server of this host, on `gate.port` there."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._far: list[socket.socket] = []
        self._hanging_up = threading.Timer(_PATIENCE, self._hang_up)
        self.host = Host()
        with self.host.inside():
            self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"gate to {port}", daemon=True).start()

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def cut(self) -> None:
        """From now on every packet is lost; nobody is told."""
        self._nft(_DROP)
        # The server's keepalives end here, and this host's kernel answers them: so it is told.
        self._hanging_up = threading.Timer(_PATIENCE, self._hang_up)
        self._hanging_up.start()

    def mend(self) -> None:
        """Packets arrive again, also those that were sent again and again meanwhile."""
        self._hanging_up.cancel()
        self._nft("table inet cut; delete table inet cut")

    def close(self) -> None:
        """Let nobody in any more, and end the namespace."""
        self._hanging_up.cancel()
        self._hang_up()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listener.close()
        self.host.close()

    def _hang_up(self) -> None:
        for far in self._far:
            with suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)

    def _nft(self, rules: str) -> None:
        done = self.host.run("nft", rules)
        if done.returncode:
            raise OSError(f"nft {rules}: {done.stderr.strip()}")

    def _accept(self) -> None:
        with suppress(OSError):  # closed: nobody comes any more
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        with near:
            try:
                far = socket.create_connection(self._server)
            except OSError:
                return  # the server is away: hang up
            self._far.append(far)
            with far:
                threading.Thread(target=_copy, args=(far, near), daemon=True).start()
                _copy(near, far)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """All that comes, until one of them ends; then both are ended."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
