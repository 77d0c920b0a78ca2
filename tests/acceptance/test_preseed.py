"""A machine installed by Debian's own installer, out of a mirror on the rack's own network."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.mirror import Mirror
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import Vm, VmRack

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        "FIRSTBOX_SLOW_TESTS" not in os.environ,
        reason="an installation by Debian's installer takes most of an hour without KVM: "
        "set FIRSTBOX_SLOW_TESTS=1",
    ),
]

VM = Vm("r02n01", "127.0.98.21", ("52:54:00:77:21:01",), serial_number="SN-PRESEED")
ADDRESS = "10.77.0.21"
REGISTERED = {
    "hostname": f"{VM.name}.example.org",
    "os_version": "12",
    "cpu_arch": "x86_64",
    "ipmi_network_address": VM.bmc_address,
    "ipmi_username": "ADMIN",
    "ipmi_password": "ADMIN-secret",
    "pxe_network_mac_addr": VM.macs[0],
    "serial_number": VM.serial_number,
    "boot_mode": "bios",
    "mgmt_network_address": ADDRESS,
    "mgmt_network_netmask": "255.255.255.0",
    "mgmt_network_gateway": "10.77.0.1",
}
_LONGEST = 5400  # seconds for all of it


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The whole of Firstbox with an installer, and the machine off."""
    directory = tmp_path_factory.mktemp("preseed")
    with Segment("10.77.0.1/24") as segment, Mirror(segment, "10.77.0.1", directory) as mirror:
        if not mirror.has_installer:
            pytest.skip("the mirror of this host has packages, and not the installer's own parts")
        site = Site(directory, segment, ramdisk_deadline=600, os_deadline=600)
        values = (f"--value=mirror={mirror.url}", "--value=suite=bookworm")
        site.service.firstbox("image", "add-installer", "preseed", "--os-version=12", *values)
        with VmRack(segment, directory / "rack", [VM]), site, segment.inside():
            yield site


@pytest.fixture(scope="module")
def provisioned(site: Site) -> dict[str, Any]:
    """The status of the job that installed it, and its log."""
    node_ids = site.service.done("RegisterBMNodes", bm_nodes=[REGISTERED])["node_ids"]
    job_id = site.service.done("ProvisionBMNodes", node_ids=node_ids, erase=1)["job_id"]
    ended = site.service.wait_for(job_id, seconds=_LONGEST, action="ProvisionBMNodes")
    return {**ended, "log": "\n".join(site.service.log(job_id, "ProvisionBMNodes"))}


def test_debians_installer_installs_it(provisioned: dict[str, Any]) -> None:
    assert provisioned["status"] == "successful", provisioned["log"]
    assert "was installed by its own installer" in provisioned["log"]


def test_it_is_found_by_ssh_with_what_was_asked(provisioned: dict[str, Any], site: Site) -> None:
    assert site.ssh(ADDRESS, "hostname").strip() == VM.name
    assert 'VERSION_ID="12"' in site.ssh(ADDRESS, "cat /etc/os-release")
    assert f" {ADDRESS}/24 " in site.ssh(ADDRESS, "ip -o address")
    assert "default via 10.77.0.1" in site.ssh(ADDRESS, "ip route")


def test_it_says_which_installation_it_is(provisioned: dict[str, Any], site: Site) -> None:
    assert site.ssh(ADDRESS, "cat /etc/firstbox/provision_id").startswith("p-")
    assert site.ssh(ADDRESS, "ls /etc/firstbox").split() == ["provision_id"]


def test_nobody_has_a_password(provisioned: dict[str, Any], site: Site) -> None:
    hashes = site.ssh(ADDRESS, "cut -d: -f2 /etc/shadow").split()

    assert all(given[0] in "*!" for given in hashes)
