"""Sets of addresses, far too many to keep one by one, in which each has a number of its own."""

import socket
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from api.bmc.ways import FAMILIES, Route, Way, ways_between

Span = tuple[int, int, int, int]  # IP version, port, first and last address


@dataclass(frozen=True, slots=True)
class Stretch:
    """Addresses in a row, asked at one port, all reached by the same way."""

    version: int
    port: int
    first: int
    last: int
    way: Way
    offset: int  # the place of its first address in the whole set

    def __len__(self) -> int:
        return self.last - self.first + 1

    def address(self, place: int) -> str:
        """What stands at a place of the whole set."""
        number = self.first + place - self.offset
        family = FAMILIES[self.version]
        return socket.inet_ntop(family, number.to_bytes(4 if self.version == 4 else 16, "big"))


class Stretches:
    """Addresses with ports, in order, none of them twice; each has a place from 0 on."""

    def __init__(self, spans: Iterable[Span], routes: Sequence[Route]) -> None:
        self._all: list[Stretch] = []
        self._size = 0
        for version, port, first, last in _merged(spans):
            for begin, end, way in ways_between(version, first, last, routes):
                self._all.append(Stretch(version, port, begin, end, way, self._size))
                self._size += end - begin + 1
        self._keys = [(one.version, one.port, one.first) for one in self._all]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Stretch]:
        return iter(self._all)

    def place(self, version: int, port: int, number: int) -> int | None:
        """Where an address stands; None when it is not in here."""
        at = bisect_right(self._keys, (version, port, number)) - 1
        if at < 0:
            return None
        one = self._all[at]
        is_in = (one.version, one.port) == (version, port) and number <= one.last
        return one.offset + number - one.first if is_in else None

    def stretch(self, place: int) -> Stretch:
        """The stretch that a place lies in."""
        return self._all[bisect_right(self._all, place, key=lambda one: one.offset) - 1]

    def address(self, place: int) -> tuple[str, int]:
        """Address and port at a place."""
        one = self.stretch(place)
        return one.address(place), one.port

    def on_link(self, version: int) -> int:
        """How many of that IP version are on networks of ours."""
        ours = (one for one in self._all if one.way is Way.ON_LINK and one.version == version)
        return sum(len(one) for one in ours)


def span(start: str, end: str, port: int) -> Span:
    """From one address to another."""
    return ip_address(start).version, port, number_of(start), number_of(end)


def number_of(address: str) -> int:
    """An address as a number. Raises OSError when it is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, address.partition("%")[0]), "big")


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    now: Span | None = None
    for one in sorted(spans):
        if now is None or one[:2] != now[:2] or one[2] > now[3] + 1:
            if now is not None:
                yield now
            now = one
        else:
            now = (*now[:3], max(now[3], one[3]))
    if now is not None:
        yield now
