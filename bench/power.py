"""Power of many machines: `python -m bench.power` measures it and prints a table.

500 simulated BMCs, whose machines are on, are told to boot once from the network and are power cycled,
and both is read back: by one run of playbooks/power.yml, and by ipmitool, 16 at a time, in the five
calls that make the same. The two run in turn; what is quoted is the median of the ratios.

The BMCs answer on loopback from a process of their own, which shares the cores with either side: it
is in both wall times, and in no CPU time. The settings are the service's own, the least interval
between two commands to a BMC included, which ipmitool does not keep. CPU per BMC is the difference
between a run on all and a run on one, so that it holds no start of Ansible.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.settings import Settings
from bench.cpu import Cost, run_command
from bench.report import Line, above, below, say, table, told
from tests.lab.bmc import Profile, addresses
from tests.lab.bmc.plant import plant_bmcs

REPOSITORY = Path(__file__).parents[1]
FIRST = "127.0.94.1"
COUNT = 500
ROUNDS = 3
AT_ONCE = 16
# What people's scripts do for one machine; the password comes from the environment (-E).
CALLS = """\
set -e
bmc() { ipmitool -I lanplus -H "$1" -U "$0" -E chassis $2 >/dev/null; }
bmc "$1" "bootdev pxe options=efiboot"
bmc "$1" "bootparam get 5"
bmc "$1" "power status"
bmc "$1" "power cycle"
bmc "$1" "power status"
"""


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, simulated():
        home = Path(scratch, "home")
        home.mkdir(mode=0o700)
        every = addresses(FIRST, COUNT)
        nodes = {f"n-bmc{number:04}": address for number, address in enumerate(every)}
        plant_bmcs(Settings(home=home), nodes, boot_mode="uefi")
        listed = Path(scratch, "addresses")
        listed.write_text("\n".join(every) + "\n")
        ours, one, theirs = [], [], []
        for number in range(ROUNDS):
            say(f"power: round {number + 1} of {ROUNDS}")
            ours.append(by_playbook(home, list(nodes)))
            one.append(by_playbook(home, list(nodes)[:1]))
            theirs.append(by_ipmitool(listed))
    return list(lines(ours, one, theirs))


def lines(ours: list[Cost], one: list[Cost], theirs: list[Cost]) -> Iterator[Line]:
    """The playbook beside ipmitool."""
    what = f"ipmitool, {AT_ONCE} at a time / playbook, boot device and power cycle of {COUNT} BMCs"
    for column, name, goal in ((0, "wall", 10.0), (1, "CPU", None)):
        ratio = statistics.median(a[column] / b[column] for a, b in zip(theirs, ours, strict=True))
        mine, other = (statistics.median(c[column] for c in costs) for costs in (ours, theirs))
        beside = f" ({other:.1f} s / {mine:.1f} s)"
        if goal is None:
            yield told(f"{what}: {name}", ratio, more=beside)
        else:
            yield above(f"{what}: {name}", ratio, goal, more=beside)
    each = statistics.median(
        (a.cpu - b.cpu) / (COUNT - 1) * 1000 for a, b in zip(ours, one, strict=True)
    )
    yield below("CPU per BMC, besides the playbook's start", each, 12, " ms")
    yield told("the same for one BMC, wall", statistics.median(c.seconds for c in one), " s")


def by_playbook(home: Path, nodes: list[str]) -> Cost:
    """One run from a shell, which is a job as well."""
    listed = home / "nodes"
    listed.write_text("\n".join(nodes) + "\n")
    kept = {name: value for name, value in os.environ.items() if "FIRSTBOX" not in name}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "playbooks/power.yml"]
    command += ["-e", "bmc_power_state=cycle", "-e", "bmc_power_boot_device=network"]
    return run_command(
        command,
        REPOSITORY,
        {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "FIRSTBOX_HOME": str(home),
            "FIRSTBOX_NODES": f"@{listed}",
        },
    )


def by_ipmitool(listed: Path) -> Cost:
    """What people would use without us."""
    profile = Profile()
    command = ["xargs", "-a", str(listed), "-P", str(AT_ONCE), "-n", "1"]
    command += ["sh", "-c", CALLS, profile.username]
    return run_command(command, REPOSITORY, {**os.environ, "IPMI_PASSWORD": profile.password})


@contextmanager
def simulated(*which: str) -> Iterator[None]:
    """BMCs in a process of their own: at these addresses, or the 500."""
    command = [sys.executable, "-m", "tests.lab.bmc", "simulate", "--all-on"]
    command += which or ("--first", FIRST, "--count", str(COUNT))
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("the simulated BMCs did not start")
            yield
        finally:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
