"""Asks very many addresses over UDP whether a BMC is there, and hears who is.

One plain loop over non-blocking sockets: an event loop's transport would hide that the send buffer is
full, and each question would cost several times as much.
"""

import errno
import select
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from api.bmc import pace
from api.bmc.door import Door, Undelivered, is_full
from api.bmc.rmcp import CAPABILITIES, PING, capabilities_in, is_pong
from api.bmc.stretches import Stretch, Stretches, number_of
from api.bmc.ways import Way

# Somebody who did not answer is asked again: one question in ten or so gets lost on a busy network.
_PASSES = ((CAPABILITIES,), (CAPABILITIES, PING), (CAPABILITIES, PING))
_AGAIN = 3  # more times for who answered a ping and not what it can do
_ROUTED = 1000.0  # a second through a router, which looks for hardware addresses as we do
_BREATH = 64  # questions between two looks at the answers
_FULL = 0.05  # seconds to wait when something is full,
_PATIENCE = 5.0  # and how long at most for one question, which the next pass asks again
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)

_OPEN, _ENDED, _NOBODY = 0, 1, 2  # what is known of a place

Told = Callable[[int, int], None]  # how many were asked, how many answer


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answered, after how many seconds, and half a sentence of what it said."""

    seconds: float
    said: str


class RollCall:
    """One sweep of all addresses; `answers` has those that answered, by place."""

    def __init__(
        self, asked: Stretches, *, silence: float, told: Told, note: Callable[[str], None]
    ) -> None:
        self.answers: dict[int, Answer] = {}
        self._stretches = asked
        self._silence = silence
        self._told = told
        self._note = note
        self._known = bytearray(len(asked))
        self._open = len(asked)
        self._sent = array("f", bytes(4 * len(asked)))  # when first asked; 0 is not yet
        self._pongs: dict[int, float] = {}
        self._began = time.monotonic() - 1  # so that nothing is sent at 0
        self._asked = 0
        self._sends = 0
        self._doors: dict[int, Door] = {}  # by IP version
        self._poll = select.poll()
        self._rates = {Way.ROUTED: pace.Rate(_ROUTED), Way.ON_LINK: pace.Rate(pace.ERRORS)}
        self._in_flight = pace.InFlight(pace.MOST)

    def run(self) -> None:
        """Ask everybody up to three times, and listen."""
        with ExitStack() as stack:
            self._open_doors(stack)
            # Before anybody is asked again, the kernel should have told whom nobody found.
            is_near = any(map(self._stretches.on_link, self._doors))
            first = pace.RESOLVING if is_near else 0.0
            for questions, least in zip(_PASSES, (first, 0.0, 0.0), strict=True):
                self._ask(self._unknown(), questions)
                self._listen(max(self._silence, least), lambda: self._open > 0)
            for _ in range(_AGAIN):
                if self._pongs:
                    self._ask(self._who_ponged(), (CAPABILITIES,))
                    self._listen(self._silence, lambda: bool(self._pongs))
        for place, seconds in self._pongs.items():
            self.answers[place] = Answer(seconds, "IPMI")

    def has_nobody(self, version: int, port: int, number: int) -> bool:
        """Whether it is known that nobody has this address."""
        place = self._stretches.place(version, port, number)
        return place is not None and self._known[place] == _NOBODY

    # Asking

    def _open_doors(self, stack: ExitStack) -> None:
        for version in sorted({stretch.version for stretch in self._stretches}):
            by_table = pace.open_neighbours(version)
            door = stack.enter_context(Door(version, by_table * pace.KEPT))
            most = min(self._in_flight.most, by_table, pace.open_questions(door.send_buffer))
            self._in_flight = pace.InFlight(most)
            self._rates[Way.ON_LINK] = pace.Rate(max(most / pace.RESOLVING, pace.ERRORS))
            self._doors[version] = door
            self._poll.register(door.fileno, select.POLLIN)
            if slow := pace.sentence(self._stretches.on_link(version), most, by_table):
                self._note(slow)

    def _unknown(self) -> Iterator[tuple[Stretch, int]]:
        for stretch in self._stretches:
            place, end = stretch.offset, stretch.offset + len(stretch)
            while (place := self._known.find(_OPEN, place, end)) >= 0:
                yield stretch, place
                place += 1

    def _who_ponged(self) -> Iterator[tuple[Stretch, int]]:
        for place in list(self._pongs):
            yield self._stretches.stretch(place), place

    def _ask(self, whom: Iterable[tuple[Stretch, int]], questions: Iterable[bytes]) -> None:
        for stretch, place in whom:
            self._wait_for_turn(stretch.way)
            self._put(stretch, place, questions)
            self._sends += 1
            if self._sends % _BREATH == 0:
                self._hear()
                self._told(self._asked, len(self.answers))
        self._told(self._asked, len(self.answers))

    def _wait_for_turn(self, way: Way) -> None:
        if way is Way.DIRECT:
            return
        rate = self._rates[way]
        while (seconds := rate.wait(time.monotonic())) > 0:
            self._hear(seconds)
        while way is Way.ON_LINK and (seconds := self._in_flight.wait(time.monotonic())) > 0:
            self._hear(seconds)

    def _put(self, stretch: Stretch, place: int, questions: Iterable[bytes]) -> None:
        now = time.monotonic()
        if not self._sent[place]:
            self._sent[place] = now - self._began
            self._asked += 1
        if stretch.way is not Way.DIRECT:
            self._rates[stretch.way].asked(now)
        if stretch.way is Way.ON_LINK:
            self._in_flight.asked(place, now)
        door, to = self._doors[stretch.version], (stretch.address(place), stretch.port)
        for question in questions:
            self._send(door, question, to, place)
        if stretch.way is Way.DIRECT and (returned := door.returned()) is not None:
            self._note_error(door, returned)  # now, or it would fail the next send

    def _send(self, door: Door, question: bytes, to: tuple[str, int], place: int) -> None:
        """Send it, if it can be sent: whatever keeps it back now may have gone in the next pass."""
        began = 0.0
        while True:
            try:
                door.send(question, to)
                return
            except OSError as error:
                if is_full(error):
                    began = began or time.monotonic()
                    if time.monotonic() - began > _PATIENCE:
                        return
                    self._hear(_FULL)
                elif not self._take_errors(door):
                    if error.errno in _NO_WAY:
                        self._end(place, _NOBODY)
                    return
                # Else it failed for one that was sent before, and nothing was sent.

    # Hearing

    def _listen(self, seconds: float, is_worth_it: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while is_worth_it() and (left := deadline - time.monotonic()) > 0:
            self._hear(left)
        self._told(self._asked, len(self.answers))

    def _hear(self, seconds: float = 0.0) -> None:
        """Take all answers and errors that are there; wait for the first one so long."""
        for descriptor, _ in self._poll.poll(seconds * 1000 if seconds else 0):
            door = next(d for d in self._doors.values() if d.fileno == descriptor)
            self._take_errors(door)
            self._take_answers(door)

    def _take_errors(self, door: Door) -> bool:
        """Whether there were any."""
        returned = first = door.returned()
        while returned is not None:
            self._note_error(door, returned)
            returned = door.returned()
        return first is not None

    def _note_error(self, door: Door, returned: Undelivered) -> None:
        place = self._place(door, returned.address, returned.port)
        if place is not None:
            self._end(place, _NOBODY if returned.is_nobody else _ENDED)

    def _take_answers(self, door: Door) -> None:
        for _ in range(_BREATH * 16):  # an end, also with somebody who floods us
            try:
                packet, address, port = door.receive()
            except BlockingIOError:
                return
            except OSError:  # of a question that came back meanwhile
                self._take_errors(door)
                continue
            place = self._place(door, address, port)
            if place is not None and self._sent[place] and place not in self.answers:
                self._take_answer(place, packet)

    def _take_answer(self, place: int, packet: bytes) -> None:
        seconds = time.monotonic() - self._began - self._sent[place]
        said = capabilities_in(packet)
        if said is not None:
            self.answers[place] = Answer(seconds, said)
            self._pongs.pop(place, None)
            self._end(place, _ENDED)
        elif is_pong(packet):
            self._pongs.setdefault(place, seconds)

    def _end(self, place: int, known: int) -> None:
        if self._known[place] == _OPEN:
            self._known[place] = known
            self._open -= 1
            self._in_flight.ended(place)

    def _place(self, door: Door, address: str, port: int) -> int | None:
        return self._stretches.place(door.version, port, number_of(address))
