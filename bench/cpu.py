"""CPU time of everything a command or a service does on the controller, user and system.

- `run_command` starts a command below a small launcher that is a child subreaper, so that nothing
  the command starts gets away: ssh masters that moved to sessions of their own come back to it,
  are ended and waited for. The sum is then the launcher's `RUSAGE_CHILDREN`.
- `cpu_of` adds utime, stime, cutime and cstime from /proc over a process that goes on and over all
  of its descendants; the difference of two sums is what was used in between. Children that ended
  stand in the cutime of the parent that waited for them (the guard of a run waits for orphans).

The SSH servers of the lab are in neither tree.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_LAUNCHER = """
import ctypes, json, os, resource, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
started = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds = time.monotonic() - started
while True:
    below = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    for pid in below:
        os.kill(int(pid), signal.SIGTERM)
    try:
        while os.waitpid(-1, 0):
            continue
    except ChildProcessError:
        break
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": code, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))
"""


class Cost(NamedTuple):
    """What one run took, in seconds."""

    seconds: float
    cpu: float


def run_command(command: list[str], cwd: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command to its end; what it printed on standard output is nobody's business."""
    launched = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(launched.stdout)
    if answer["code"]:
        raise SystemExit(f"{command[0]} ended with code {answer['code']}")
    return Cost(answer["seconds"], answer["cpu"])


def cpu_of(pid: int) -> float:
    """Seconds that this process, its descendants and the children they waited for have used."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        process = int(stat.parent.name)
        parents[process] = int(fields[1])
        used[process] = sum(map(int, fields[11:15]))
    return sum(used[one] for one in used if _is_below(one, pid, parents)) / _TICKS


def idle_share(pid: int, seconds: float) -> float:
    """Share of one core that a service uses while nobody asks for anything."""
    before, started = cpu_of(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_of(pid) - before) / (time.monotonic() - started)


def _is_below(process: int, root: int, parents: Mapping[int, int]) -> bool:
    while process > 1:
        if process == root:
            return True
        process = parents.get(process, 0)
    return False
