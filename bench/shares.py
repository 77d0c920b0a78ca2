"""Who gets the processor when all want it: what stands for other machines comes last."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import say
from tests.lab import SshFarm
from tests.service import children

# Where control groups are, and how little a group there may weigh (of 1024, of 100).
_PLACES = (
    (Path("/sys/fs/cgroup/cpu"), "cpu.shares", "256"),
    (Path("/sys/fs/cgroup"), "cpu.weight", "25"),
)


@contextmanager
def small_share() -> Iterator[Callable[[int], None]]:
    """A function that gives a process, and all that descends from it, a quarter of a session's share.

    `nice` is not enough: where the kernel groups processes by session, every SSH connection is a group.
    """
    group = _make_group()
    if group is None:
        say("no control groups here: what stands for other machines takes its share like all")
        yield lambda pid: None
        return
    try:
        yield lambda pid: _move(pid, group)
    finally:
        _remove(group)


@contextmanager
def started(farm: SshFarm, give_way: Callable[[int], None]) -> Iterator[SshFarm]:
    """The farm with its hosts up and in their place."""
    before = set(children(os.getpid()))
    with farm:
        for pid in set(children(os.getpid())) - before:
            give_way(pid)
        yield farm


def _make_group() -> Path | None:
    for place, name, value in _PLACES:
        group = place / f"firstbox-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(value)
        except OSError:
            group.rmdir()
        else:
            return group
    return None


def _move(pid: int, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(pid))
    for child in children(pid):
        _move(child, group)


def _remove(group: Path) -> None:
    give_up = time.monotonic() + 10
    while (group / "cgroup.procs").read_text() and time.monotonic() < give_up:
        time.sleep(0.1)  # those in it are ending
    group.rmdir()
