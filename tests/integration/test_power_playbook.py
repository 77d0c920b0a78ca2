"""`ansible-playbook playbooks/power.yml` from a shell: a job like any other, on simulated BMCs."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.lab.bmc import Profile, Simulator
from tests.lab.bmc.plant import plant_bmcs

REPOSITORY = Path(__file__).parents[2]
NODES = {"n-off": "127.0.85.1", "n-on": "127.0.85.2", "n-silent": "127.0.85.3"}


@pytest.fixture
def bmcs(settings: Settings) -> Iterator[Simulator]:
    plant_bmcs(settings, NODES)
    silent = {NODES["n-silent"]: Profile(is_dead=True)}
    with Simulator(list(NODES.values()), profiles=silent, on=[NODES["n-on"]]) as running:
        yield running


def power(settings: Settings, state: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", "playbooks/power.yml", "-e", f"bmc_power_state={state}", *arguments],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FIRSTBOX_HOME": str(settings.home),
            "FIRSTBOX_BMC_SILENCE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def rows(settings: Settings, query: str) -> list[Any]:
    with closing(sqlite3.connect(settings.home / "firstbox.db")) as connection:
        return connection.execute(query).fetchall()


def events(bmcs: Simulator, node: str) -> list[str]:
    return [event.name for event in bmcs[NODES[node]].machine.events]


def test_machines_are_switched_on_and_the_silent_one_fails_the_run(
    settings: Settings, bmcs: Simulator
) -> None:
    ran = power(settings, "on", "-vvv")

    assert ran.returncode == 2, ran.stdout
    assert (events(bmcs, "n-off"), events(bmcs, "n-on")) == (["on"], [])
    assert rows(settings, "SELECT node_id, power_state FROM bm_node ORDER BY 1") == [
        ("n-off", "on"),
        ("n-on", "on"),
        ("n-silent", ""),
    ]
    assert rows(settings, "SELECT action, status, reason FROM job") == [
        ("PowerOnBMNodes", "failed", "nodes_failed")
    ]
    assert dict(rows(settings, "SELECT node_id, reason FROM job_node")) == {
        "n-off": "",
        "n-on": "",
        "n-silent": "bmc_silent",
    }
    said = ran.stdout + ran.stderr + str(rows(settings, "SELECT text FROM log_line"))
    assert Profile().password not in said


def test_limit_spares_the_others(settings: Settings, bmcs: Simulator) -> None:
    ran = power(settings, "cycle", "--limit", "n-on")

    assert ran.returncode == 0, ran.stdout
    assert (events(bmcs, "n-off"), events(bmcs, "n-on")) == ([], ["cycle"])
    (text,) = rows(settings, "SELECT text FROM log_line WHERE node_id = 'n-on'")
    assert "is on, power cycled" in text[0]


@pytest.mark.parametrize(
    ("state", "action", "heard"),
    [
        ("status", "GetBMNodesPower", []),
        ("off", "PowerOffBMNodes", ["off"]),
        ("soft", "PowerOffBMNodes", ["soft"]),
        ("cycle", "RebootBMNodes", ["cycle"]),
    ],
)
def test_state_decides_what_is_done_and_which_job_it_is(
    settings: Settings, bmcs: Simulator, state: str, action: str, heard: list[str]
) -> None:
    ran = power(settings, state, "--limit", "n-on")

    assert ran.returncode == 0, ran.stdout
    assert events(bmcs, "n-on") == heard
    assert rows(settings, "SELECT action, status FROM job") == [(action, "successful")]


def test_boot_device_goes_with_a_power_cycle_only(settings: Settings, bmcs: Simulator) -> None:
    network = ["-e", "bmc_power_boot_device=network", "--limit", "n-on"]

    refused = power(settings, "on", *network)
    booted = power(settings, "cycle", *network)

    assert (refused.returncode, booted.returncode) == (2, 0)
    assert [(event.name, event.device) for event in bmcs[NODES["n-on"]].machine.events] == [
        ("cycle", "pxe")
    ]


def test_check_mode_gives_no_order(settings: Settings, bmcs: Simulator) -> None:
    ran = power(settings, "on", "--limit", "n-off", "--check", "-v")

    assert "is off, and would be switched on" in ran.stdout
    assert events(bmcs, "n-off") == []
    assert rows(settings, "SELECT power_state FROM bm_node WHERE node_id = 'n-off'") == [("",)]
