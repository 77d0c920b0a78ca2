"""The process that holds a lab: starts the machines, answers at their doors, ends with its owner.

It reads one JSON request per line and answers each with one line. The end of its input is
the order to leave, so a lab never outlives the process that asked for it, however that
process ended. Started by keeper.py in a mount namespace of its own.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from tests.lab.boot import (
    Boot,
    Running,
    adopt_orphans,
    begin,
    finish,
    plug_cables_in,
    start_switch,
    stop,
)
from tests.lab.doors import Door, Doors, Manner
from tests.lab.errors import LabError
from tests.lab.keeper import remove_files

# What a session in a machine may not do, root or not, because the kernel is the host's.
FORBIDDEN = "-sys_module,-sys_rawio,-sys_time,-sys_boot,-mknod"

SERVERS = {
    "sshd": ["/usr/sbin/sshd", "-i", "-e"],
    "dropbear": ["/bin/dropbear", "-i", "-s", "-m", "-r", "/etc/dropbear/host_key"],
}


class Lab:
    """Machines by name, and the doors that lead to them."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._doors = Doors(log=sys.stderr.fileno())
        self._machines: dict[str, Running] = {}
        self._switch: subprocess.Popen[bytes] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request says."""
        match request.pop("do"):
            case "boot":
                return self._boot(**request)
            case "open":
                return self._open(**request)
            case "treat":
                return self._treat(**request)
            case "hang_up":
                return self._hang_up(**request)
            case unknown:
                raise LabError(f"the keeper does not know how to {unknown!r}")

    def _boot(self, machines: list[dict[str, Any]], switch_lines: list[str]) -> dict[str, Any]:
        """Start all machines at once; answer with the PID of each one's first process."""
        self._switch = start_switch()
        boots = [Boot(**machine) for machine in machines]
        begun = []
        for boot in boots:
            begun.append((boot, begin(boot, self._place / boot.name, self._switch)))
        for boot, holder in begun:
            self._machines[boot.name] = finish(boot, holder)
        plug_cables_in(self._switch, switch_lines)
        return {"pids": {name: machine.init for name, machine in self._machines.items()}}

    def _open(self, name: str, server: str, port: int, hostnames: dict[str, str]) -> dict[str, Any]:
        """Open a machine's doors: `hostnames` has the name it goes by at each address."""
        pid = str(self._machines[name].init)
        for address, hostname in hostnames.items():
            self._doors.open(Door(name, address, port, _serving(pid, hostname, SERVERS[server])))
        return {}

    def _treat(self, name: str, manner: Manner, seconds: float) -> dict[str, Any]:
        self._doors.treat(name, manner, seconds)
        return {}

    def _hang_up(self, name: str) -> dict[str, Any]:
        self._doors.hang_up(name)
        return {}

    def end(self) -> None:
        """Stop all machines; whatever runs in one ends with its first process."""
        stop(self._machines.values())
        if self._switch is not None:
            self._switch.kill()
            self._switch.wait(timeout=10)
        self._doors.wait_for_sessions()


def _serving(pid: str, hostname: str, server: list[str]) -> list[str]:
    """Return the command that serves one connection inside a machine."""
    enter = ["nsenter", "--target", pid, "--mount", "--ipc", "--net", "--pid"]
    guarded = ["setpriv", "--bounding-set", FORBIDDEN]
    if not hostname:
        return [*guarded, *enter, "--uts", "--", *server]
    named = ["sh", "-c", 'echo "$0" >/proc/sys/kernel/hostname; exec "$@"', hostname]
    return [*guarded, "unshare", "--uts", *named, *enter, "--", *server]


async def _keep(place: Path) -> None:
    lab = Lab(place)
    orders = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    try:
        while line := await orders.readline():
            print(json.dumps(_answer(lab, line)), flush=True)
    except BrokenPipeError:  # nobody is left to answer to
        pass
    finally:
        lab.end()


def _answer(lab: Lab, line: bytes) -> dict[str, Any]:
    try:
        return lab.answer(cast("dict[str, Any]", json.loads(line)))
    except (LabError, OSError, subprocess.SubprocessError) as error:
        return {"error": str(error)}


def main() -> None:
    """Mount a private place for the machines' files and keep them until the input ends."""
    place = Path(sys.argv[1])
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "mode=700,size=4g", "lab", str(place)],
        check=True,
        timeout=30,
    )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.chdir(place)
    adopt_orphans()
    try:
        asyncio.run(_keep(place))
    finally:
        os.chdir("/")
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=30)
        remove_files(place.parent)  # the owner may have been killed and cannot


if __name__ == "__main__":
    main()
