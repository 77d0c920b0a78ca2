"""The role bmc_register, run by ansible-playbook on what BMCs told: what is registered, and what is said.

At the end a whole scan from a shell, on simulated BMCs.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from api.bmc.found import IDENTIFIED, Identity, write_found
from api.registration.plan import Login, Plan, Range
from api.settings import Settings
from api.states import JobAction
from api.store.jobs import Part, create_job
from api.store.scans import get_results
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.lab.bmc import Profile, Simulator
from tests.machines import plant_bm_node

REPOSITORY = Path(__file__).parents[2]
SECRET = "calvin-of-the-site"
MACS = [f"52:54:00:aa:{number // 256:02x}:{number % 256:02x}" for number in range(512)]
PLAN = Plan(
    ranges=(Range("10.0.0.1", "10.0.3.250", ("site",)),),
    logins={"site": Login("site", "root", SECRET)},
    profile={
        "os_version": "12",
        "cpu_arch": "x86_64",
        "hostname": "r01n{n:03}",
        "mgmt_network_address": "fd00::{n}",
        "mgmt_network_netmask": "64",
    },
)
PLAY = """
- hosts: {hosts}
  connection: local
  gather_facts: false
  tasks:
    - block:
        - import_role: {{name: bmc_register}}
      always:
        - copy:
            content: "{{{{ __bmc_register | to_json }}}}"
            dest: "{{{{ firstbox_run_dir }}}}/said.json"
            mode: "0600"
          delegate_to: localhost
          run_once: true
          check_mode: false
"""


class Site:
    """A home, what was found, and a shell in the repository."""

    def __init__(self, settings: Settings, engine: Engine, place: Path) -> None:
        self.engine = engine
        self.seal = Seal(settings.keys)
        self.code = 0
        self.changed = False
        self._home = settings.home
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "FIRSTBOX_HOME": str(settings.home),
            "HOME": str(place),  # where a run from a shell puts what it finds
        }
        self._place = place

    def plant(self, number: int, **values: Any) -> str:
        """A machine that is registered already."""
        sealed = self.seal.close("its-own")
        own = {"ipmi_network_address": f"10.0.0.{number}", "ipmi_password": sealed}
        nothing = {"serial_number": None, "mgmt_network_address": None}
        return plant_bm_node(self.engine, number, **{**own, **nothing, **values})

    def job(self, nodes: Sequence[str] = (), **plan: Any) -> str:
        """A job that asks for the scan, or of these nodes."""
        options = {} if nodes else replace(PLAN, **plan).as_options(self.seal.close)
        with writing(self.engine) as connection:
            return create_job(
                connection,
                JobAction.SCAN_BM_NODES,
                [Part("default", dict.fromkeys(nodes, "new"))],
                user_id="admin",
                options=options,
            )

    def register(
        self, found: Sequence[Identity], job_id: str = "", *arguments: str, hosts: str = "localhost"
    ) -> dict[str, dict[str, Any]]:
        """Run the role; what it says of each address."""
        write_found(self._place / IDENTIFIED, found)
        (self._place / "play.yml").write_text(PLAY.format(hosts=hosts))
        variables = {"firstbox_run_dir": str(self._place)}
        if hosts == "localhost":
            variables["scan_request"] = ""
        ran = subprocess.run(
            ["ansible-playbook", "play.yml", "-vvv", "-e", json.dumps(variables), *arguments],
            cwd=self._place,
            env=self.environment | ({"FIRSTBOX_JOB": f"{job_id}.0.1"} if job_id else {}),
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = json.loads((self._place / "said.json").read_text())
        assert SECRET not in ran.stdout + ran.stderr
        self.changed, self.code = said["changed"], ran.returncode
        return {one["address"]: one for one in said["results"]}

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self._home / "firstbox.db")) as connection:
            return connection.execute(query).fetchall()

    def dump(self) -> str:
        """All that a scan must not change without being asked to."""
        with closing(sqlite3.connect(self._home / "firstbox.db")) as connection:
            lines = list(connection.iterdump())
        return "\n".join(line for line in lines if '"scan_result"' not in line)


@pytest.fixture
def site(settings: Settings, engine: Engine, tmp_path: Path) -> Site:
    (tmp_path / "found").mkdir()
    return Site(settings, engine, tmp_path / "found")


def bmc(last: int, **fields: Any) -> Identity:
    said = {"credential": "site", "serial_number": f"S{last}", "boot_macs": (MACS[last],)}
    return Identity(f"10.0.0.{last}", **{**said, **fields})


def test_500_new_machines_are_registered_and_the_second_time_nothing_changes(site: Site) -> None:
    found = [
        Identity(
            f"10.0.{number // 250}.{number % 250 + 1}",
            credential="site",
            serial_number=f"S{number}",
            boot_macs=(MACS[number],),
            power_state="on",
        )
        for number in range(500)
    ]

    first = site.register(found, site.job())
    before = site.rows("SELECT node_id, status, hostname, update_time FROM bm_node ORDER BY 1")
    second = site.register(found, site.job())

    assert {one["outcome"] for one in first.values()} == {"new"}
    assert {one["outcome"] for one in second.values()} == {"unchanged"}
    assert (site.changed, site.code) == (False, 0)
    assert len(before) == 500
    assert {status for _, status, *_ in before} == {"new"}
    assert (
        site.rows("SELECT node_id, status, hostname, update_time FROM bm_node ORDER BY 1") == before
    )
    assert SECRET not in site.dump()
    [sealed] = site.rows("SELECT ipmi_password FROM bm_node LIMIT 1")
    assert site.seal.open(sealed[0]) == SECRET


def test_machines_that_moved_or_swapped_are_the_same_machines(site: Site) -> None:
    one, other, third = (site.plant(number, serial_number=f"S{number}") for number in (1, 2, 3))
    found = [bmc(1, serial_number="S2"), bmc(2, serial_number="S1"), bmc(9, serial_number="S3")]

    said = site.register(found, site.job())

    assert {one["outcome"] for one in said.values()} == {"updated"}
    assert f"node {third} is updated: its BMC was at 10.0.0.3" in said["10.0.0.9"]["message"]
    addresses = dict(site.rows("SELECT node_id, ipmi_network_address FROM bm_node"))
    assert addresses == {one: "10.0.0.2", other: "10.0.0.1", third: "10.0.0.9"}


def test_conflicts_are_told_and_change_nothing_and_fail_no_scan_of_ranges(site: Site) -> None:
    registered = site.plant(1, serial_number="S1")
    busy = site.plant(2)
    job = site.job([busy])
    twins = [
        bmc(number, serial_number="S7", bmc_mac=f"52:54:00:bb:00:0{number}") for number in (7, 8)
    ]
    before = site.rows("SELECT * FROM bm_node")
    scan = site.job()

    said = site.register([bmc(1, serial_number="S9"), bmc(2), *twins], scan)

    assert {address: (one["ok"], one["reason"]) for address, one in said.items()} == dict.fromkeys(
        ("10.0.0.1", "10.0.0.2", "10.0.0.7", "10.0.0.8"), (False, "scan_conflict")
    )
    assert "serial number S9" in said["10.0.0.1"]["message"]
    assert job in said["10.0.0.2"]["message"]
    assert site.rows("SELECT * FROM bm_node") == before
    assert (site.code, site.changed) == (0, False)
    with reading(site.engine) as connection:
        rows = [(one.outcome, one.node_id, one.reason) for one in get_results(connection, scan)]
    assert rows == [("conflict", node, "scan_conflict") for node in (registered, busy, "", "")]


@pytest.mark.parametrize("way", ["dry_run", "--check"])
def test_a_dry_run_says_what_would_be_and_changes_nothing(way: str, site: Site) -> None:
    moved = site.plant(3, serial_number="S3")
    scan = site.job(dry_run=way == "dry_run")
    before = site.dump()

    said = site.register(
        [bmc(4), bmc(9, serial_number="S3")], scan, *([way] if way == "--check" else [])
    )

    assert site.dump() == before
    assert said["10.0.0.4"]["message"].startswith("would be registered as new: ")
    assert f"node {moved} would be updated: its BMC was at" in said["10.0.0.9"]["message"]
    assert site.changed
    with reading(site.engine) as connection:
        rows = [(one.outcome, one.node_id) for one in get_results(connection, scan)]
    assert rows == [("new", ""), ("updated", moved)]


def test_an_operators_file_says_what_machines_become(site: Site, tmp_path: Path) -> None:
    request = tmp_path / "rack.yml"
    request.write_text(
        "ip_start: 10.0.0.1\nip_end: 10.0.0.99\nprofile: {hostname: 'a{n}'}\n"
        f"credentials: [{{name: site, username: root, password: {SECRET}}}]\n"
    )

    said = site.register([bmc(5)], "", "-e", f"bmc_register_request={request}")

    assert said["10.0.0.5"]["outcome"] == "new"
    assert site.rows("SELECT hostname, status FROM bm_node") == [("a5", "discovered")]
    assert site.rows("SELECT * FROM scan_result") == []


def test_registered_machines_are_filled_and_a_conflict_fails_its_node(site: Site) -> None:
    good, bad = site.plant(1, serial_number=None), site.plant(2, serial_number="S2")
    job = site.job([good, bad])
    again = {"credential": "registered"}
    found = [bmc(1, node=good, **again), bmc(2, node=bad, **again | {"serial_number": "S9"})]

    said = site.register(found, job, hosts="bm")

    assert site.code == 2
    assert [(one["node"], one["ok"]) for one in said.values()] == [(good, True), (bad, False)]
    serials = dict(site.rows("SELECT node_id, serial_number FROM bm_node"))
    assert serials == {good: "S1", bad: "S2"}
    passwords = site.rows("SELECT ipmi_password FROM bm_node")
    assert {site.seal.open(sealed) for (sealed,) in passwords} == {"its-own"}


def test_a_scan_from_a_shell_finds_registers_and_tells_each_address(
    site: Site, settings: Settings, tmp_path: Path
) -> None:
    addresses = [f"127.0.84.{number}" for number in range(1, 5)]
    twin = {addresses[3]: Profile(serial=f"S-{addresses[2]}")}
    request = tmp_path / "rack.yml"
    request.write_text(
        "ip_start: 127.0.84.1\nip_end: 127.0.84.9\nbmc_types: [ipmi]\n"
        f"credentials: [{{name: site, username: ADMIN, password: {Profile().password}}}]\n"
        "profile: {os_version: '12', cpu_arch: x86_64}\n"
        "expected: |\n"
        "  serial_number,pxe_network_mac_addr,hostname\n"
        f"  S-{addresses[0]},{MACS[0]},web1\n"
    )

    with Simulator(addresses, profiles=twin):
        ran = subprocess.run(
            ["ansible-playbook", "playbooks/scan.yml", "-e", f"scan_request={request}"],
            cwd=REPOSITORY,
            env={**site.environment, "FIRSTBOX_BMC_SILENCE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert site.rows("SELECT ipmi_network_address, status, hostname FROM bm_node ORDER BY 1") == [
        (addresses[0], "new", "web1"),
        (addresses[1], "discovered", None),
    ]
    log = [text for (text,) in site.rows("SELECT text FROM log_line ORDER BY number")]
    said = {
        address: [line for line in log if line.startswith(address)][-1] for address in addresses
    }
    assert "is registered as new, node n-" in said[addresses[0]]
    assert "still missing: hostname, pxe_network_mac_addr" in said[addresses[1]]
    assert f"so has {addresses[3]}" in said[addresses[2]]
    assert f"so has {addresses[2]}" in said[addresses[3]]
    assert Profile().password not in "".join(log) + ran.stdout + ran.stderr
