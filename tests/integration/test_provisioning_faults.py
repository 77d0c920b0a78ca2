"""What goes wrong before a ramdisk runs, all in one job: each machine's fault is its own.

Real service, boot server, DHCP, TFTP and IPMI; the machines are on paper (tests/lab/paper.py).
"""

import os
from collections.abc import Iterator
from pathlib import Path
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

PASSWORD = "ADMIN-secret"
# hostname -> the machine, and what is registered of it differently, and what the job must say
MACHINES: dict[str, tuple[PaperMachine, dict[str, Any], str]] = {}


def case(
    name: str, reason: str, *, registered: dict[str, Any] | None = None, **machine: Any
) -> None:
    number = len(MACHINES) + 1
    paper = PaperMachine(f"127.0.99.{number}", f"52:54:00:00:00:{number:02x}", **machine)
    MACHINES[name] = (paper, registered or {}, reason)


case("dead-bmc", "bmc_silent", profile=Profile(is_dead=True))
case("wrong-password", "bmc_login_refused", registered={"ipmi_password": "other"})
case("no-common-cipher", "bmc_no_cipher", profile=Profile(suites=()))
case("never-on", "power_unchanged", profile=Profile(obeys_power=False))
case("boot-device-lost", "boot_device_ignored", profile=Profile(keeps_boot_device=False))
case("not-cabled", "no_dhcp_request", goes_to="nothing")
case("says-always-on", "bmc_refused", profile=Profile(says_power="on"))
case("says-always-off", "power_unchanged", profile=Profile(says_power="off"))
case("no-tftp", "no_boot_loader", goes_to="dhcp")
case("no-http", "no_boot_script", goes_to="loader")
case("no-driver", "ramdisk_silent", goes_to="kernel")
case("slow-bmc", "ramdisk_silent", profile=Profile(delay=0.3), goes_to="script")
case("other-machine", "wrong_machine", serial_number="SN-OTHER")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("faults")
    machines = [paper for paper, _, _ in MACHINES.values()]
    with Segment("10.77.0.1/24") as segment, PaperRack(segment, place / "rack", machines):
        deadlines = {"bmc_silence": 2, "power_deadline": 4, "ramdisk_deadline": 16}
        site = Site(place, segment, bmc_interval=0, **deadlines)
        plant_images(site.engine, site.settings.images)
        with site, segment.inside():
            yield site.service


@pytest.fixture(scope="module")
def ended(service: Service) -> dict[str, Any]:
    """Status of the job that was to install all of them, and its log, by hostname."""
    registered = [
        {
            "hostname": name,
            "os_version": "12",
            "cpu_arch": "x86_64",
            "ipmi_network_address": paper.bmc_address,
            "ipmi_username": "ADMIN",
            "ipmi_password": PASSWORD,
            "pxe_network_mac_addr": paper.mac,
            "serial_number": f"SN-{name}",
            "mgmt_network_address": f"10.77.0.{10 + number}",
            "mgmt_network_netmask": "255.255.255.0",
            **values,
        }
        for number, (name, (paper, values, _)) in enumerate(MACHINES.items())
    ]
    node_ids = service.done("RegisterBMNodes", bm_nodes=registered)["node_ids"]
    job_id = service.done("ProvisionBMNodes", node_ids=node_ids)["job_id"]
    status = service.wait_for(job_id, seconds=120, action="ProvisionBMNodes")
    log = service.done("GetProvisionBMNodesLog", job_id=job_id)["log"]
    names = dict(zip(node_ids, MACHINES, strict=True))
    return {
        "status": status,
        "nodes": {names[node["node_id"]]: node for node in status["nodes"]},
        "ids": {name: node_id for node_id, name in names.items()},
        "log": list(log.values()),
    }


@pytest.mark.parametrize("name", MACHINES)
def test_each_machine_has_its_own_verdict_and_advice(ended: dict[str, Any], name: str) -> None:
    node = ended["nodes"][name]

    assert (node["status"], node["reason"]) == ("failed", MACHINES[name][2]), node["message"]
    [line] = [line for line in ended["log"] if node["node_id"] in line and node["advice"] in line]
    assert node["message"] in line


def test_the_job_says_which_machines_failed(ended: dict[str, Any]) -> None:
    assert ended["status"]["status"] == "failed"
    assert ended["status"]["reason"] == "nodes_failed"
    assert all(node_id in ended["log"][-1] for node_id in ended["ids"].values())


def test_dhcp_and_boot_requests_stand_in_the_jobs_log(ended: dict[str, Any]) -> None:
    of_machine = [line for line in ended["log"] if ended["ids"]["no-driver"] in line]

    text = "\n".join(of_machine)
    chain = (
        "the boot server is ready for it",
        "BMC: is on, switched on, boots once from the network",
        "asks to boot over the network (DHCP)",
        "fetched the loader undionly.kpxe (TFTP)",
        "fetched its boot script",
        "fetched the kernel",
    )
    assert sorted(chain, key=text.index) == list(chain)


def test_no_password_stands_in_any_log(ended: dict[str, Any], service: Service) -> None:
    texts = [*ended["log"], *(file.read_text(errors="replace") for file in logs(service.home))]

    assert not [text for text in texts if PASSWORD in text]


def test_machines_that_were_only_looked_at_are_new_and_the_others_failed(
    ended: dict[str, Any], service: Service
) -> None:
    found = service.done("DescribeBMNodes")["node_set"]

    statuses = {node["general"]["hostname"]: node["status"] for node in found}
    untouched = {"dead-bmc", "wrong-password", "no-common-cipher"}
    assert {name for name, status in statuses.items() if status == "new"} == untouched
    assert set(statuses.values()) == {"new", "failed"}


def test_after_the_job_nobody_is_answered_any_more(ended: dict[str, Any], service: Service) -> None:
    known = service.home / "boot" / "boots.conf"

    wait_until(lambda: "52:54" not in known.read_text(), 5, what="dnsmasq knows no machine")


def logs(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.suffix in (".log", ".txt")]
