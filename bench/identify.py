"""Identifying many machines: `python -m bench.identify` measures it and prints a table.

500 simulated BMCs are asked for maker and serial number (FRU), power state and boot flags: by one run of
the role bmc_identify, with a login for all of them and what a sweep found as a file, and by ipmitool, 16
at a time, in the three calls that tell the same. The two run in turn; what is quoted is the median of the
ratios.

As in bench/power.py, the BMCs share the cores with either side from a process of their own, ours keeps
the service's least interval between two commands to a BMC, which ipmitool does not, and also reads each
BMC's MAC. CPU per BMC is the difference between a run on all and a run on one.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from api.auth.keys import make_keys
from api.bmc.found import Answering, read_identified, write_found
from api.settings import Settings
from api.store.session import migrate
from bench.cpu import Cost, run_command
from bench.power import AT_ONCE, COUNT, FIRST, REPOSITORY, ROUNDS, simulated
from bench.report import Line, above, below, say, table, told
from tests.lab.bmc import Profile, addresses

# ipmitool misses sensor records after the FRU data, so it is judged by what it shows.
CALLS = """\
set -e
bmc() { ipmitool -I lanplus -H "$1" -U "$0" -E $2; }
bmc "$1" "fru print 0" 2>/dev/null | grep -q "Product Serial"
bmc "$1" "chassis power status" >/dev/null
bmc "$1" "chassis bootparam get 5" >/dev/null
"""
PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: bmc_identify
        rolespec_validate: false
"""


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, simulated():
        place, every = Path(scratch), addresses(FIRST, COUNT)
        _prepare(place)
        listed = place / "addresses"
        listed.write_text("\n".join(every) + "\n")
        ours, one, theirs = [], [], []
        for number in range(ROUNDS):
            say(f"identify: round {number + 1} of {ROUNDS}")
            ours.append(by_role(place, every))
            one.append(by_role(place, every[:1]))
            theirs.append(by_ipmitool(listed))
    return list(lines(ours, one, theirs))


def lines(ours: list[Cost], one: list[Cost], theirs: list[Cost]) -> Iterator[Line]:
    """The role beside ipmitool."""
    what = f"ipmitool, {AT_ONCE} at a time / role, FRU, power and boot flags of {COUNT} BMCs"
    for column, name in ((0, "wall"), (1, "CPU")):
        ratio = statistics.median(a[column] / b[column] for a, b in zip(theirs, ours, strict=True))
        mine, other = (statistics.median(c[column] for c in costs) for costs in (ours, theirs))
        beside = f" ({other:.1f} s / {mine:.1f} s)"
        if name == "wall":
            yield above(f"{what}: {name}", ratio, 10.0, more=beside)
        else:
            yield told(f"{what}: {name}", ratio, more=beside)
    each = statistics.median(
        (a.cpu - b.cpu) / (COUNT - 1) * 1000 for a, b in zip(ours, one, strict=True)
    )
    yield below("CPU per BMC, besides the playbook's start", each, 12, " ms")
    yield told("the same for one BMC, wall", statistics.median(c.seconds for c in one), " s")


def by_role(place: Path, every: Sequence[str]) -> Cost:
    """One run on these addresses; every BMC has to be identified."""
    found = place / "found"
    write_found(found / "swept.json", [Answering(one, kinds={"ipmi": 623}) for one in every])
    kept = {name: value for name, value in os.environ.items() if "FIRSTBOX" not in name}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(place / "play.yml")]
    command += ["-e", f"scan_request={place / 'request.json'}", "-e", f"bmc_identify_dir={found}"]
    cost = run_command(
        command,
        REPOSITORY,
        {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "FIRSTBOX_HOME": str(place / "home"),
        },
    )
    told_of = [one for one in read_identified(found / "identified.json") if one.serial_number]
    if len(told_of) != len(every):
        raise SystemExit("not all BMCs were identified")
    return cost


def by_ipmitool(listed: Path) -> Cost:
    """What people would use without us."""
    profile = Profile()
    command = ["xargs", "-a", str(listed), "-P", str(AT_ONCE), "-n", "1"]
    command += ["sh", "-c", CALLS, profile.username]
    return run_command(command, REPOSITORY, {**os.environ, "IPMI_PASSWORD": profile.password})


def _prepare(place: Path) -> None:
    """A home that knows no machine, and what to scan."""
    settings, profile = Settings(home=place / "home"), Profile()
    settings.home.mkdir(mode=0o700)
    make_keys(settings)
    migrate(settings.database)
    (place / "found").mkdir()
    (place / "play.yml").write_text(PLAYBOOK)
    login = {"name": "site", "username": profile.username, "password": profile.password}
    last = addresses(FIRST, COUNT)[-1]
    request = {"ip_start": FIRST, "ip_end": last, "credentials": [login], "bmc_types": ["ipmi"]}
    (place / "request.json").write_text(json.dumps(request))


if __name__ == "__main__":
    main()
