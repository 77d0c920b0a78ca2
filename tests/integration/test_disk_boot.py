"""Machines that do not come up from their disks: what disk_boot says of each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.store.sealing import Seal
from tests.lab.boot_server import BootServer
from tests.lab.paper import PaperMachine, PaperRack
from tests.lab.segment import Segment
from tests.service import REPOSITORY

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

# One comes back to the network whatever its BMC is told, the other says nothing any more.
AGAIN = PaperMachine("127.0.96.1", "52:54:00:02:00:01", goes_to="dhcp", order="network")
QUIET = PaperMachine("127.0.96.2", "52:54:00:02:00:02")

PLAYBOOK = """\
- hosts: bm
  gather_facts: false
  tasks:
    - import_role: {name: disk_boot, rolespec_validate: false}
      vars: {disk_boot_deadline: 25}
    - copy: {content: "{{ disk_boot_results | to_json }}", dest: RESULTS}
      delegate_to: localhost
      run_once: true
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the role says, by BMC address; and the log of each machine."""
    place = tmp_path_factory.mktemp("disk_boot")
    with (
        Segment("10.77.0.1/24") as segment,
        PaperRack(segment, place / "rack", [AGAIN, QUIET]),
        BootServer(place, segment) as server,
    ):
        seal = Seal(server.settings.keys)
        ids, boots = {}, {}
        for machine in (AGAIN, QUIET):
            node_id = server.add_machine(
                machine.mac,
                ipmi_network_address=machine.bmc_address,
                ipmi_username="ADMIN",
                ipmi_password=seal.close("ADMIN-secret"),
                provision_id="p-00000001",
            )
            boots[node_id] = server.open_boot(node_id, machine.mac)
            ids[node_id] = machine.bmc_address
        results = play(server, place)
        return {
            ids[entry["node"]]: entry | {"log": server.log(boots[entry["node"]].job_id)}
            for entry in results
        }


def test_a_machine_that_boots_from_the_network_again_is_told_so(said: dict[str, Any]) -> None:
    entry = said[AGAIN.bmc_address]

    assert (entry["ok"], entry["reason"]) == (False, "boots_network_again")
    assert any("asks for a network boot and gets no answer" in line for line in entry["log"])
    assert not any("is offered" in line for line in entry["log"])


def test_a_machine_whose_ssh_never_opens_is_silent(said: dict[str, Any]) -> None:
    entry = said[QUIET.bmc_address]

    assert (entry["ok"], entry["reason"]) == (False, "os_silent")
    assert any("BMC: is on, switched on, boots from disk" in line for line in entry["log"])


def play(server: BootServer, place: Path) -> list[dict[str, Any]]:
    """Run the role alone, on all machines there are."""
    (place / "play.yml").write_text(PLAYBOOK.replace("RESULTS", str(place / "results.json")))
    command = ["ansible-playbook", "-i", "inventory/firstbox.yml", str(place / "play.yml")]
    done = subprocess.run(
        server.segment.command(*command),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "FIRSTBOX_HOME": str(server.settings.home),
            "FIRSTBOX_BOOT_URL": server.url,
        },
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results: list[dict[str, Any]] = json.loads((place / "results.json").read_text())
    return results
