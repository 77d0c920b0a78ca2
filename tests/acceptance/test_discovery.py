"""A machine that nobody registered: it boots over the network, is found, and is installed.

All that is typed is its hostname and what it is to run. Real firmware, DHCP, iPXE, ramdisk, BMC (from
inside and over the network), LLDP and disk; the tests of this file go on from each other.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bmc.ipmi_sim import mac_of
from tests.lab.lldp import LldpNeighbour
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import PASSWORD, USERNAME, Vm, VmRack
from tests.service import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

MAC, SECOND = "52:54:00:77:31:01", "52:54:00:77:31:02"
VM = Vm(
    "unknown",
    "127.0.98.31",
    (MAC, SECOND),
    firmware="uefi",
    bmc="ipmi_sim",
    in_band=True,
    serial_number="SN-UNKNOWN",
    order="network",
    memory=1280,
    disks=(9_000_000_000, 3_000_000_000),
)
ADDRESS = "10.77.0.31"
MIB = 1 << 20
PROFILE = """{
    "mgmt_network_address": "10.77.0.3{n}",
    "mgmt_network_netmask": "255.255.255.0",
    "mgmt_network_gateway": "10.77.0.1",
    "os_disk_name": "vda"
}"""
SECONDS_TO_HELLO, SECONDS_TO_INSPECT, SECONDS_TO_INSTALL = 240, 240, 900


class Place:
    """What the tests of this file share."""

    def __init__(self, rack: VmRack, site: Site, segment: Segment) -> None:
        self.rack = rack
        self.site = site
        self.segment = segment

    def power(self, *order: str, user: str = USERNAME, password: str = PASSWORD) -> str:
        """What the machine's BMC answers over the network."""
        login = ("-C", "3", "-H", VM.bmc_address, "-U", user, "-P", password)
        done = self.segment.run("ipmitool", "-I", "lanplus", *login, "power", *order)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def machines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.site.service.done("DescribeBMNodes")["node_set"]
        return found

    def restart(self, **settings: Any) -> None:
        """The service and the boot server, with other settings."""
        self.site.set(**settings)
        self.site.service.set(**settings)
        self.site.service.stop()
        self.site.service.start()
        self.site.stop("keeper")
        self.site.start_keeper()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The whole of Firstbox, and the machine cabled to a switch, off, with somebody's data on its disks."""
    directory = tmp_path_factory.mktemp("discovery")
    with Segment("10.77.0.1/24") as segment:
        site = Site(directory, segment, ramdisk_deadline=240, os_deadline=400)
        # The cloud kernel has no drivers for BMCs.
        site.service.firstbox("image", "build", "ramdisk", timeout=900)
        site.service.firstbox("image", "build", "debian", "--kernel", "cloud", timeout=900)
        (directory / "profile.json").write_text(PROFILE)
        rack = VmRack(segment, directory / "rack", [VM])
        with rack, LldpNeighbour(segment, rack.tap(VM.name), switch="sw-r01", port="Ethernet1/7"):
            for number in range(len(VM.disks)):
                fill(rack.disk(VM.name, number))
            with site, segment.inside():
                yield Place(rack, site, segment)


def fill(disk: Path) -> None:
    """Somebody's file system, and what was in it."""
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", str(disk)], check=True)
    with disk.open("r+b") as file:
        file.seek(1 << 30)
        file.write(os.urandom(MIB))


def contents(disk: Path) -> dict[int, str]:
    """A digest of each MiB that is not empty, by its place: all that is on a disk."""
    found: dict[int, str] = {}
    with disk.open("rb") as file:
        end, place = os.fstat(file.fileno()).st_size, 0
        while place < end:
            try:
                place = os.lseek(file.fileno(), place, os.SEEK_DATA) // MIB * MIB
            except OSError:  # a hole up to its end
                break
            file.seek(place)
            piece = file.read(MIB)
            if any(piece):
                found[place // MIB] = hashlib.sha256(piece).hexdigest()
            place += MIB
    return found


def disks(place: Place) -> list[dict[int, str]]:
    return [contents(place.rack.disk(VM.name, number)) for number in range(len(VM.disks))]


@pytest.fixture(scope="module")
def discovered(place: Place) -> dict[str, Any]:
    """The machine as it is described once it was found and looked at."""
    profile = place.site.settings.home.parent / "profile.json"
    place.restart(discovery=True, discovery_bmc_user=True, discovery_profile=profile)
    before = disks(place)
    place.power("on")
    wait_until(place.machines, SECONDS_TO_HELLO, what="it is registered", pause=1)
    service = place.site.service
    job = service.done("GetStatus", job_action="InspectBMNodes")
    ended = service.wait_for(job["job_id"], seconds=SECONDS_TO_INSPECT, action="InspectBMNodes")
    log = "\n".join(service.log(job["job_id"], "InspectBMNodes"))
    assert ended["status"] == "successful", log
    [machine] = place.machines()
    return {**machine, "log": log, "disks_before": before}


def test_with_discovery_off_it_gets_nothing(place: Place) -> None:
    place.power("on")
    wait_until(lambda: f"{MAC} asks" in place.site.said("keeper"), 90, what="it asks")
    time.sleep(5)  # a second time

    assert MAC not in (place.site.settings.boot / "leases").read_text()
    assert place.machines() == []
    place.power("off")


def test_it_appears_as_discovered_with_what_it_is(discovered: dict[str, Any]) -> None:
    assert discovered["status"] == "discovered"
    assert discovered["general"]["serial_number"] == "SN-UNKNOWN"
    assert discovered["general"]["cpu_arch"] == "x86_64"
    assert (discovered["general"]["brand"], discovered["product"]) == ("lab", "vm")
    assert discovered["pxe"]["pxe_network_mac_addr"] == MAC
    assert discovered["boot_mode"] == "uefi"


def test_its_hardware_is_known_down_to_the_port_of_its_switch(discovered: dict[str, Any]) -> None:
    hardware = discovered["hardware"]

    assert hardware["cpu"]["cpu_arch"] == "x86_64"
    assert hardware["memory"]["memory_size"] > 1
    assert {disk["name"]: disk["size"] for disk in hardware["disks"]} == {"vda": 9.0, "vdb": 3.0}
    cards = {card["mac_address"]: card for card in hardware["networks"]}
    assert set(cards) == {MAC, SECOND}
    assert cards[MAC]["lldp"]["switch"] == "sw-r01"
    assert cards[MAC]["lldp"]["port"] == "Ethernet1/7"
    assert "lldp" not in cards[SECOND]


def test_a_user_was_made_in_its_bmc_who_may_log_in_over_the_network(
    discovered: dict[str, Any], place: Place
) -> None:
    ipmi = discovered["ipmi"]

    assert ipmi["ipmi_network_address"] == VM.bmc_address
    assert discovered["bmc_mac"] == mac_of(VM.bmc_address)
    assert ipmi["ipmi_username"] not in ("", USERNAME)
    said = place.power("status", user=ipmi["ipmi_username"], password=ipmi["ipmi_password"])
    assert "Chassis Power is" in said
    assert ipmi["ipmi_password"] not in discovered["log"]


def test_no_byte_of_its_disks_was_changed(discovered: dict[str, Any], place: Place) -> None:
    before, after = discovered["disks_before"], disks(place)

    assert len(before[0]) > 10  # file system and data
    assert after == before


def test_it_is_off_afterwards_and_answered_no_more(
    discovered: dict[str, Any], place: Place
) -> None:
    wait_until(lambda: not place.rack.is_on(VM.name), 60, what="it is off")
    boots = (place.site.settings.boot / "boots.conf").read_text()
    assert MAC not in boots


def test_a_hostname_and_a_release_make_it_new_and_it_is_installed(
    discovered: dict[str, Any], place: Place
) -> None:
    service, node_id = place.site.service, discovered["node_id"]

    service.done("ModifyBMNodeAttributes", node_id=node_id, os_version="12", hostname="was-unknown")
    [machine] = place.machines()
    assert machine["status"] == "new"

    job_id = service.done("ProvisionBMNodes", node_ids=[node_id], erase=1)["job_id"]
    ended = service.wait_for(job_id, seconds=SECONDS_TO_INSTALL, action="ProvisionBMNodes")
    assert ended["status"] == "successful", "\n".join(service.log(job_id, "ProvisionBMNodes"))
    assert place.site.ssh(ADDRESS, "hostname").strip() == "was-unknown"
    assert place.machines()[0]["status"] == "provisioned"
