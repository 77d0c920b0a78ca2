"""The fence between a worker and a run: `guard.py SILENCE GRACE COMMAND...`.

It starts COMMAND and lives only while the worker writes to its standard input. After SILENCE
seconds without a byte, or at end of file, it ends everything that descends from it, so that no
machine is driven by a run whose worker is dead, stopped or cut off. On the byte `c` (cancel) it ends
all but COMMAND itself, which has GRACE seconds to put things in order.
It imports nothing but the standard library: it must start fast and never fail.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
CANCEL = b"c"
ALIVE = b"."


def main(silence: float, grace: float, command: list[str]) -> int:
    """Run `command` under guard; its exit code, or 128 + 15 where the guard ended it."""
    # Descendants that move to sessions of their own (Ansible's workers do) come back to us.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    order = _watch(child.pid, silence, None)
    was_cancelled = order == CANCEL
    if was_cancelled:
        _signal(_descendants() - {child.pid}, signal.SIGTERM)
        order = _watch(child.pid, silence, grace)
    # Whoever takes over counts on it that all is over soon after the silence.
    if order is not None:
        _signal(_descendants(), signal.SIGTERM)
        _wait_for(child.pid, min(grace, silence / 6))
    ended = None if was_cancelled or order is not None else child.poll()
    _end_all(silence / 18)
    return 128 + signal.SIGTERM if ended is None else ended


def _watch(pid: int, silence: float, grace: float | None) -> bytes | None:
    """None once the child ended by itself; CANCEL, or b"" when the worker fell silent.

    With `grace` the child was cancelled already, and is given up after so many seconds.
    """
    exited = os.pidfd_open(pid)
    begin = heard = _now()
    while True:
        left = heard + silence - _now()
        if grace is not None:
            left = min(left, begin + grace - _now())
        if left <= 0:
            return b""
        ready, _, _ = select.select([0, exited], [], [], min(left, 1.0))
        if exited in ready:
            return None
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:
                return b""
            if CANCEL in data and grace is None:
                return CANCEL
            heard = _now()


def _now() -> float:
    # Goes on while the machine is suspended: a sleeping guard has heard nothing either.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _wait_for(pid: int, seconds: float) -> None:
    exited = os.pidfd_open(pid)
    select.select([exited], [], [], seconds)
    os.close(exited)


def _end_all(patience: float) -> None:
    """SIGTERM, and after `patience` seconds SIGKILL, until no descendant is left."""
    _signal(_descendants(), signal.SIGTERM)
    deadline = _now() + patience
    while (left := _descendants()) and _now() < deadline + 10:
        if _now() > deadline:
            _signal(left, signal.SIGKILL)
        _reap()
        time.sleep(0.05)
    _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue
    except ChildProcessError:
        return


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _descendants() -> set[int]:
    """Every living process below this one, by the process table."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
