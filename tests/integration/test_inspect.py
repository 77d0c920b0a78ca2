"""Machines that are inspected: one real machine boots the ramdisk, is asked, and is off again.

A switch says by LLDP who it is. The machine's cloud kernel has no driver for a BMC.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from api.store.bm_nodes import update_bm_node
from api.store.session import open_database, writing
from tests.lab.lldp import LldpNeighbour
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import PASSWORD, USERNAME, Vm, VmRack
from tests.service import Service, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
    pytest.mark.skipif(
        "FIRSTBOX_SLOW_TESTS" not in os.environ,
        reason="test_discovery inspects a machine, test_inspect_faults others on paper; set "
        "FIRSTBOX_SLOW_TESTS=1",
    ),
]

ACTION = "InspectBMNodes"
NAME = "r01n01"
VM = Vm(
    NAME,
    "127.0.96.1",
    ("52:54:00:76:01:01", "52:54:00:76:01:02"),
    bmc="ipmi_sim",
    serial_number="SN-INSPECT",
    disks=(9_000_000_000, 3_000_000_000),
    memory=1024,
)
# Nobody tells of it, and its BMC lets nobody in whom we know.
STRANGER = Vm(
    "stranger", "127.0.96.2", ("52:54:00:76:02:01",), serial_number="SN-STRANGER", memory=1024
)
BUILD = ("image", "build", "ramdisk", "--kernel", "cloud", "--no-firmware")
SECONDS_TO_BUILD = 900
SECONDS_TO_INSPECT = 300
# The smallest system on a disk: it writes its name to the serial port, and halts.
SYSTEM = bytes.fromhex("fc 31c0 8ed8 be407c ba f803 ac 84c0 7403 ee ebf8 f4 ebfd")
SAYS = b"the disk speaks"


class Lab:
    """The service, and the machine."""

    def __init__(self, site: Site, rack: VmRack, node_id: str) -> None:
        self.service: Service = site.service
        self.rack = rack
        self.node_id = node_id
        self._engine = open_database(site.settings.database)

    def begin(self, **fields: Any) -> str:
        job_id: str = self.service.done(ACTION, node_ids=[self.node_id], **fields)["job_id"]
        return job_id

    def end(self, job_id: str) -> dict[str, Any]:
        ended = self.service.wait_for(job_id, seconds=SECONDS_TO_INSPECT, action=ACTION)
        return ended | {"log": "\n".join(self.service.log(job_id, ACTION))}

    def machine(self) -> dict[str, Any]:
        """As DescribeBMNodes shows it."""
        [node] = self.service.done("DescribeBMNodes", node_ids=[self.node_id])["node_set"]
        found: dict[str, Any] = node
        return found

    def change(self, **values: Any) -> None:
        with writing(self._engine) as connection:
            update_bm_node(connection, self.node_id, values)

    def blocks(self) -> list[int]:
        """How much was ever written to each of its disks."""
        return [self.rack.disk(NAME, number).stat().st_blocks for number in range(2)]

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("inspect")
    with Segment("10.77.0.1/24") as segment:
        settings = {"ramdisk_deadline": 200, "worker_concurrency": 1, "discovery": True}
        site = Site(place, segment, **settings)
        site.service.firstbox(*BUILD, timeout=SECONDS_TO_BUILD)
        rack = VmRack(segment, place / "rack", [VM, STRANGER])
        with rack, site, segment.inside():
            switch = LldpNeighbour(segment, rack.tap(NAME), switch="sw-r01", port="Ethernet1/7")
            with switch:
                lab = Lab(site, rack, _registered(site.service))
                yield lab
                lab.close()


def _registered(service: Service) -> str:
    node_ids: list[str] = service.done(
        "RegisterBMNodes",
        hostname=NAME,
        os_version="12",
        cpu_arch="x86_64",
        ipmi_network_address=VM.bmc_address,
        ipmi_username=USERNAME,
        ipmi_password=PASSWORD,
        pxe_network_mac_addr=VM.macs[0],
        mgmt_network_address="10.77.0.21",
        mgmt_network_netmask="255.255.255.0",
        protected=1,
    )["node_ids"]
    return node_ids[0]


@pytest.fixture(scope="module")
def inspected(lab: Lab) -> dict[str, Any]:
    """The end of an inspection of a machine that was off and empty."""
    return lab.end(lab.begin())


def test_an_inspection_goes_through_all_its_steps(lab: Lab, inspected: dict[str, Any]) -> None:
    assert inspected["status"] == "successful", inspected["log"]
    assert {step["status"] for step in inspected["steps"]} == {"successful"}
    assert "the ramdisk says hello" in inspected["log"]
    assert lab.machine()["status"] == "new"


def test_the_hardware_shows_with_switch_and_port(lab: Lab, inspected: dict[str, Any]) -> None:
    machine = lab.machine()

    hardware = machine["hardware"]
    assert hardware["cpu"]["cpu_arch"] == "x86_64"
    assert hardware["cpu"]["cpu_processors"] == 2
    assert 0.5 < hardware["memory"]["memory_size"] < 1.1
    assert [(disk["name"], disk["size"]) for disk in hardware["disks"]] == [
        ("vda", 9.0),
        ("vdb", 3.0),
    ]
    cards = {network["mac_address"]: network for network in hardware["networks"]}
    assert cards.keys() == set(VM.macs)
    assert cards[VM.macs[0]]["lldp"] == {"switch": "sw-r01", "port": "Ethernet1/7"}
    assert "lldp" not in cards[VM.macs[1]]
    assert "leads to sw-r01 Ethernet1/7" in inspected["log"]


def test_what_nobody_told_is_filled_in(lab: Lab, inspected: dict[str, Any]) -> None:
    machine = lab.machine()

    general = machine["general"]
    assert (general["serial_number"], general["brand"]) == (VM.serial_number, "lab")
    assert (machine["product"], machine["boot_mode"]) == ("vm", "bios")
    assert "it has no BMC in-band" in inspected["log"]


def test_it_is_off_afterwards_and_nothing_was_written_to_its_disks(
    lab: Lab, inspected: dict[str, Any]
) -> None:
    assert not lab.rack.is_on(NAME)
    assert lab.machine()["power_state"] == "off"
    assert lab.blocks() == [0, 0]
    assert lab.service.done("DescribeNodes")["node_set"] == []


def test_what_is_cancelled_while_it_boots_is_switched_off(
    lab: Lab, inspected: dict[str, Any]
) -> None:
    job_id = lab.begin()
    wait_until(
        lambda: "fetched its boot script" in "\n".join(lab.service.log(job_id, ACTION)),
        SECONDS_TO_INSPECT,
        what="it boots",
    )

    lab.service.done("CancelJob", job_id=job_id)

    ended = lab.end(job_id)
    assert (ended["status"], ended["reason"], ended["nodes"][0]["step"]) == (
        "failed",
        "cancelled",
        0,
    )
    assert "BMC: is off, because the job was cancelled" in ended["log"]
    assert not lab.rack.is_on(NAME)
    assert lab.machine()["status"] == "new"


def test_from_a_shell_a_running_system_is_interrupted_and_boots_again(
    lab: Lab, inspected: dict[str, Any]
) -> None:
    furnish(lab)
    lab.change(status="provisioned")
    refused = inspect(lab)
    assert refused.returncode == 2
    assert "ask with interrupt 1" in refused.stderr + refused.stdout

    done = inspect(lab, "-e", "ramdisk_boot_interrupt=true")

    assert done.returncode == 0, done.stdout + done.stderr
    [job] = lab.service.done("DescribeJobs", job_action=ACTION, limit=1)["job_set"]
    assert job["status"] == "successful"
    assert "boots from disk" in "\n".join(lab.service.log(job["job_id"], ACTION))
    wait_until(lambda: SAYS.decode() in lab.rack.console(NAME), 60, what="its own system runs")
    assert lab.rack.boots(NAME)[-2:] == ["network", "disk"]


def test_a_machine_without_a_way_to_its_bmc_is_asked_and_switches_itself_off(lab: Lab) -> None:
    lab.rack.order(STRANGER.name, "on", "network")

    def found() -> list[dict[str, Any]]:
        asked = {"search_word": STRANGER.serial_number}
        nodes: list[dict[str, Any]] = lab.service.done("DescribeBMNodes", **asked)["node_set"]
        return nodes

    wait_until(found, SECONDS_TO_INSPECT, what="it is registered", pause=0.5)
    [job] = lab.service.done("DescribeJobs", job_action=ACTION, limit=1)["job_set"]

    ended = lab.end(job["job_id"])

    assert ended["status"] == "successful", ended["log"]
    assert "has switched itself off" in ended["log"]
    wait_until(lambda: not lab.rack.is_on(STRANGER.name), 10, what="it is off")
    [machine] = found()
    assert machine["status"] == "discovered"
    assert [disk["name"] for disk in machine["hardware"]["disks"]] == ["vda"]


def furnish(lab: Lab) -> None:
    """Put a system on its disk, while it is off."""
    sector = bytearray(512)
    sector[: len(SYSTEM)] = SYSTEM
    sector[64 : 64 + len(SAYS)] = SAYS
    sector[510:] = b"\x55\xaa"
    with lab.rack.disk(NAME).open("r+b") as disk:
        disk.write(sector)


def inspect(lab: Lab, *more: str) -> Any:
    command = ("ansible-playbook", "playbooks/inspect.yml", "--limit", lab.node_id, *more)
    return lab.service.run(*command, check=False, timeout=SECONDS_TO_INSPECT)
