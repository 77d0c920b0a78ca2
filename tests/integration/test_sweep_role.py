"""The role `bmc_sweep`: what it says and leaves, in ranges and of registered machines."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from api.bmc.found import Answering, read_swept
from api.registration.plan import Login, Plan, Range
from api.settings import Settings
from api.states import JobAction
from api.store.jobs import JOB, LOG_LINE, Part, create_job
from api.store.scans import get_results
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.lab.bmc import Profile, Simulator
from tests.lab.bmc.impostors import Impostors, nothing
from tests.lab.bmc.plant import plant_bmc
from tests.service import REPOSITORY

FIRST, SECOND, SILENT = (f"127.0.113.{number}" for number in (1, 2, 9))
PLAYBOOK = """\
- hosts: {hosts}
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: bmc_sweep
    - ansible.builtin.copy:
        content: "{{{{ bmc_sweep_results | to_json }}}}"
        dest: {results}
        mode: "0600"
      delegate_to: localhost
      run_once: true
      check_mode: false
"""


class Sweep:
    """A run of the role, and what it left."""

    def __init__(self, settings: Settings, engine: Engine, place: Path) -> None:
        self._settings, self._engine, self._place = settings, engine, place
        with writing(engine) as connection:
            action = JobAction.SCAN_BM_NODES
            self.job_id = create_job(connection, action, [Part("default", {})], user_id="admin")

    def plan(self, start: str, end: str) -> None:
        """What the job is to do."""
        login = Login("site", "ADMIN", Profile().password)
        plan = Plan((Range(start, end, ("site",)),), ("ipmi",), logins={"site": login})
        with writing(self._engine) as connection:
            options = plan.as_options(Seal(self._settings.keys).close)
            connection.execute(update(JOB).values(options=options))

    def run(
        self, *more: str, hosts: str = "localhost", request: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it; under the job, unless an operator's file says what to do."""
        playbook = self._place / "play.yml"
        playbook.write_text(PLAYBOOK.format(hosts=hosts, results=self._place / "results.json"))
        scans = ["-e", f"scan_request={request}"] if hosts == "localhost" else []
        job = {} if request else {"FIRSTBOX_JOB": f"{self.job_id}.0.1"}
        return subprocess.run(
            ["ansible-playbook", playbook, *scans, *more, "-e", f"firstbox_run_dir={self._place}"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "FIRSTBOX_HOME": str(self._settings.home),
                "FIRSTBOX_SWEEP_SILENCE": "0.3",
                **job,
                **settings,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    @property
    def results(self) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = json.loads((self._place / "results.json").read_text())
        return said

    @property
    def swept(self) -> list[Answering]:
        return read_swept(self._place / "swept.json")

    @property
    def rows(self) -> Mapping[str, Any]:
        with reading(self._engine) as connection:
            return {row.address: row for row in get_results(connection, self.job_id)}

    @property
    def log(self) -> list[str]:
        with reading(self._engine) as connection:
            return list(connection.execute(select(LOG_LINE.c.text)).scalars())


@pytest.fixture
def sweep(settings: Settings, engine: Engine, tmp_path: Path) -> Sweep:
    return Sweep(settings, engine, tmp_path)


@pytest.fixture
def bmcs() -> Iterator[Impostors]:
    with Simulator([FIRST, SECOND]), Impostors({SILENT: nothing}) as silent:
        yield silent


def test_who_answers_in_a_range_is_said_kept_and_handed_on(sweep: Sweep, bmcs: Impostors) -> None:
    sweep.plan("127.0.113.0", "127.0.113.255")

    ran = sweep.run()

    assert ran.returncode == 0, ran.stdout
    assert [(one.address, dict(one.kinds)) for one in sweep.swept] == [
        (FIRST, {"ipmi": 623}),
        (SECOND, {"ipmi": 623}),
    ]
    assert sweep.results == [
        {"address": at, "node": "", "ok": True, "reason": "", "message": "answers IPMI 2.0"}
        for at in (FIRST, SECOND)
    ]
    assert {at: (row.outcome, row.bmc_type, row.bmc_port) for at, row in sweep.rows.items()} == {
        FIRST: ("found", "ipmi", 623),
        SECOND: ("found", "ipmi", 623),
    }
    assert sweep.log == ["2 addresses answer as BMC"]


def test_an_operator_has_it_in_a_file_also_in_check_mode(
    sweep: Sweep, bmcs: Impostors, tmp_path: Path
) -> None:
    request = tmp_path / "rack.yml"
    login = {"name": "site", "username": "ADMIN", "password": Profile().password}
    ranges = [{"cidr": "127.0.113.0/28"}]
    request.write_text(json.dumps({"ranges": ranges, "credentials": [login]}))

    ran = sweep.run("--check", "-v", request=str(request))

    assert ran.returncode == 0, ran.stdout
    assert [one.address for one in sweep.swept] == [FIRST, SECOND]
    assert (sweep.rows, sweep.log) == ({}, [])
    assert Profile().password not in ran.stdout + ran.stderr


def test_a_range_that_is_not_allowed_any_more_is_not_asked(sweep: Sweep, bmcs: Impostors) -> None:
    sweep.plan(FIRST, SILENT)

    ran = sweep.run(FIRSTBOX_ALLOWED_NETWORKS='["127.0.113.0/29"]')

    assert ran.returncode == 2
    assert "is outside the networks this service may talk to" in ran.stdout
    assert bmcs.heard == {SILENT: 0}


def test_registered_machines_that_do_not_answer_fail_alone(
    sweep: Sweep, bmcs: Impostors, settings: Settings, engine: Engine
) -> None:
    for number, (node, address) in enumerate({"n-good": FIRST, "n-bad": SILENT}.items(), 1):
        plant_bmc(engine, settings, number, node, address)
    plant_bmc(engine, settings, 3, "n-far", "127.0.114.1")

    ran = sweep.run(hosts="bm", FIRSTBOX_ALLOWED_NETWORKS='["127.0.113.0/24"]')

    assert ran.returncode == 0, ran.stdout
    said = {one["node"]: (one["ok"], one["reason"], one["message"]) for one in sweep.results}
    outside = "is outside the networks this service may talk to"
    assert said == {
        "n-good": (True, "", "answers IPMI 2.0"),
        "n-bad": (False, "bmc_silent", f"its BMC {SILENT} says nothing"),
        "n-far": (False, "record_refused", f"its BMC 127.0.114.1 {outside}"),
    }
    assert [one.node for one in sweep.swept] == ["n-good"]
    assert {row.node_id: row.outcome for row in sweep.rows.values()} == {
        "n-good": "found",
        "n-bad": "failed",
        "n-far": "failed",
    }
