"""Memory of processes over time: what each holds for itself, without what it shares."""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.service import children, command_line

_PAUSE = 2.0  # seconds between two looks
_LONG = 0.75  # of the whole time: whoever lived longer is a server, not a run


class Process(NamedTuple):
    """One process; the second number tells it from a later one with the same pid."""

    pid: int
    started: int
    command: str


class Sample(NamedTuple):
    """What a process held at a time."""

    seconds: float
    megabytes: float


class Growth(NamedTuple):
    """A process's memory in the second quarter of its watch, and in the last; in MB."""

    before: float
    after: float
    most: float


class Watch(threading.Thread):
    """Looks at processes and all their descendants every two seconds, while it is entered."""

    def __init__(self, roots: Callable[[], Iterable[int]]) -> None:
        super().__init__(name="memory-watch", daemon=True)
        self._roots = roots
        self._over = threading.Event()
        self._samples: dict[Process, list[Sample]] = defaultdict(list)
        self._began = time.monotonic()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(_PAUSE):
            now = time.monotonic() - self._began
            for pid in self._roots():
                for process, megabytes in _below(pid):
                    self._samples[process].append(Sample(now, megabytes))

    def servers(self) -> dict[Process, Growth]:
        """Of those that lived nearly as long as the watch: how they grew."""
        return {
            process: _growth(samples)
            for process, samples in self._samples.items()
            if self._lived(samples) >= _LONG * self._length()
        }

    def runs(self) -> dict[Process, Sample]:
        """Of those that came and went: when each began, and the most it held."""
        return {
            process: Sample(samples[0].seconds, max(sample.megabytes for sample in samples))
            for process, samples in self._samples.items()
            if self._lived(samples) < _LONG * self._length()
        }

    def _length(self) -> float:
        return max(samples[-1].seconds for samples in self._samples.values())

    @staticmethod
    def _lived(samples: Sequence[Sample]) -> float:
        return samples[-1].seconds - samples[0].seconds


def _growth(samples: Sequence[Sample]) -> Growth:
    quarter = max(1, len(samples) // 4)
    before = statistics.median(one.megabytes for one in samples[quarter : 2 * quarter] or samples)
    after = statistics.median(one.megabytes for one in samples[-quarter:])
    return Growth(before, after, max(one.megabytes for one in samples))


def _below(pid: int) -> Iterator[tuple[Process, float]]:
    """A process and its descendants with what they hold, as far as they are still there."""
    try:
        megabytes = _megabytes(pid)
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        command = command_line(pid)
        if command:  # kernel threads and the dead have none
            yield Process(pid, started, command.strip()), megabytes
        for child in children(pid):
            yield from _below(child)
    except (FileNotFoundError, ProcessLookupError):
        return


def _megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return 0.0  # a process that has ended and was not waited for yet
