"""How fast addresses may be asked without losing questions or answers.

On a network of ours the kernel first looks for the hardware address (ARP, neighbour discovery). For
three seconds it keeps the question of everybody who is not there, in the neighbour table and in the
socket's send buffer. When either is full, questions are lost, most of them without a word: asked as
fast as possible, 26 of 200 BMCs in a /20 were found. So only so many may be open at a time.
"""

from api.bmc.neighbours import neighbour_limit

RESOLVING = 3.2  # seconds until the kernel gives up to find a hardware address
ERRORS = 800.0  # a second: of addresses that nobody has, the kernel tells 1000, at most 50 at once
KEPT = 1800  # bytes of the send buffer that two kept questions take: asked again, there are two
MOST = 16_384  # questions open at a time, however large the tables are
_SHARE = 2  # others need the neighbour table too: we take one part of so many


class InFlight:
    """At most so many questions that nobody answered and no error ended, in the last seconds."""

    def __init__(self, most: int, seconds: float = RESOLVING) -> None:
        self.most = most
        self._seconds = seconds
        self._asked: dict[int, float] = {}  # oldest first

    def wait(self, now: float) -> float:
        """Seconds until the next may be asked; 0 when it may be now."""
        while self._asked and len(self._asked) >= self.most:
            oldest = next(iter(self._asked))
            left = self._asked[oldest] + self._seconds - now
            if left > 0:
                return left
            del self._asked[oldest]
        return 0.0

    def asked(self, place: int, now: float) -> None:
        """One more is open."""
        self._asked.pop(place, None)
        self._asked[place] = now

    def ended(self, place: int) -> None:
        """It answered, or is known not to be there."""
        self._asked.pop(place, None)


class Rate:
    """So many a second, in small bursts: a timer is not exact enough for one at a time."""

    def __init__(self, per_second: float, burst: int = 20) -> None:
        self._each = 1 / per_second
        self._ahead = burst * self._each
        self._free_at = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next may be asked; 0 when it may be now."""
        late = self._free_at - now
        return late if late > self._ahead else 0.0

    def asked(self, now: float) -> None:
        """One more was asked."""
        self._free_at = max(self._free_at, now) + self._each


def open_neighbours(version: int) -> int:
    """How many unknown neighbours we may look for at a time, as far as their table goes."""
    return max(1, min(neighbour_limit(version) // _SHARE, MOST))


def open_questions(send_buffer: int) -> int:
    """How many unknown neighbours we may look for at a time, as far as the send buffer goes."""
    return max(1, send_buffer // KEPT)


def sentence(on_link: int, most: int, by_table: int) -> str:
    """For the log: that neighbours are asked slowly, and what makes it faster. "" where they are not."""
    if on_link <= most or most == MOST:
        return ""
    knob = (
        "net.ipv4.neigh.default.gc_thresh3 (and net.ipv6) to twice the number of addresses"
        if by_table <= most
        else f"net.core.wmem_max to {on_link * KEPT}"
    )
    seconds = on_link / most * RESOLVING
    return (
        f"{on_link} of the addresses are on this host's own networks: they are asked {most} at a time, "
        f"which may take {seconds:.0f} s; with sysctl, set {knob} to be faster"
    )
