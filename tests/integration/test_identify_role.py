"""The role `bmc_identify`: credentials in turn, what is written for the next step, and no lock-out."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from api.bmc.found import Answering, Identity, read_identified, write_found
from api.bmc.target import Kind
from api.registration.plan import Login, Plan, Range
from api.settings import Settings
from api.states import JobAction
from api.store.bm_nodes import get_bm_nodes
from api.store.jobs import JOB, Part, create_job
from api.store.scans import get_results
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.lab.bmc import Profile, RedfishBmc, Simulator
from tests.lab.bmc.plant import plant_bmc
from tests.service import REPOSITORY

GOOD, SLOW, DEAF, WEB, BOTH, OWN = (f"127.0.112.{number}" for number in range(1, 7))
PORT = 8443
PLAYBOOK = """\
- hosts: {hosts}
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: bmc_identify
"""


class Scan:
    """A run of the role under a job, and what it left."""

    def __init__(self, settings: Settings, engine: Engine, place: Path) -> None:
        self.settings, self.engine = settings, engine
        self.found = place / "found"
        self.found.mkdir()
        self._playbook = place / "play.yml"
        with writing(engine) as connection:
            action = JobAction.SCAN_BM_NODES
            self.job_id = create_job(connection, action, [Part("default", {})], user_id="admin")

    def plan(self, *logins: Login, kinds: tuple[Kind, ...] = ("redfish", "ipmi")) -> None:
        """What the job is to do: try these on all addresses."""
        by_name = {login.name: login for login in logins}
        plan = Plan((Range("127.0.112.1", "127.0.112.200", tuple(by_name)),), kinds, logins=by_name)
        with writing(self.engine) as connection:
            options = plan.as_options(Seal(self.settings.keys).close)
            connection.execute(update(JOB).values(options=options))

    def run(
        self, kinds: Mapping[str, Mapping[Kind, int]], *more: str, node: str = ""
    ) -> dict[str, Identity]:
        """What the BMCs said that let us in; `kinds` is what the sweep found."""
        swept = [Answering(address, node, ports) for address, ports in kinds.items()]
        write_found(self.found / "swept.json", swept)
        scans = [] if node else ["-e", "scan_request="]
        self._playbook.write_text(PLAYBOOK.format(hosts=node or "localhost"))
        command = ["ansible-playbook", str(self._playbook), "-v", *scans, *more]
        ran = subprocess.run(
            [*command, "-e", f"firstbox_run_dir={self.found}"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "FIRSTBOX_HOME": str(self.settings.home),
                "FIRSTBOX_BMC_SILENCE": "2",
                "FIRSTBOX_JOB": f"{self.job_id}.0.1",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.said = ran.stdout + ran.stderr
        assert ran.returncode == 0, self.said
        return {one.address: one for one in read_identified(self.found / "identified.json")}

    @property
    def rows(self) -> dict[str, Any]:
        with reading(self.engine) as connection:
            return {row.address: row for row in get_results(connection, self.job_id)}


def login(name: str, password: str = "", username: str = "ADMIN") -> Login:
    return Login(name, username, password or f"wrong-{name}")


SITE = login("site", Profile().password)


@pytest.fixture
def scan(settings: Settings, engine: Engine, tmp_path: Path) -> Scan:
    return Scan(settings, engine, tmp_path)


@pytest.fixture
def bmcs() -> Iterator[Simulator]:
    """GOOD knows the site's password; DEAF says nothing to a login; the others are as they are told."""
    profiles = {DEAF: Profile(freezes_at_login=True), SLOW: Profile(delay=0.3, suites=(17,))}
    with Simulator([GOOD, SLOW, DEAF, BOTH, OWN], profiles=profiles, on=[GOOD, OWN]) as running:
        yield running


def web(address: str, place: Path) -> RedfishBmc:
    return RedfishBmc(address, place / address, port=PORT)


def test_each_bmc_is_asked_with_one_login_after_the_other(
    scan: Scan, bmcs: Simulator, tmp_path: Path
) -> None:
    scan.plan(login("factory"), SITE)
    with web(WEB, tmp_path) as redfish:
        told = scan.run(
            {GOOD: {"ipmi": 623}, SLOW: {"ipmi": 623}, DEAF: {"ipmi": 623}, WEB: {"redfish": PORT}}
        )

    assert set(told) == {GOOD, SLOW, WEB}
    assert {one.credential for one in told.values()} == {"site"}
    assert (told[GOOD].serial_number, told[GOOD].power_state) == (f"S-{GOOD}", "on")
    assert (told[WEB].bmc_type, told[WEB].bmc_port, len(told[WEB].boot_macs)) == (
        "redfish",
        PORT,
        2,
    )
    assert (bmcs[GOOD].refused_logins, redfish.refused_logins) == (1, 1)
    assert scan.rows[GOOD].message == (
        f"is a Firstbox Simulated, serial number S-{GOOD}, on; credential site"
    )
    assert {at: (row.outcome, row.reason) for at, row in scan.rows.items()} == {
        GOOD: ("identified", ""),
        SLOW: ("identified", ""),
        DEAF: ("failed", "bmc_silent"),
        WEB: ("identified", ""),
    }


def test_bmc_that_takes_no_login_names_those_it_refused(scan: Scan, bmcs: Simulator) -> None:
    scan.plan(login("factory"), login("site"))

    assert scan.run({GOOD: {"ipmi": 623}}) == {}
    assert scan.rows[GOOD].reason == "bmc_login_refused"
    assert scan.rows[GOOD].message == "refused both credentials (factory, site)"


def test_lock_out_is_never_reached_not_over_several_scans(scan: Scan, bmcs: Simulator) -> None:
    bmcs[GOOD].profile.lockout_after = 4
    scan.plan(*(login(f"wrong{number}") for number in range(5)))
    scan.run({GOOD: {"ipmi": 623}})
    first = scan.rows[GOOD].message
    scan.run({GOOD: {"ipmi": 623}})

    assert bmcs[GOOD].refused_logins == 3
    assert first == (
        "refused too many logins (wrong0, wrong1, wrong2) lately: "
        "wrong3, wrong4 is not tried, which may lock us out"
    )
    assert (scan.rows[GOOD].reason, bmcs[GOOD].refused_logins) == ("bmc_logins_spent", 3)


def test_refused_login_is_not_tried_in_the_next_scan(scan: Scan, bmcs: Simulator) -> None:
    scan.plan(login("factory"), SITE)
    for _ in range(2):
        assert scan.run({GOOD: {"ipmi": 623}})[GOOD].credential == "site"

    assert (bmcs[GOOD].logins, bmcs[GOOD].refused_logins) == (2, 1)


def test_bmc_of_both_kinds_refuses_each_login_once(
    scan: Scan, bmcs: Simulator, tmp_path: Path
) -> None:
    scan.plan(login("factory"), SITE)
    with web(BOTH, tmp_path) as redfish:
        told = scan.run({BOTH: {"ipmi": 623, "redfish": PORT}})

    assert told[BOTH].bmc_type == "redfish"
    assert (redfish.refused_logins, redfish.logins) == (1, 1)
    assert (bmcs[BOTH].refused_logins, bmcs[BOTH].logins) == (0, 0)


def test_bmc_whose_redfish_is_broken_is_asked_over_ipmi(
    scan: Scan, bmcs: Simulator, tmp_path: Path
) -> None:
    scan.plan(SITE)
    with web(BOTH, tmp_path) as redfish:
        redfish.profile.web_fault, redfish.profile.web_fault_from_root = "deep", True
        told = scan.run({BOTH: {"ipmi": 623, "redfish": PORT}})

    assert (told[BOTH].bmc_type, told[BOTH].credential) == ("ipmi", "site")


def test_login_of_the_registered_machine_comes_first(
    scan: Scan, bmcs: Simulator, settings: Settings, engine: Engine
) -> None:
    plant_bmc(engine, settings, 1, "n-own", OWN, serial_number=f"S-{OWN}")
    plant_bmc(engine, settings, 2, "n-moved", GOOD, serial_number="another")
    scan.plan(login("factory"))

    told = scan.run({OWN: {"ipmi": 623}, GOOD: {"ipmi": 623}})

    assert [(one.node, one.credential) for one in told.values()] == [("", "registered")] * 2
    assert (bmcs[OWN].refused_logins, bmcs[GOOD].refused_logins) == (0, 0)
    with reading(engine) as connection:
        rows = get_bm_nodes(connection, ["n-own", "n-moved"])
    # At the other's address another machine answers, whose power is not this one's.
    assert {node: row.power_state for node, row in rows.items()} == {"n-own": "on", "n-moved": ""}


def test_check_mode_records_no_power_state(
    scan: Scan, bmcs: Simulator, settings: Settings, engine: Engine
) -> None:
    plant_bmc(engine, settings, 1, "n-own", OWN, serial_number=f"S-{OWN}")
    scan.plan()

    assert OWN in scan.run({OWN: {"ipmi": 623}}, "--check")
    with reading(engine) as connection:
        assert get_bm_nodes(connection, ["n-own"])["n-own"].power_state == ""


def test_registered_machine_is_scanned_with_its_own_login_only(
    scan: Scan, bmcs: Simulator, settings: Settings, engine: Engine
) -> None:
    plant_bmc(engine, settings, 1, "n-own", OWN)
    told = scan.run({OWN: {"ipmi": 623}}, node="n-own")
    bmcs[OWN].profile.password = "changed"
    for _ in range(2):
        assert scan.run({OWN: {"ipmi": 623}}, node="n-own") == {}

    assert (told[OWN].node, told[OWN].credential) == ("n-own", "registered")
    assert bmcs[OWN].refused_logins == 1
    assert (scan.rows[OWN].node_id, scan.rows[OWN].reason) == ("n-own", "bmc_logins_spent")


def test_nothing_of_the_scan_before_is_left_when_nobody_answers(
    scan: Scan, bmcs: Simulator
) -> None:
    scan.plan(SITE)
    assert (
        len(scan.run({GOOD: {"ipmi": 623}, SLOW: {"ipmi": 623}}, "-e", "bmc_identify_chunk=1")) == 2
    )

    assert scan.run({}) == {}


def test_no_password_is_shown_anywhere(scan: Scan, bmcs: Simulator, settings: Settings) -> None:
    scan.plan(login("factory"), SITE)
    scan.run({GOOD: {"ipmi": 623}}, "-vvv")

    with closing(sqlite3.connect(settings.home / "firstbox.db")) as connection:
        database = "\n".join(connection.iterdump())
    files = "".join(path.read_text() for path in scan.found.iterdir())
    for secret in (Profile().password, "wrong-factory"):
        assert secret not in scan.said + files + database
