"""Finding BMCs: `python -m bench.scan` measures it and prints a table.

A /16 on loopback, in which 500 simulated BMCs are spread, is swept for IPMI by us, in a process of its
own, and by nmap with the script that asks the same. The two run in turn; what is quoted is the median of
the ratios. Both times hold the program's start. Nobody else answers, but loopback refuses at once what a
network would be silent about, which is to nmap's advantage too.

The same sweep by the role bmc_sweep from a shell shows what Ansible adds. Time and memory for a /24, a
/20 and the /16 are of the sweep alone, as its process sees them.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from api.auth.keys import make_keys
from api.bmc.found import read_swept
from api.bmc.sweep import sweep
from api.settings import Settings
from api.store.session import migrate
from bench.cpu import Cost, run_command
from bench.one_sweep import Swept
from bench.power import REPOSITORY, ROUNDS, simulated
from bench.report import Line, above, below, say, table, told
from tests.lab.bmc import addresses
from tests.lab.bmc.impostors import Impostors, nothing

NETWORK = "127.10.0.0/16"
SMALLER = ("127.10.0.0/24", "127.10.0.0/20")
COUNT = 500
# Spread, so that each part of the network has its share.
BMCS = [str(ip_network(NETWORK)[131 * number + 1]) for number in range(COUNT)]
LIVE, SILENT = addresses("127.9.0.1", 64), addresses("127.9.1.1", 200)
PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: bmc_sweep
        rolespec_validate: false
"""


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        place = Path(scratch)
        with simulated(*BMCS):
            ours, roles, theirs = [], [], []
            for number in range(ROUNDS):
                say(f"scan: round {number + 1} of {ROUNDS}")
                ours.append(by_us(place)[0])
                roles.append(by_role(place))
                theirs.append(by_nmap(place))
            sizes = {network: by_us(place, network)[1] for network in (*SMALLER, NETWORK)}
        return [
            *beside_nmap(ours, roles, theirs),
            *by_size(sizes),
            below("64 live BMCs among 200 silent addresses, wall", among_silent(), 8, " s"),
        ]


def beside_nmap(ours: list[Cost], roles: list[Cost], theirs: list[Cost]) -> Iterator[Line]:
    """The sweep beside nmap."""
    what = f"nmap / sweep, a /16 on loopback with {COUNT} BMCs"
    for column, name, goal in ((0, "wall", 5.0), (1, "CPU", 4.0)):
        ratio = statistics.median(a[column] / b[column] for a, b in zip(theirs, ours, strict=True))
        mine, other = (statistics.median(c[column] for c in costs) for costs in (ours, theirs))
        yield above(f"{what}: {name}", ratio, goal, more=f" ({other:.1f} s / {mine:.2f} s)")
    seconds, cpu = (statistics.median(cost[column] for cost in roles) for column in (0, 1))
    yield told("the same by the role from a shell, wall", seconds, " s", f" (CPU {cpu:.1f} s)")


def by_size(sizes: dict[str, Swept]) -> Iterator[Line]:
    """How time and memory grow with the number of addresses."""
    large = sizes[NETWORK]
    for network in SMALLER:
        small = sizes[network]
        more = ip_network(NETWORK).num_addresses // ip_network(network).num_addresses
        name = f"/{ip_network(network).prefixlen}"
        yield below(
            f"time for the /16 / for a {name}, {more} times as many addresses",
            large.seconds / small.seconds,
            more * 1.25,
            more=f" ({large.seconds:.2f} s / {small.seconds * 1000:.1f} ms)",
        )
        yield below(
            f"memory for the /16 / for a {name}",
            large.memory / small.memory,
            1.25,
            more=f" ({large.memory:.1f} MB / {small.memory:.1f} MB)",
        )


def by_us(place: Path, network: str = NETWORK) -> tuple[Cost, Swept]:
    """One sweep, in a process of its own."""
    result = place / "swept"
    cost = run_command(
        [sys.executable, "-m", "bench.one_sweep", network, str(result)], REPOSITORY, os.environ
    )
    swept = Swept(*json.loads(result.read_text()))
    _expect_all(network, swept.found)
    return cost, swept


def by_role(place: Path) -> Cost:
    """One run of the role, as a step of a scan from a shell in check mode."""
    home, request, playbook = place / "home", place / "request.yml", place / "play.yml"
    if not home.exists():
        home.mkdir(mode=0o700)
        make_keys(Settings(home=home))
        migrate(Settings(home=home).database)
    login = {"name": "none", "username": "none", "password": "none"}
    network = ip_network(NETWORK)
    ends = {"ip_start": str(network[0]), "ip_end": str(network[-1])}
    request.write_text(json.dumps({**ends, "bmc_types": ["ipmi"], "credentials": [login]}))
    playbook.write_text(PLAYBOOK)
    kept = {name: value for name, value in os.environ.items() if "FIRSTBOX" not in name}
    cost = run_command(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            str(playbook),
            *("-e", f"scan_request={request}", "-e", f"firstbox_run_dir={place}"),
        ],
        REPOSITORY,
        {**kept, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "FIRSTBOX_HOME": str(home)},
    )
    _expect_all(NETWORK, len(read_swept(place / "swept.json")))
    return cost


def by_nmap(place: Path) -> Cost:
    """What people would use without us."""
    said = place / "nmap"
    command = ["nmap", "-n", "-Pn", "-sU", "-p623", "--script", "ipmi-version"]
    cost = run_command([*command, "-oN", str(said), NETWORK], REPOSITORY, os.environ)
    _expect_all(NETWORK, said.read_text().count("ipmi-version:"))
    return cost


def among_silent() -> float:
    """Seconds until the live ones are found, where many others hear and say nothing."""
    with simulated(*LIVE), Impostors(dict.fromkeys(SILENT, nothing)):
        began = time.monotonic()
        found = sweep(
            [(LIVE[0], LIVE[-1]), (SILENT[0], SILENT[-1])],
            ["redfish", "ipmi"],
            {"ipmi": 623, "redfish": 443},
            silence=1.0,
            told=lambda *_: None,
            note=lambda _: None,
        )
        assert len(found) == len(LIVE)
        return time.monotonic() - began


def _expect_all(network: str, found: int) -> None:
    there = sum(ip_network(f"{address}/32").subnet_of(ip_network(network)) for address in BMCS)  # type: ignore[arg-type]  # all IPv4
    if found != there:
        raise SystemExit(f"{found} of {there} BMCs were found in {network}")


if __name__ == "__main__":
    main()
