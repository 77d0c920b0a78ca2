"""A machine that an installer installs: its answers carried out, its networks by ifupdown, its end awaited.

The installer is a stand-in (tests/lab/paper_installer); Debian's own is tried in test_preseed.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.mirror import Mirror
from tests.lab.paper_installer import make_paper_installer
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import Vm, VmRack

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        "FIRSTBOX_SLOW_TESTS" not in os.environ,
        reason="an installation from packages takes a quarter of an hour without KVM: "
        "set FIRSTBOX_SLOW_TESTS=1",
    ),
]

FIRST, SECOND = "52:54:00:77:22:01", "52:54:00:77:22:02"
VM = Vm("r02n02", "127.0.98.22", (FIRST, SECOND), serial_number="SN-PAPER")
ADDRESS = "10.77.0.22"
REGISTERED = {
    "hostname": f"{VM.name}.example.org",
    "os_version": "12",
    "cpu_arch": "x86_64",
    "image": "paper",
    "ipmi_network_address": VM.bmc_address,
    "ipmi_username": "ADMIN",
    "ipmi_password": "ADMIN-secret",
    "pxe_network_mac_addr": FIRST,
    "boot_mode": "bios",
    "mgmt_network_address": ADDRESS,
    "mgmt_network_netmask": "255.255.255.0",
    "mgmt_network_gateway": "10.77.0.1",
    "is_mgmt_config_bond": 1,
    "mgmt_bond_members": [FIRST, SECOND],
    "public_network_address": "192.0.2.22",
    "public_network_netmask": "255.255.255.128",
    "public_network_gateway": "192.0.2.1",
    "is_public_config_vlan": 1,
    "public_network_vlan_id": 100,
}
_LONGEST = 2700  # seconds for all of it


class Place:
    """What the tests of this file share."""

    def __init__(self, rack: VmRack, site: Site) -> None:
        self.rack = rack
        self.site = site


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The whole of Firstbox with such an installer, and the machine off."""
    directory = tmp_path_factory.mktemp("installer")
    with Segment("10.77.0.1/24") as segment, Mirror(segment, "10.77.0.1", directory) as mirror:
        site = Site(
            directory, segment, ramdisk_deadline=600, os_deadline=600, nameservers='["10.77.0.1"]'
        )
        built = ("image", "build", "all", "--kernel", "cloud", "--no-firmware")
        site.service.firstbox(*built, timeout=900)
        [ramdisk] = site.settings.images.glob("ramdisk-*")
        [debian] = site.settings.images.glob("debian-*")
        initrd = make_paper_installer(ramdisk, debian, directory)
        files = (f"--kernel={ramdisk / 'kernel'}", f"--initrd={initrd}", "--name=paper")
        values = (f"--value=mirror={mirror.url}", "--value=suite=bookworm", "--os-version=12")
        site.service.firstbox("image", "add-installer", "preseed", *files, *values)
        standin = f"standin=10.77.0.1/files/{debian.name}"
        site.service.set(boot_options=f"{site.settings.boot_options} {standin}")
        with VmRack(segment, directory / "rack", [VM]) as rack, site, segment.inside():
            yield Place(rack, site)


@pytest.fixture(scope="module")
def provisioned(place: Place) -> dict[str, Any]:
    """The status of the job that installed it, and its log."""
    service = place.site.service
    node_ids = service.done("RegisterBMNodes", bm_nodes=[REGISTERED])["node_ids"]
    job_id = service.done("ProvisionBMNodes", node_ids=node_ids, erase=1)["job_id"]
    ended = service.wait_for(job_id, seconds=_LONGEST, action="ProvisionBMNodes")
    return {**ended, "log": "\n".join(service.log(job_id, "ProvisionBMNodes"))}


def test_the_job_succeeds(provisioned: dict[str, Any]) -> None:
    assert provisioned["status"] == "successful", provisioned["log"]
    assert "was installed by its own installer" in provisioned["log"]


def test_it_is_named_and_addressed_as_asked(provisioned: dict[str, Any], place: Place) -> None:
    assert place.site.ssh(ADDRESS, "hostname").strip() == VM.name
    addresses = place.site.ssh(ADDRESS, "ip -o -4 address")
    assert re.search(rf"bond0 +inet {ADDRESS}/24", addresses)
    assert re.search(r"bond0\.100 +inet 192\.0\.2\.22/25", addresses)
    assert place.site.ssh(ADDRESS, "ip route show default").startswith(
        "default via 192.0.2.1 dev bond0.100"
    )
    assert place.site.ssh(ADDRESS, "cat /etc/resolv.conf") == "nameserver 10.77.0.1\n"


def test_the_bond_has_both_cards(provisioned: dict[str, Any], place: Place) -> None:
    bond = place.site.ssh(ADDRESS, "cat /proc/net/bonding/bond0")

    assert "Bonding Mode: fault-tolerance (active-backup)" in bond
    assert set(re.findall(r"Permanent HW addr: (\S+)", bond)) == {FIRST, SECOND}


def test_the_installer_was_let_end(provisioned: dict[str, Any], place: Place) -> None:
    assert place.site.ssh(ADDRESS, "ls /etc/firstbox").split() == ["provision_id", "unmounted"]
    assert place.rack.boots(VM.name) == ["network", "disk"]


def test_recommended_packages_are_again_what_the_operator_decides(
    provisioned: dict[str, Any], place: Place
) -> None:
    assert "Install-Recommends" not in place.site.ssh(ADDRESS, "cat /etc/apt/apt.conf.d/*")
