"""An installation that is cancelled, or loses its worker: what is left of it, on machines on paper."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.bmc import Profile
from tests.lab.paper import PaperMachine, PaperRack
from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.machines import plant_images
from tests.service import Service, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

ACTION = "ProvisionBMNodes"
CANCELLED, SLOW, ORPHAN, TAKEN_UP, SHELL = (f"127.0.97.{number}" for number in range(1, 6))
MACHINES = {
    address: PaperMachine(
        address,
        f"52:54:00:01:00:{number:02x}",
        goes_to="hello" if address == TAKEN_UP else "kernel",
        profile=Profile(delay=1.5 if address == SLOW else 0),
    )
    for number, address in enumerate((CANCELLED, SLOW, ORPHAN, TAKEN_UP, SHELL), start=1)
}


class Lab:
    """The service, and the machines behind their BMCs."""

    def __init__(self, service: Service, rack: PaperRack) -> None:
        self.service = service
        self.rack = rack

    def provision(self, address: str) -> tuple[str, str]:
        """Register the machine with this BMC and begin to install it: node id and job id."""
        node_id = self.register(address)
        job_id: str = self.service.done(ACTION, node_ids=[node_id])["job_id"]
        return node_id, job_id

    def register(self, address: str) -> str:
        """Register the machine with this BMC; its node id."""
        node_ids: list[str] = self.service.done(
            "RegisterBMNodes",
            hostname=f"r{address.rpartition('.')[2]}",
            os_version="12",
            cpu_arch="x86_64",
            ipmi_network_address=address,
            ipmi_username="ADMIN",
            ipmi_password="ADMIN-secret",
            pxe_network_mac_addr=MACHINES[address].mac,
            mgmt_network_address=f"10.77.0.{address.rpartition('.')[2]}0",
            mgmt_network_netmask="255.255.255.0",
        )["node_ids"]
        return node_ids[0]

    def wait_for_line(self, job_id: str, text: str, seconds: float = 40) -> None:
        wait_until(lambda: text in self.log(job_id), seconds, what=f"the log has {text!r}")

    def log(self, job_id: str) -> str:
        return "\n".join(self.service.done("GetProvisionBMNodesLog", job_id=job_id)["log"].values())

    def end(self, job_id: str, seconds: float = 90) -> dict[str, Any]:
        return self.service.wait_for(job_id, seconds=seconds, action=ACTION)

    def status(self, node_id: str) -> str:
        [node] = self.service.done("DescribeBMNodes", node_ids=[node_id])["node_set"]
        status: str = node["status"]
        return status

    def is_on(self, address: str) -> bool:
        return self.rack.bmcs[address].machine.is_on


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("cancel")
    with Segment("10.77.0.1/24") as segment:
        site = Site(place, segment, bmc_interval=0, ramdisk_deadline=90)
        plant_images(site.engine, site.settings.images)
        rack = PaperRack(segment, place / "rack", list(MACHINES.values()))
        with rack, site, segment.inside():
            yield Lab(site.service, rack)


def test_a_machine_that_was_booting_is_switched_off(lab: Lab) -> None:
    node_id, job_id = lab.provision(CANCELLED)
    lab.wait_for_line(job_id, "fetched the kernel")
    assert lab.is_on(CANCELLED)

    lab.service.done("CancelJob", job_id=job_id)

    ended = lab.end(job_id)
    assert (ended["status"], ended["reason"]) == ("failed", "cancelled")
    assert ended["nodes"][0]["reason"] == "cancelled"
    assert not lab.is_on(CANCELLED)
    assert "BMC: is off, because the job was cancelled" in lab.log(job_id)
    assert lab.status(node_id) == "failed"


def test_a_machine_that_was_only_looked_at_stays_as_it_was(lab: Lab) -> None:
    node_id, job_id = lab.provision(SLOW)
    lab.wait_for_line(job_id, "step0 preflight begins")

    lab.service.done("CancelJob", job_id=job_id)

    assert lab.end(job_id)["reason"] == "cancelled"
    assert lab.status(node_id) == "new"
    assert lab.rack.boots(SLOW) == []


def test_an_installation_from_a_shell_is_a_job_too(lab: Lab) -> None:
    node_id = lab.register(SHELL)

    done = lab.service.run(
        "ansible-playbook",
        "playbooks/provision.yml",
        "--limit",
        node_id,
        "-e",
        "ramdisk_boot_deadline=8",
        check=False,
    )

    assert done.returncode == 2, done.stderr
    [job] = lab.service.done("DescribeJobs", node_id=node_id)["job_set"]
    assert (job["job_action"], job["status"]) == (ACTION, "failed")
    assert job["command"].startswith("ansible-playbook playbooks/provision.yml --limit")
    log = lab.log(job["job_id"])
    assert "asks to boot over the network (DHCP)" in log
    assert "BMC: is on, switched on, boots once from the network" in log
    assert "fetched its kernel, and then said nothing" in log
    assert lab.status(node_id) == "failed"


@pytest.fixture(scope="module")
def after_a_death(lab: Lab) -> dict[str, tuple[str, str]]:
    """Two installations whose service was killed; one of them is cancelled before it is taken up."""
    jobs = {address: lab.provision(address) for address in (ORPHAN, TAKEN_UP)}
    lab.wait_for_line(jobs[ORPHAN][1], "fetched the kernel")
    lab.service.kill()
    lab.service.start()
    lab.service.done("CancelJob", job_id=jobs[ORPHAN][1])
    return jobs


def test_a_cancel_finds_the_machines_of_a_worker_that_died(
    lab: Lab, after_a_death: dict[str, tuple[str, str]]
) -> None:
    node_id, job_id = after_a_death[ORPHAN]

    assert lab.end(job_id)["reason"] == "cancelled"
    assert not lab.is_on(ORPHAN)
    assert lab.status(node_id) == "failed"


def test_a_job_whose_service_died_is_taken_up_again(
    lab: Lab, after_a_death: dict[str, tuple[str, str]]
) -> None:
    _, job_id = after_a_death[TAKEN_UP]

    lab.wait_for_line(job_id, "attempt 2 begins", 60)
    # A machine on paper has no SSH server: that is as far as it comes.
    ended = lab.end(job_id, 120)
    assert ended["nodes"][0]["step"] == 2, ended
    assert "the ramdisk says hello" in lab.log(job_id)
