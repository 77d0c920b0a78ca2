"""Inspections that go wrong, of machines on paper: each is told apart, and leaves no machine running."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert

from api.store.bm_nodes import update_bm_node
from api.store.boots import BOOT
from api.store.session import writing
from tests.lab.bmc import Profile
from tests.lab.paper import PaperMachine, PaperRack
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.machines import plant_bm_node, plant_images
from tests.service import Service

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

ACTION = "InspectBMNodes"
# hostname -> how far it comes, what its BMC is like, and what the job must say
MACHINES: dict[str, tuple[PaperMachine, str]] = {}


def case(name: str, reason: str, **machine: Any) -> None:
    number = len(MACHINES) + 1
    MACHINES[name] = (
        PaperMachine(f"127.0.93.{number}", f"52:54:00:03:00:{number:02x}", **machine),
        reason,
    )


case("no-driver", "ramdisk_silent", goes_to="kernel")
case("no-login", "ssh_closed", goes_to="hello")
case("other-machine", "wrong_machine", goes_to="hello", serial_number="SN-OTHER")
case("dead-bmc", "bmc_silent", profile=Profile(is_dead=True))
case("has-a-system", "ssh_closed", goes_to="hello")
# The system that the last one runs.
RUNNING = "has-a-system"


GONE = "127.0.93.99"  # nobody answers SSH there, or IPMI


class Lab:
    """The service, the rack, and the end of one inspection of all machines."""

    def __init__(self, site: Site, rack: PaperRack) -> None:
        self.service: Service = site.service
        self.rack = rack
        self.engine = site.engine
        registered = [
            {
                "hostname": name,
                "os_version": "12",
                "cpu_arch": "x86_64",
                "ipmi_network_address": paper.bmc_address,
                "ipmi_username": "ADMIN",
                "ipmi_password": "ADMIN-secret",
                "pxe_network_mac_addr": paper.mac,
                "serial_number": f"SN-{name}",
            }
            for name, (paper, _) in MACHINES.items()
        ]
        node_ids = self.service.done("RegisterBMNodes", bm_nodes=registered)["node_ids"]
        self.ids = dict(zip(MACHINES, node_ids, strict=True))
        with writing(site.engine) as connection:
            update_bm_node(connection, self.ids[RUNNING], {"status": "provisioned"})
        self.service.wait_for(self._switch_on(), seconds=30, action="PowerOnBMNodes")
        job_id = self.service.done(ACTION, node_ids=node_ids, interrupt=1)["job_id"]
        self.status = self.service.wait_for(job_id, seconds=120, action=ACTION)
        self.log = self.service.log(job_id, ACTION)

    def _switch_on(self) -> str:
        asked = {"node_ids": [self.ids[RUNNING]]}
        job_id: str = self.service.done("PowerOnBMNodes", **asked)["job_id"]
        return job_id

    def node(self, name: str) -> dict[str, Any]:
        [found] = [node for node in self.status["nodes"] if node["node_id"] == self.ids[name]]
        node: dict[str, Any] = found
        return node

    def lines(self, name: str) -> str:
        return "\n".join(line for line in self.log if line.startswith(self.ids[name]))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("inspect_faults")
    with Segment("10.77.0.1/24") as segment:
        deadlines = {"bmc_silence": 2, "power_deadline": 4, "ramdisk_deadline": 16}
        deadlines |= {"soft_off_deadline": 3}  # what a machine on paper runs is deaf to it
        site = Site(place, segment, bmc_interval=0, **deadlines)
        plant_images(site.engine, site.settings.images)
        machines = [paper for paper, _ in MACHINES.values()]
        with PaperRack(segment, place / "rack", machines) as rack, site, segment.inside():
            yield Lab(site, rack)


@pytest.mark.parametrize("name", MACHINES)
def test_each_machine_has_its_own_verdict(lab: Lab, name: str) -> None:
    node = lab.node(name)

    assert (node["status"], node["reason"]) == ("failed", MACHINES[name][1]), lab.lines(name)


def test_the_job_failed_and_changed_no_status(lab: Lab) -> None:
    assert (lab.status["status"], lab.status["reason"]) == ("failed", "nodes_failed")
    found = lab.service.done("DescribeBMNodes")["node_set"]
    statuses = {node["node_id"]: node["status"] for node in found}
    assert statuses.pop(lab.ids[RUNNING]) == "provisioned"
    assert set(statuses.values()) == {"new"}
    assert not any(node["hardware"] for node in found)


@pytest.mark.parametrize("name", ["no-driver", "no-login", "other-machine"])
def test_a_machine_that_failed_is_switched_off_all_the_same(lab: Lab, name: str) -> None:
    assert not lab.rack.bmcs[MACHINES[name][0].bmc_address].machine.is_on
    assert lab.lines(name).endswith(": is off")


def test_a_system_that_is_interrupted_is_off_first_and_boots_from_its_disk_again(lab: Lab) -> None:
    address = MACHINES[RUNNING][0].bmc_address

    assert lab.rack.boots(address) == ["none", "pxe", "disk"]
    said = lab.lines(RUNNING)
    assert said.index("BMC: is off") < said.index("boots once from the network")
    assert lab.rack.bmcs[address].machine.is_on
    assert "boots from disk" in lab.lines(RUNNING)


def test_a_machine_that_cannot_be_switched_off_is_named(lab: Lab) -> None:
    assert lab.lines("dead-bmc").count("does not answer") == 2


def test_a_ramdisk_that_is_gone_and_cannot_be_booted_is_said_to_be(lab: Lab) -> None:
    no_bmc = {"ipmi_network_address": None, "ipmi_username": "", "status": "discovered"}
    node_id = plant_bm_node(lab.engine, 99, mgmt_network_address=None, **no_bmc)
    boot = {"boot_id": "b-00000099", "node_id": node_id, "provision_id": "", "state": "open"}
    boot |= {"mac": "52:54:00:03:00:63", "method": "image", "image": "", "hello": {}}
    now = time.time()
    times = {"create_time": now, "expire_time": now + 600, "hello_time": now}
    with writing(lab.engine) as connection:
        connection.execute(insert(BOOT).values(**boot, **times, address=GONE, host_key=""))

    job_id = lab.service.done(ACTION, node_ids=[node_id])["job_id"]

    [node] = lab.service.wait_for(job_id, seconds=60, action=ACTION)["nodes"]
    assert (node["status"], node["reason"]) == ("failed", "ramdisk_silent")
    assert "has no BMC login to boot it with" in node["message"]


def test_in_check_mode_nothing_is_booted_and_there_is_no_job(lab: Lab) -> None:
    jobs = lab.service.done("DescribeJobs")["total_count"]
    paper = MACHINES["no-driver"][0]
    boots = lab.rack.boots(paper.bmc_address)

    command = ("ansible-playbook", "playbooks/inspect.yml", "--check", "--limit")
    done = lab.service.run(*command, lab.ids["no-driver"], check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert lab.service.done("DescribeJobs")["total_count"] == jobs
    assert lab.rack.boots(paper.bmc_address) == boots
