"""Start one machine: its namespaces, its root directory, its interfaces, its first process.

Runs inside the keeper, whose mount namespace is its own: every mount made here is gone
when the keeper and its machines are.
"""

import ctypes
import os
import selectors
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.lab.errors import LabError
from tests.lab.network import SWITCH

SECONDS_TO_BOOT = 20
SECONDS_TO_STOP = 10

DIES_WITH_KEEPER = ("setpriv", "--pdeathsig", "KILL")

# The network is made before the PID namespace is left, because `ip ... netns PID` looks
# the switch up by its PID out here.
OUTSIDE = """
set -eu
ip -batch - <"$network"
exec unshare --pid --fork --kill-child sh -c "$inside"
"""

# /proc is still the keeper's here, so it tells our PID as the keeper sees it.
INSIDE = """
set -eu
read -r pid rest </proc/self/stat
echo "$hostname" >/proc/sys/kernel/hostname
mkdir "$place/upper" "$place/work" "$place/root"
chmod 755 "$place/upper"
mount -t overlay -o "lowerdir=$tree,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
cd "$place/root"
mount -t proc proc proc
mount --bind -o ro proc/sys proc/sys
if [ -e proc/sysrq-trigger ]; then mount --bind /dev/null proc/sysrq-trigger; fi
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755,size=1m tmpfs dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=755,size=16m tmpfs run
mkdir run/sshd .before
echo "$hostname" >etc/hostname
printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n' "$hostname" >etc/hosts
pivot_root . .before
umount -l .before
rmdir .before
trap '' CHLD
echo "$pid"
exec sleep 2147483647
"""


@dataclass(frozen=True)
class Boot:
    """What the keeper needs to know to start a machine."""

    name: str
    hostname: str
    tree: str
    ip_lines: list[str]


@dataclass
class Running:
    """A started machine: the process that holds it, and its own first process."""

    holder: subprocess.Popen[bytes]
    init: int
    init_handle: int


def start_switch() -> subprocess.Popen[bytes]:
    """Start the process whose network namespace holds the far ends of all cables."""
    switch = subprocess.Popen(
        [*DIES_WITH_KEEPER, "unshare", "--net", "sh", "-c", "echo; exec sleep 2147483647"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    _read_line(switch, "the switch")
    return switch


def plug_cables_in(switch: subprocess.Popen[bytes], lines: list[str]) -> None:
    """Set the switch's ports up, which gives the machines' NICs a carrier."""
    subprocess.run(
        ["nsenter", f"--net=/proc/{switch.pid}/ns/net", "ip", "-batch", "-"],
        input="\n".join(lines).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=SECONDS_TO_BOOT,
    )


def begin(boot: Boot, place: Path, switch: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Begin to start a machine; `finish` waits for it. Many can be begun at once."""
    place.mkdir()
    network = place / "network"
    network.write_text("\n".join(boot.ip_lines).replace(SWITCH, str(switch.pid)) + "\n")
    return subprocess.Popen(
        [*DIES_WITH_KEEPER, "unshare", "--mount", "--uts", "--ipc", "--net", "sh", "-c", OUTSIDE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "inside": INSIDE,
            "network": str(network),
            "place": str(place),
            "hostname": boot.hostname,
            "tree": boot.tree,
        },
    )


def finish(boot: Boot, holder: subprocess.Popen[bytes]) -> Running:
    """Wait until a machine that was begun is up."""
    init = int(_read_line(holder, boot.name))
    return Running(holder, init, os.pidfd_open(init))


def adopt_orphans() -> None:
    """Make this process the parent of machines whose holder is gone, so that it can wait."""
    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def stop(machines: Iterable[Running]) -> None:
    """Stop machines and wait until every process, mount and namespace of theirs is gone."""
    machines = list(machines)
    for machine in machines:
        machine.holder.kill()
    for machine in machines:
        machine.holder.wait(timeout=SECONDS_TO_STOP)
        with selectors.DefaultSelector() as selector:
            selector.register(machine.init_handle, selectors.EVENT_READ)
            if not selector.select(SECONDS_TO_STOP):
                raise LabError(f"process {machine.init} does not end")
        os.waitpid(machine.init, 0)
        os.close(machine.init_handle)


def _read_line(process: subprocess.Popen[bytes], name: str) -> bytes:
    output: IO[bytes] | None = process.stdout
    assert output is not None
    with selectors.DefaultSelector() as selector, output:
        selector.register(output, selectors.EVENT_READ)
        line = output.readline() if selector.select(SECONDS_TO_BOOT) else b""
    if not line.endswith(b"\n"):
        why = "ended" if process.poll() is not None else f"said nothing for {SECONDS_TO_BOOT} s"
        raise LabError(f"{name} did not start: its first process {why}")
    return line
