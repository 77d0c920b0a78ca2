"""A lab from the command line, for demonstrations and benchmarks.

    python -m tests.lab up --machines 6 --dir DIR
    python -m tests.lab farm --count 200 --dir DIR
    python -m tests.lab vms --machines 2 --dir DIR
    python -m tests.lab down --dir DIR
    python -m tests.lab build

`up`, `farm` and `vms` print one line of JSON when every host answers, and leave a supervisor
behind that holds the lab until `down`. `--silence r01n04` makes a machine accept and say nothing.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tests.lab.errors import LabError
from tests.lab.farm import SshFarm
from tests.lab.keeper import LOG, remove_files
from tests.lab.machines import Machines
from tests.lab.rack import plausible_rack
from tests.lab.roots import KINDS, find_or_build

PID_FILE = "supervisor.pid"
SUPERVISOR_LOG = "supervisor.log"
HOME, VMS, TOKEN = "home", "vms", "token"  # of a served rack
SECONDS_TO_GREET = 30
SECONDS_TO_LEAVE = 30


class Lab(AbstractContextManager[object], Protocol):
    """What a supervisor holds."""

    directory: Path


def main() -> int:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    try:
        command: Callable[[argparse.Namespace], None] = arguments.command
        command(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="start distinct machines")
    up.add_argument("--machines", type=int, default=6)
    up.add_argument("--first", default="127.0.20.1")
    up.add_argument("--silence", action="append", default=[], metavar="MACHINE")
    up.set_defaults(command=_up)
    farm = commands.add_parser("farm", help="start many addresses that lead to one machine")
    farm.add_argument("--count", type=int, default=200)
    farm.add_argument("--first", default="127.0.10.1")
    farm.set_defaults(command=_farm)
    vms = commands.add_parser("vms", help="start Firstbox beside virtual machines with BMCs")
    vms.add_argument("--machines", type=int, default=2)
    vms.set_defaults(command=_vms)
    for starter, port in ((up, 2222), (farm, 2222), (vms, 8010)):
        starter.add_argument("--dir", type=Path, required=True)
        starter.add_argument("--port", type=int, default=port)
    down = commands.add_parser("down", help="stop what one of the others left, if anything")
    down.add_argument("--dir", type=Path, required=True)
    down.set_defaults(command=_down)
    build = commands.add_parser("build", help="build the root directories into the cache")
    build.set_defaults(command=_build)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    rack = plausible_rack(arguments.machines, arguments.first)
    lab = Machines(arguments.dir, rack, arguments.port)
    addresses = [machine.address for machine in rack]
    _leave_running(lab, lambda: _welcome(lab, addresses, silent=arguments.silence))


def _farm(arguments: argparse.Namespace) -> None:
    lab = SshFarm(arguments.dir, arguments.count, arguments.first, arguments.port)
    _leave_running(lab, lambda: _welcome(lab, lab.addresses))


def _vms(arguments: argparse.Namespace) -> None:
    # Not above: it needs the service's packages, which machines with SSH servers do without.
    from tests.lab.served_rack import ServedRack

    rack = ServedRack(arguments.dir, arguments.machines, arguments.port)
    _leave_running(rack, rack.report)


def _build(arguments: argparse.Namespace) -> None:
    for kind in KINDS:
        print(f"{kind:14} {find_or_build(kind)}")


def _down(arguments: argparse.Namespace) -> None:
    directory: Path = arguments.dir
    pid = _supervisor(directory)
    if pid is not None:
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        _wait_for_end(pid)
    remove_files(directory)
    for name in (PID_FILE, SUPERVISOR_LOG, LOG, TOKEN):
        (directory / name).unlink(missing_ok=True)
    for place in (HOME, VMS):
        shutil.rmtree(directory / place, ignore_errors=True)
    with contextlib.suppress(OSError):  # it is not there, or holds files that are not ours
        directory.rmdir()


def _supervisor(directory: Path) -> int | None:
    """Return the PID of the supervisor of this directory if it runs, and if it is one."""
    try:
        pid = int((directory / PID_FILE).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ValueError):
        return None
    return pid if b"tests.lab" in command else None


def _wait_for_end(pid: int) -> None:
    end = time.monotonic() + SECONDS_TO_LEAVE
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                time.sleep(0.02)
                continue
        return
    raise LabError(f"the supervisor, process {pid}, did not end within {SECONDS_TO_LEAVE} s")


def _leave_running(lab: Lab, report: Callable[[], dict[str, object]]) -> None:
    """Start the lab in a process of its own and return when its hosts answer."""
    if _supervisor(lab.directory) is not None:
        raise LabError(f"a lab runs in {lab.directory}; end it with `down` first")
    lab.directory.mkdir(parents=True, exist_ok=True)
    news, telling = os.pipe()
    if os.fork() == 0:
        os.close(news)
        _supervise(lab, report, telling)
    os.close(telling)
    with os.fdopen(news) as pipe:
        reported = json.loads(pipe.read() or '{"error": "the supervisor ended"}')
    if "error" in reported:
        raise LabError(reported["error"])
    print(json.dumps(reported))


def _supervise(lab: Lab, report: Callable[[], dict[str, object]], telling: int) -> None:
    """Hold the lab until SIGTERM; never returns, because the caller's half goes on."""
    _detach(lab.directory)
    exit_code = 0
    over = threading.Event()
    # Not a mask, which the machines' processes would inherit.
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        with lab:
            _tell(telling, report())
            over.wait()
    except (LabError, OSError, subprocess.SubprocessError) as error:
        with contextlib.suppress(OSError):
            _tell(telling, {"error": str(error)})
        exit_code = 1
    finally:
        (lab.directory / PID_FILE).unlink(missing_ok=True)
        os._exit(exit_code)


def _welcome(lab: Machines, addresses: list[str], silent: Sequence[str] = ()) -> dict[str, object]:
    """Wait until all machines answer, then silence some; what one must know to log in."""
    _wait_until_all_greet(addresses, lab.port)
    for name in silent:
        lab.silence(name)
    return {
        "first": addresses[0],
        "last": addresses[-1],
        "port": lab.port,
        "user": lab.user,
        "private_key": str(lab.private_key),
        "known_hosts": str(lab.known_hosts),
    }


def _detach(directory: Path) -> None:
    """Leave the terminal, its signals and its output to the caller."""
    os.setsid()
    (directory / PID_FILE).write_text(f"{os.getpid()}\n")
    log = os.open(directory / SUPERVISOR_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)


def _tell(telling: int, report: dict[str, object]) -> None:
    os.write(telling, json.dumps(report).encode())
    os.close(telling)


def _wait_until_all_greet(addresses: list[str], port: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda address: _wait_until_greets(address, port), addresses))


def _wait_until_greets(address: str, port: int) -> None:
    """Wait until an SSH server says who it is."""
    with socket.create_connection((address, port), timeout=SECONDS_TO_GREET) as connection:
        if not connection.recv(4).startswith(b"SSH"):
            raise LabError(f"{address} port {port} does not greet as an SSH server")


if __name__ == "__main__":
    sys.exit(main())
