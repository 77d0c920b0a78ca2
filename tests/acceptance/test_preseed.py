"""A machine installed by Debian's own installer, out of a mirror on the rack's own network."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.mirror import Mirror
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import Vm, VmRack
from tests.service import wait_until

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
    [node_id] = site.service.done("RegisterBMNodes", bm_nodes=[REGISTERED])["node_ids"]
    asked = site.service.done("ProvisionBMNodes", node_ids=[node_id], erase=1)
    wait_until(
        lambda: status_of(site, asked["job_id"])["status"] in ("successful", "failed"),
        _LONGEST,
        what="the job is over",
        pause=2,
    )
    log = site.service.log(asked["job_id"], "ProvisionBMNodes")
    return {**status_of(site, asked["job_id"]), "node_id": node_id, "log": "\n".join(log)}


def test_debians_installer_installs_it(provisioned: dict[str, Any]) -> None:
    print(*provisioned["steps"], sep="\n")
    assert provisioned["status"] == "successful", provisioned["log"]
    assert "was installed by its own installer" in provisioned["log"]


def test_it_is_found_by_ssh_with_what_was_asked(provisioned: dict[str, Any], site: Site) -> None:
    assert ssh(site, "hostname").strip() == VM.name
    assert 'VERSION_ID="12"' in ssh(site, "cat /etc/os-release")
    assert f" {ADDRESS}/24 " in ssh(site, "ip -o address")
    assert "default via 10.77.0.1" in ssh(site, "ip route")


def test_it_says_which_installation_it_is(provisioned: dict[str, Any], site: Site) -> None:
    assert ssh(site, "cat /etc/firstbox/provision_id").startswith("p-")
    assert ssh(site, "ls /etc/firstbox").split() == ["provision_id"]


def test_nobody_has_a_password(provisioned: dict[str, Any], site: Site) -> None:
    hashes = ssh(site, "cut -d: -f2 /etc/shadow").split()

    assert all(given[0] in "*!" for given in hashes)


def ssh(site: Site, command: str) -> str:
    """What a command prints on the installed machine."""
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    flags = [f"-o{option}" for option in (*options, "ConnectTimeout=10", "LogLevel=ERROR")]
    key = str(site.settings.keys / "ssh_ed25519")
    done = subprocess.run(
        ["ssh", "-F", "none", "-i", key, *flags, f"root@{ADDRESS}", command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def status_of(site: Site, job_id: str) -> dict[str, Any]:
    return site.service.done("GetProvisionBMNodesStatus", job_id=job_id)
