"""From two machines without an operating system to two verified, collected nodes, and what must not happen.

Real IPMI, DHCP, TFTP, HTTP, iPXE, ramdisk, disks and SSH; the tests of this file go on from each other.
"""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import BIOS, STRANGER, UEFI, Place
from tests.service import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

SLOW = "FIRSTBOX_SLOW_TESTS" in os.environ

FIRST, SECOND = UEFI.macs
REGISTERED = {
    BIOS.name: {
        "ipmi_network_address": BIOS.bmc_address,
        "pxe_network_mac_addr": BIOS.macs[0],
        "serial_number": "SN-BIOS",
        "boot_mode": "bios",
        "mgmt_network_address": "10.77.0.11",
        "mgmt_network_netmask": "255.255.255.0",
        "mgmt_network_gateway": "10.77.0.1",
    },
    UEFI.name: {
        "ipmi_network_address": UEFI.bmc_address,
        "pxe_network_mac_addr": FIRST,
        "serial_number": "SN-UEFI",
        "boot_mode": "uefi",
        "os_disk_name": "vdb",
        "mgmt_network_address": "10.77.0.12",
        "mgmt_network_netmask": "255.255.255.0",
        "is_mgmt_config_bond": 1,
        "mgmt_bond_members": [FIRST, SECOND],
        "public_network_address": "192.0.2.12",
        "public_network_netmask": "255.255.255.128",
        "public_network_gateway": "192.0.2.1",
        "is_public_config_vlan": 1,
        "public_network_vlan_id": 100,
    },
}
ALL = {
    "os_version": "12",
    "cpu_arch": "x86_64",
    "ipmi_username": "ADMIN",
    "ipmi_password": "ADMIN-secret",
}


@pytest.fixture(scope="module")
def provisioned(place: Place) -> dict[str, Any]:
    """The status and the log of the job that installed both."""
    asked = [{"hostname": name, **ALL, **fields} for name, fields in REGISTERED.items()]
    node_ids = place.service.done("RegisterBMNodes", bm_nodes=asked)["node_ids"]
    place.node_ids = dict(zip(REGISTERED, node_ids, strict=True))
    job_id = place.service.done("ProvisionBMNodes", node_ids=node_ids)["job_id"]
    wait_until(
        lambda: (
            place.service.status(job_id, "ProvisionBMNodes")["status"] in ("successful", "failed")
        ),
        900,
        what="the job is over",
        pause=1,
    )
    log = place.service.done("GetProvisionBMNodesLog", job_id=job_id)["log"]
    status = place.service.done("GetProvisionBMNodesStatus", job_id=job_id)
    return {"status": status, "log": list(log.values())}


def test_both_machines_are_installed_in_one_job(provisioned: dict[str, Any], place: Place) -> None:
    assert provisioned["status"]["status"] == "successful", "\n".join(provisioned["log"])
    assert {step["status"] for step in provisioned["status"]["steps"]} == {"successful"}
    found = place.service.done("DescribeBMNodes")["node_set"]
    assert {node["status"] for node in found} == {"provisioned"}


@pytest.mark.parametrize("name", REGISTERED)
def test_each_is_found_by_ssh_with_what_was_asked(
    provisioned: dict[str, Any], place: Place, name: str
) -> None:
    asked = REGISTERED[name]
    address = str(asked["mgmt_network_address"])

    assert ssh(place, address, "hostname").strip() == name
    assert 'VERSION_ID="12"' in ssh(place, address, "cat /etc/os-release")
    assert f" {address}/24 " in ssh(place, address, "ip -o address")
    assert "cloud" in ssh(place, address, "uname -r")


def test_the_bond_and_the_vlan_are_as_asked(provisioned: dict[str, Any], place: Place) -> None:
    address = "10.77.0.12"

    bond = ssh(place, address, "cat /proc/net/bonding/bond0")
    assert "Bonding Mode: fault-tolerance (active-backup)" in bond
    assert set(re.findall(r"Permanent HW addr: (\S+)", bond)) == {FIRST, SECOND}
    links = ssh(place, address, "ip -d link show bond0.100")
    assert re.search(r"bond0\.100@bond0: .*\bUP\b", links)
    assert "vlan protocol 802.1Q id 100" in links
    addresses = ssh(place, address, "ip -o -4 address")
    assert re.search(r"bond0 +inet 10\.77\.0\.12/24", addresses)
    assert re.search(r"bond0\.100 +inet 192\.0\.2\.12/25", addresses)
    assert "default via 192.0.2.1 dev bond0.100" in ssh(place, address, "ip route")


def test_the_system_is_on_the_named_disk_and_fills_it(
    provisioned: dict[str, Any], place: Place
) -> None:
    root = ssh(place, "10.77.0.12", "findmnt -no SOURCE,SIZE -b /").split()

    assert root[0].startswith("/dev/vdb")
    assert int(root[1]) > 10e9
    first = place.rack.place(UEFI.name).with_name(f"{UEFI.bmc_address}.disk0")
    assert first.stat().st_blocks == 0  # nobody wrote to the other disk


def test_no_password_and_no_other_key_logs_in(provisioned: dict[str, Any], place: Place) -> None:
    daemon = ssh(place, "10.77.0.11", "sshd -T")

    assert "passwordauthentication no" in daemon
    assert ssh(place, "10.77.0.11", "awk -F: '$1 == \"root\" { print $2 }' /etc/shadow")[0] in "*!"


def test_the_log_tells_the_whole_way_in_order(provisioned: dict[str, Any], place: Place) -> None:
    node_id = place.node_ids[BIOS.name]
    text = "\n".join(line for line in provisioned["log"] if line.startswith(node_id))

    chain = (
        "can be installed",
        "the boot server is ready for it",
        "BMC: is on, switched on, boots once from the network",
        "asks to boot over the network (DHCP)",
        "fetched its boot script",
        "fetched the kernel",
        "the ramdisk says hello",
        "50 % of the image is written",
        "has image debian-12",
        "is to be r01n01, with 10.77.0.11/24",
        "BMC: is on, power cycled, boots from disk",
        "runs its own system at 10.77.0.11",
        "as asked; its hardware is recorded",
    )
    assert sorted(chain, key=text.index) == list(chain)


def test_the_boot_devices_were_asked_for_once(provisioned: dict[str, Any], place: Place) -> None:
    assert place.rack.boots(BIOS.name)[:2] == ["network", "disk"]
    assert place.rack.boots(UEFI.name)[:2] == ["network", "disk"]


def test_both_are_nodes_under_the_same_ids(provisioned: dict[str, Any], place: Place) -> None:
    found = {node["node_id"]: node for node in place.service.done("DescribeNodes")["node_set"]}

    assert set(found) == set(place.node_ids.values())
    node = found[place.node_ids[UEFI.name]]
    assert (node["status"], node["hostname"], node["address"]) == (
        "available",
        "r01n02",
        "10.77.0.12",
    )
    assert node["os_disk"]["name"] == "vdb"
    assert [disk["name"] for disk in node["data_disks"]] == ["vda"]
    assert node["mgmt_network"]["bond_name"] == "bond0"


def test_an_installed_machine_needs_reinstall_to_be_installed_again(
    provisioned: dict[str, Any], place: Place
) -> None:
    refused = place.service.call("ProvisionBMNodes", node_ids=[place.node_ids[BIOS.name]])

    assert refused["ret_code"] == 2200
    assert "reinstall 1" in refused["message"]


def test_a_machine_on_network_boot_for_ever_boots_its_disk(
    provisioned: dict[str, Any], place: Place
) -> None:
    before = len(place.rack.console(BIOS.name))
    # As with a BMC that holds on to network boot, or a boot order that begins with it.
    place.rack.order(BIOS.name, "cycle", "pxe")
    wait_until(
        lambda: place.rack.boots(BIOS.name)[-1] == "network", 10, what="it starts from there"
    )

    wait_until(lambda: is_up(place, "10.77.0.11"), 300, what="it runs its system", pause=2)

    seen = place.rack.console(BIOS.name)[before:]
    # What iPXE says when DHCP does not answer, and what the firmware does then.
    chain = ("No more network devices", "Booting from Hard Disk", "GRUB")
    assert sorted(chain, key=seen.index) == list(chain)


def test_a_machine_nobody_knows_gets_no_address(provisioned: dict[str, Any], place: Place) -> None:
    place.rack.order(STRANGER.name, "on")
    asked = f"{STRANGER.macs[0]} asks for an address; nobody waits for it, no answer"

    wait_until(lambda: asked in place.site.said("keeper"), 60, what="it asked", pause=0.5)
    time.sleep(10)  # its ROM asks four times in eight seconds

    assert STRANGER.macs[0] not in leases(place)
    assert STRANGER.macs[0] not in place.site.said("nginx")
    place.rack.order(STRANGER.name, "off")


def test_both_can_be_collected(provisioned: dict[str, Any], place: Place) -> None:
    node_ids = list(place.node_ids.values())
    wait_until(lambda: is_up(place, "10.77.0.11"), 120, what="both run", pause=2)

    job_id = place.service.done("CollectNodes", node_ids=node_ids)["job_id"]

    assert place.service.wait_for(job_id, seconds=120)["status"] == "successful"


# What the log says when the service is killed, SIGKILL for API, worker and run: one moment of each step.
MOMENTS = {
    "step0": "step0 preflight begins",
    "step1": "the ramdisk says hello",
    "step2": "40 % of the image is written",
    "step3": "step3 os_config begins",
    "step4": "boots from disk",
    "step5": "step5 node_verify begins",
}
IN_CI = ("step1", "step2", "step4")  # 35 s each; FIRSTBOX_SLOW_TESTS=1 has all


def test_an_installation_outlives_its_service_in_each_step(
    provisioned: dict[str, Any], place: Place
) -> None:
    node_id = place.node_ids[BIOS.name]
    begun = len(place.rack.boots(BIOS.name))
    job_id = place.service.done("ProvisionBMNodes", node_ids=[node_id], reinstall=1)["job_id"]
    moments = [text for step, text in MOMENTS.items() if step in IN_CI or SLOW]

    for text in moments:
        wait_until(lambda text=text: text in log_of(place, job_id), 240, what=text, pause=0.2)
        place.service.kill()
        place.service.start()

    ended = place.service.wait_for(job_id, seconds=400, action="ProvisionBMNodes")
    assert ended["status"] == "successful", log_of(place, job_id)
    log = log_of(place, job_id)
    assert log.count("begins from the start") == len(moments)
    # What was proved done was not done again.
    assert "runs the ramdisk already" in log
    assert log.count("100 % of the image is written") == 1
    assert place.rack.boots(BIOS.name)[begun:] == ["network", "disk"]


def test_a_cancelled_reinstallation_leaves_the_machine_off(
    provisioned: dict[str, Any], place: Place
) -> None:
    node_id = place.node_ids[BIOS.name]
    job_id = place.service.done("ProvisionBMNodes", node_ids=[node_id], reinstall=1)["job_id"]
    wait_until(
        lambda: "10 % of the image is written" in log_of(place, job_id),
        240,
        what="it is being written",
        pause=0.5,
    )

    place.service.done("CancelJob", job_id=job_id)

    ended = place.service.wait_for(job_id, seconds=60, action="ProvisionBMNodes")
    assert ended["reason"] == "cancelled"
    assert not place.rack.is_on(BIOS.name)
    [node] = place.service.done("DescribeBMNodes", node_ids=[node_id])["node_set"]
    assert node["status"] == "failed"
    [node] = place.service.done("DescribeNodes", node_ids=[node_id])["node_set"]
    assert node["status"] == "unreachable"


def test_a_disk_with_data_of_others_is_not_touched(
    provisioned: dict[str, Any], place: Place
) -> None:
    node_id = place.node_ids[UEFI.name]
    place.service.done("ModifyBMNodeAttributes", node_id=node_id, os_disk_name="vda")
    power(place, "PowerOffBMNodes", UEFI.name)
    disk = place.rack.place(UEFI.name).with_name(f"{UEFI.bmc_address}.disk0")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", str(disk)], check=True)
    before = head(disk)

    job_id = place.service.done("ProvisionBMNodes", node_ids=[node_id], reinstall=1)["job_id"]

    ended = place.service.wait_for(job_id, seconds=240, action="ProvisionBMNodes")
    assert ended["nodes"][0]["reason"] == "disk_has_data", log_of(place, job_id)
    assert "precious" in ended["nodes"][0]["message"]
    assert head(disk) == before


def test_deleted_machines_are_forgotten(provisioned: dict[str, Any], place: Place) -> None:
    node_ids = list(place.node_ids.values())

    place.service.done("DeleteBMNodes", node_ids=node_ids)
    assert place.service.done("DescribeBMNodes")["total_count"] == 0
    place.service.done("DeleteNodes", node_ids=node_ids)

    assert place.service.done("DescribeNodes")["total_count"] == 0


def log_of(place: Place, job_id: str) -> str:
    lines = place.service.done("GetProvisionBMNodesLog", job_id=job_id)["log"]
    return "\n".join(lines.values())


def ssh(place: Place, address: str, command: str) -> str:
    """What a command prints on an installed machine."""
    done = subprocess.run(
        [*ssh_command(place), f"root@{address}", command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_up(place: Place, address: str) -> bool:
    done = subprocess.run(
        [*ssh_command(place), f"root@{address}", "true"], capture_output=True, timeout=60
    )
    return done.returncode == 0


def ssh_command(place: Place) -> list[str]:
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    key = place.site.settings.keys / "ssh_ed25519"
    flags = [f"-o{option}" for option in (*options, "ConnectTimeout=5", "LogLevel=ERROR")]
    return ["ssh", "-F", "none", "-i", str(key), *flags]


def power(place: Place, action: str, name: str) -> None:
    job_id = place.service.done(action, node_ids=[place.node_ids[name]])["job_id"]
    ended = place.service.wait_for(job_id, seconds=60, action=action)
    assert ended["status"] == "successful", ended


def leases(place: Place) -> str:
    """Every lease there is."""
    files = place.site.settings.boot.glob("*lease*")
    return "\n".join(file.read_text() for file in files)


def head(disk: Path) -> bytes:
    """The first 16 MiB of a disk."""
    with disk.open("rb") as file:
        return file.read(1 << 24)
