"""Whatever else may answer at a BMC's port: one UDP socket per address, and a function for what it says."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Mapping

Says = Callable[[bytes], Iterable[bytes]]


def nothing(_packet: bytes) -> Iterable[bytes]:
    """Of a service that hears and never answers."""
    return ()


class Impostors:
    """A context manager; `heard` counts the datagrams that came to each address, `caller` sent the last."""

    def __init__(self, says: Mapping[str, Says], *, port: int = 623) -> None:
        self.heard = dict.fromkeys(says, 0)
        self.caller = ("", 0)
        self._says = says
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="impostors", daemon=True)
        self._sockets = selectors.DefaultSelector()

    def __enter__(self) -> "Impostors":
        for address in self._says:
            door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets.register(door, selectors.EVENT_READ, address)
            door.bind((address, self._port))
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join(10)
        for key in list(self._sockets.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # they are all sockets
        self._sockets.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            for key, _ in self._sockets.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                packet, self.caller = key.fileobj.recvfrom(2048)
                self.heard[key.data] += 1
                for answer in self._says[key.data](packet):
                    key.fileobj.sendto(answer, self.caller)
