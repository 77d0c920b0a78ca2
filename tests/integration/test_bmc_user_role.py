"""The role bmc_user, against an SSH server that stands for a ramdisk, and a BMC behind a real ipmitool."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import read_power
from api.settings import Settings
from api.store.bm_nodes import NODE, get_bm_nodes
from api.store.bmcs import bmc_targets
from api.store.boots import BOOT
from api.store.sealing import Seal
from api.store.session import open_database, reading, writing
from tests.lab.bmc.ipmi_sim import IpmiSim, mac_of
from tests.lab.segment import Segment, die_with_parent
from tests.machines import plant_bm_node
from tests.service import Service, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

BMC, MACHINE = "10.77.0.5", "10.77.0.50"
NODE_ID = "n-inspect1"
UNKNOWN = {
    "node_id": NODE_ID,
    "status": "discovered",
    "ipmi_network_address": None,
    "ipmi_username": "",
    "serial_number": None,
}
PLAYBOOK = """
- hosts: bm
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: bmc_user
    - ansible.builtin.copy:
        content: "{{{{ bmc_user_results | to_json }}}}"
        dest: {results}
        mode: "0600"
      delegate_to: localhost
      connection: local
      run_once: true
"""
# The machine's own /dev, and its own way to its BMC.
SSHD = """
mount --bind {place}/in-band /usr/bin/ipmitool
mount -t tmpfs dev /dev
mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && chmod 666 /dev/null
ln -s /proc/self/fd/0 /dev/stdin
touch /dev/ipmi0
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e -f {place}/sshd_config
"""
IN_BAND = """#!/bin/sh
exec {place}/ipmitool -I lanplus -C 3 -H {bmc} -U ADMIN -P ADMIN-secret "$@"
"""
CONFIG = """
HostKey {place}/host_key
AuthorizedKeysFile {home}/keys/ssh_ed25519.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
"""


@dataclass
class Place:
    """A machine that runs the ramdisk, as far as anybody can tell over SSH."""

    service: Service
    settings: Settings
    segment: Segment
    results: Path

    def plant(self, **values: Any) -> None:
        """Register the machine, and say that its ramdisk said hello."""
        boot = {"boot_id": "b-00000001", "node_id": NODE_ID, "provision_id": "", "state": "open"}
        boot |= {"mac": "52:54:00:00:00:aa", "method": "image", "image": "", "hello": {}}
        boot |= {"address": MACHINE, "host_key": ""}
        now = time.time()
        plant_bm_node(self.engine, **UNKNOWN | values)
        with writing(self.engine) as connection:
            times = {"create_time": now, "expire_time": now + 600, "hello_time": now}
            connection.execute(insert(BOOT).values(**boot, **times))

    def __post_init__(self) -> None:
        self.engine = open_database(self.settings.database)

    def run(self, **settings: Any) -> tuple[dict[str, Any], str]:
        """What the role said of the machine, and all that Ansible printed."""
        self.service.set(discovery_bmc_user=False, allowed_networks='["0.0.0.0/0"]')
        self.service.set(**settings)
        playbook = self.results.with_suffix(".yml")
        playbook.write_text(PLAYBOOK.format(results=self.results))
        command = ("ansible-playbook", "-vvv", str(playbook), "--limit", NODE_ID)
        with self.segment.inside():
            done = self.service.run(*command, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        [result] = json.loads(self.results.read_text())
        return result, done.stdout + done.stderr

    def login(self, password: str) -> dict[str, str]:
        """How it is registered with a login of ADMIN."""
        sealed = Seal(self.settings.keys).close(password)
        return {
            "ipmi_network_address": BMC,
            "ipmi_username": "ADMIN",
            "ipmi_password": sealed,
        }

    def row(self) -> Any:
        with reading(self.engine) as connection:
            return get_bm_nodes(connection, [NODE_ID])[NODE_ID]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("bmc_user")
    service = Service(directory / "home", bmc_interval=0)
    with Segment("10.77.0.1/24") as segment:
        segment.ip(f"address add {BMC}/24 dev br0")
        machine = segment.add_host("52:54:00:00:00:aa")
        machine.ip(f"address add {MACHINE}/24 dev eth0")
        shutil.copy("/usr/bin/ipmitool", directory)
        names = {"place": directory, "home": service.home, "bmc": BMC}
        (directory / "in-band").write_text(IN_BAND.format(**names))
        (directory / "in-band").chmod(0o755)
        (directory / "sshd_config").write_text(CONFIG.format(**names))
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "host_key")]
        subprocess.run(key, check=True)
        with (directory / "sshd.log").open("wb") as log:
            sshd = subprocess.Popen(
                machine.command("unshare", "--mount", "sh", "-c", SSHD.format(**names)),
                stderr=log,
                preexec_fn=die_with_parent,
            )
        try:
            said = directory / "sshd.log"
            wait_until(lambda: "listening" in said.read_text(), 10, what="sshd listens")
            settings = Settings(home=service.home)
            yield Place(service, settings, segment, directory / "results.json")
        finally:
            sshd.terminate()
            sshd.wait()


@pytest.fixture
def place(started: Place, tmp_path: Path) -> Iterator[Place]:
    """With a BMC as it comes from the factory, and nobody registered."""
    with writing(started.engine) as connection:
        connection.execute(delete(NODE))
    with started.segment.inside(), IpmiSim(BMC, tmp_path):
        yield started


def test_where_the_bmc_is_is_learnt_and_no_user_made_unasked(place: Place) -> None:
    place.plant()

    result, _ = place.run()

    assert (result["ok"], result["reason"]) == (True, "")
    assert result["message"] == f"its BMC is at {BMC} ({mac_of(BMC)})"
    row = place.row()
    assert (row.ipmi_network_address, row.bmc_mac, row.ipmi_username) == (BMC, mac_of(BMC), "")


@pytest.mark.parametrize("registered", ["", "a wrong one"])
def test_a_user_is_made_who_gets_in_and_whose_password_nobody_sees(
    place: Place, registered: str
) -> None:
    place.plant(**place.login(registered) if registered else {})

    result, printed = place.run(discovery_bmc_user=True)

    assert result["ok"], result
    assert result["message"].endswith("user firstbox was made there, and gets in")
    with reading(place.engine) as connection:
        target = bmc_targets(connection, place.settings, [NODE_ID])[NODE_ID]
    assert target.username == "firstbox"
    [answer] = ask_bmcs([target], read_power(), deadline=30, silence=3, processes=1)
    assert answer.ok
    assert target.password not in printed + place.results.read_text() + place.row().ipmi_password
    assert place.row().power_state == answer.power


def test_a_login_that_works_is_left_alone(place: Place) -> None:
    place.plant(**place.login("ADMIN-secret"))

    result, _ = place.run(discovery_bmc_user=True)

    assert result["ok"]
    assert "firstbox" not in result["message"]
    assert place.row().ipmi_username == "ADMIN"


def test_another_machines_bmc_is_a_conflict(place: Place) -> None:
    place.plant()
    other = plant_bm_node(place.engine, 2, bmc_mac=mac_of(BMC))

    result, _ = place.run(discovery_bmc_user=True)

    assert (result["ok"], result["reason"]) == (False, "scan_conflict")
    assert other in result["message"]
    assert place.row().ipmi_network_address is None


def test_a_login_never_takes_the_place_of_another_registered_bmc(place: Place) -> None:
    place.plant(ipmi_network_address="10.77.0.6")

    result, _ = place.run(discovery_bmc_user=True)

    assert (result["ok"], result["reason"]) == (False, "scan_conflict")
    assert "10.77.0.6 is registered" in result["message"]
    assert (place.row().ipmi_network_address, place.row().ipmi_username) == ("10.77.0.6", "")


def test_a_bmc_we_may_not_talk_to_is_only_named(place: Place) -> None:
    place.plant()

    result, _ = place.run(discovery_bmc_user=True, allowed_networks='["192.0.2.0/24"]')

    assert result["ok"]
    assert "outside the networks" in result["message"]
    assert (place.row().ipmi_network_address, place.row().ipmi_username) == (None, "")


def test_a_machine_that_runs_no_ramdisk_is_said_to(place: Place) -> None:
    plant_bm_node(place.engine, **UNKNOWN)

    result, _ = place.run()

    assert (result["ok"], result["reason"]) == (False, "ramdisk_silent")
