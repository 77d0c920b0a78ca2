"""`python -m tests.lab.bmc`: BMCs to play with; see README.md."""

import argparse
import dataclasses
import os
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from api.settings import Settings
from tests.lab.bmc import Event, Profile, Simulator, addresses
from tests.lab.bmc.ipmi_sim import IpmiSim
from tests.lab.bmc.plant import plant_bmcs


def main() -> int:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    doing: Any = arguments.do
    return int(doing(arguments) or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.bmc", description=__doc__)
    commands = parser.add_subparsers(required=True)

    simulate = commands.add_parser("simulate", help="BMCs of ours, many in one process")
    simulate.add_argument("addresses", nargs="*", help="addresses of BMCs")
    simulate.add_argument("--first", help="instead: the first of --count addresses")
    simulate.add_argument("--count", type=int, default=1)
    simulate.add_argument("--port", type=int, default=623)
    simulate.add_argument("--on", nargs="*", default=[], help="addresses of machines that are on")
    simulate.add_argument("--all-on", action="store_true")
    simulate.add_argument("--dead", nargs="*", default=[], help="addresses that say nothing")
    simulate.add_argument("--quirk", action="append", default=[], metavar="NAME=VALUE")
    simulate.add_argument("--hook", type=Path)
    simulate.add_argument("--dir", type=Path, help="for the hook's state files")
    simulate.add_argument("--log", type=Path, help="a line for each event of a machine's power")
    simulate.add_argument("--detach", type=Path, metavar="PIDFILE", help="run in the background")
    simulate.set_defaults(do=_simulate)

    other = commands.add_parser("ipmi-sim", help="OpenIPMI's ipmi_sim, one BMC")
    other.add_argument("--address", required=True)
    other.add_argument("--port", type=int, default=623)
    other.add_argument("--dir", type=Path, required=True)
    other.add_argument("--hook", type=Path)
    other.set_defaults(do=_ipmi_sim)

    stop = commands.add_parser("stop", help="stop what runs in the background")
    stop.add_argument("pidfile", type=Path)
    stop.set_defaults(do=_stop)

    plant = commands.add_parser("plant", help="make a home that knows machines with these BMCs")
    plant.add_argument("home", type=Path)
    plant.add_argument("nodes", nargs="+", metavar="NODE=ADDRESS")
    plant.set_defaults(do=_plant)
    return parser


def _simulate(arguments: argparse.Namespace) -> int:
    wanted = arguments.addresses or addresses(arguments.first, arguments.count)
    profiles = {address: _profile(arguments.quirk) for address in wanted}
    for address in arguments.dead:
        profiles[address].is_dead = True
    if arguments.log is not None:
        arguments.log.touch()

    def heard(address: str, event: Event) -> None:
        if arguments.log is not None:
            with arguments.log.open("a") as log:
                log.write(f"{address} {event.name}\n")

    simulator = Simulator(
        wanted,
        profiles=profiles,
        port=arguments.port,
        on=wanted if arguments.all_on else arguments.on,
        hook=arguments.hook,
        directory=arguments.dir,
        heard=heard,
    )
    return _run(simulator, arguments.detach)


def _ipmi_sim(arguments: argparse.Namespace) -> int:
    place = arguments.dir
    return _run(IpmiSim(arguments.address, place, port=arguments.port, hook=arguments.hook), None)


def _profile(quirks: list[str]) -> Profile:
    values: dict[str, Any] = {}
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Profile)}
    for quirk in quirks:
        name, _, value = quirk.partition("=")
        if name == "suites":
            values[name] = tuple(int(suite) for suite in value.split(","))
        elif kinds[name] is bool:
            values[name] = value not in ("0", "no", "false")
        elif name == "freezes_after":
            values[name] = int(value)
        else:
            values[name] = kinds[name](value)
    return Profile(**values)


def _run(bmcs: AbstractContextManager[object], pidfile: Path | None) -> int:
    if pidfile is not None and not _detach(pidfile):
        return 0
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with bmcs:
        if pidfile is not None:
            pidfile.write_text(str(os.getpid()))
        else:
            print("ready", flush=True)
        over.wait()
    return 0


def _detach(pidfile: Path) -> bool:
    """True in a child of its own session; False in the parent, once the child wrote its pid."""
    child = os.fork()
    if child == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        return True
    for _ in range(300):
        if pidfile.exists() and pidfile.read_text():
            return False
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            sys.exit("the BMCs did not start: are the addresses free?")
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    sys.exit("the BMCs did not start within 30 s")


def _stop(arguments: argparse.Namespace) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(arguments.pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
    arguments.pidfile.unlink(missing_ok=True)


def _plant(arguments: argparse.Namespace) -> None:
    arguments.home.mkdir(mode=0o700, parents=True)
    nodes = dict(node.split("=") for node in arguments.nodes)
    plant_bmcs(Settings(home=arguments.home), nodes)


if __name__ == "__main__":
    sys.exit(main())
