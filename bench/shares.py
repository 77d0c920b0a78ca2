"""Who gets the processor when all want it: a control group for each unit, as systemd makes them.

Without, the kernel gives each session its share, and every SSH connection, every connection of the database
and every process that Ansible starts is a session.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.report import say
from tests.lab import SshFarm
from tests.service import children

# Where control groups are, the file of a group's weight, and what the usual weight is there.
_PLACES = (
    (Path("/sys/fs/cgroup/cpu"), "cpu.shares", 1024),
    (Path("/sys/fs/cgroup"), "cpu.weight", 100),
)


class Units:
    """Control groups by name; without any on this machine, nothing happens."""

    def __init__(self) -> None:
        self._groups: dict[str, Path] = {}

    def add(self, name: str, process: int) -> None:
        """Put a process, and all that descends from it now and later, into this unit."""
        if name in self._groups:
            _move(process, self._groups[name])

    @contextmanager
    def unit(self, name: str, of_the_usual: float = 1) -> Iterator[None]:
        """A unit that gets so much of the usual share; there until its processes are gone."""
        group = _make_group(name, of_the_usual)
        if group is None:
            yield
            return
        self._groups[name] = group
        try:
            yield
        finally:
            _remove(group)


@contextmanager
def units(**shares: float) -> Iterator[Units]:
    """A unit of each name, with that part of the usual share."""
    all_of_them = Units()
    with ExitStack() as stack:
        for name, share in shares.items():
            stack.enter_context(all_of_them.unit(name, share))
        yield all_of_them


@contextmanager
def started(farm: SshFarm, place: Units) -> Iterator[SshFarm]:
    """The farm with its machines up, in the unit `hosts`."""
    before = set(children(os.getpid()))
    with farm:
        for pid in set(children(os.getpid())) - before:
            place.add("hosts", pid)
        yield farm


def _make_group(name: str, of_the_usual: float) -> Path | None:
    for place, file, usual in _PLACES:
        group = place / f"firstbox-bench-{os.getpid()}-{name}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / file).write_text(str(round(usual * of_the_usual)))
        except OSError:
            group.rmdir()
        else:
            return group
    say(f"no control groups here: {name} takes its share like all")
    return None


def _move(pid: int, group: Path) -> None:
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except ProcessLookupError:
        return  # it has ended
    for child in children(pid):
        _move(child, group)


def _remove(group: Path) -> None:
    give_up = time.monotonic() + 10
    while (group / "cgroup.procs").read_text() and time.monotonic() < give_up:
        time.sleep(0.1)  # those in it are ending
    group.rmdir()
