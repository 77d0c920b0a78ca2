"""One installation on a virtual machine: `python -m bench.provision` measures it and prints a table.

The time from the call to the end of the job, split by step, beside what the machine itself needs: from
power-on to the ramdisk's hello, the image fetched, verified, unpacked and written in one script, and from
power-on to the installed system's SSH server. What is left is Firstbox's own: queue, process starts,
BMC conversations, logins to the ramdisk (which an emulated processor makes slow), verification.

QEMU emulates the processor, so the machine's own parts are many times those of a real one; what is left
over is not.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.report import Line, below, say, table, told
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import PASSWORD, USERNAME, Vm, VmRack

ACTION = "ProvisionBMNodes"
MACHINE = Vm("r01n01", "127.0.96.1", ("52:54:00:96:00:01",), serial_number="SN-BENCH")
GOAL = 15.0  # seconds of our own
LONGEST = 1200.0


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = Path(scratch)
        with Segment("10.77.0.1/24") as segment:
            site = Site(directory, segment, ramdisk_deadline=600, os_deadline=600)
            say("provision: building the images, or taking them from the cache")
            built = ("image", "build", "all", "--kernel", "cloud", "--no-firmware")
            site.service.firstbox(*built, timeout=900)
            rack = VmRack(segment, directory / "rack", [MACHINE])
            with rack, site, segment.inside():
                say("provision: installing one machine")
                return list(lines(*install(site)))


def install(site: Site) -> tuple[float, dict[str, Any], list[str]]:
    """Seconds from the call to the job's end, its status, its log."""
    registered = {
        "hostname": MACHINE.name,
        "os_version": "12",
        "cpu_arch": "x86_64",
        "ipmi_network_address": MACHINE.bmc_address,
        "ipmi_username": USERNAME,
        "ipmi_password": PASSWORD,
        "pxe_network_mac_addr": MACHINE.macs[0],
        "mgmt_network_address": "10.77.0.11",
        "mgmt_network_netmask": "255.255.255.0",
    }
    node_ids = site.service.done("RegisterBMNodes", **registered)["node_ids"]
    started = time.monotonic()
    job_id = site.service.done(ACTION, node_ids=node_ids)["job_id"]
    status = site.service.wait_for(job_id, seconds=LONGEST, action=ACTION)
    seconds = time.monotonic() - started
    log = site.service.done("GetProvisionBMNodesLog", job_id=job_id)["log"]
    if status["status"] != "successful":
        raise SystemExit("the machine was not installed:\n" + "\n".join(log.values()))
    return seconds, status, list(log.values())


def lines(seconds: float, status: dict[str, Any], log: list[str]) -> Iterator[Line]:
    """The steps, and what is ours of them."""
    for step in status["steps"]:
        yield told(f"step{step['index']} {step['name']}", _length(step), " s")
    machine = [
        ("power-on to hello", r"the ramdisk runs at \S+, after ([0-9.]+) s"),
        ("image fetched, verified, written", r"written and verified in ([0-9.]+) s"),
        ("power-on to the system's SSH server", r"([0-9.]+) s after power-on"),
    ]
    own = seconds
    for what, pattern in machine:
        found = re.search(pattern, "\n".join(log))
        if found is None:
            raise SystemExit(f"the log does not tell: {what}")
        own -= float(found[1])
        yield told(f"of it the machine: {what}", float(found[1]), " s")
    yield told("the whole installation", seconds, " s")
    yield below("of it Firstbox's own", own, GOAL, " s")


def _length(step: dict[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(step[name]) for name in ("started", "finished"))
    return (end - begin).total_seconds()


if __name__ == "__main__":
    main()
