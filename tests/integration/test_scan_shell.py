"""`ansible-playbook playbooks/scan.yml` from a shell: ranges by a file, and registered machines."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.auth.keys import make_keys
from api.settings import Settings
from tests.lab.bmc import Simulator, addresses

REPOSITORY = Path(__file__).parents[2]
BMCS = addresses("127.0.124.1", 3)
PASSWORD = "ADMIN-secret"
ASKED: dict[str, Any] = {
    "ip_start": "127.0.124.1",
    "ip_end": "127.0.124.9",
    "credentials": [{"name": "factory", "username": "ADMIN", "password": PASSWORD}],
    "bmc_types": ["ipmi"],
}


@pytest.fixture(scope="module")
def bmcs() -> Iterator[Simulator]:
    with Simulator(BMCS) as running:
        yield running


@pytest.fixture
def request_file(tmp_path: Path, settings: Settings, bmcs: Simulator) -> Path:
    make_keys(settings)
    file = tmp_path / "rack1.yml"
    file.write_text(yaml.safe_dump(ASKED))
    return file


def scan(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "FIRSTBOX" not in name}
    return subprocess.run(
        ["ansible-playbook", "playbooks/scan.yml", *arguments],
        cwd=REPOSITORY,
        env={
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FIRSTBOX_HOME": str(settings.home),
            "FIRSTBOX_SWEEP_SILENCE": "0.3",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def rows(settings: Settings, query: str) -> list[Any]:
    with closing(sqlite3.connect(settings.home / "firstbox.db")) as connection:
        return connection.execute(query).fetchall()


def test_check_mode_shows_what_would_be_and_changes_nothing(
    settings: Settings, request_file: Path
) -> None:
    ran = scan(settings, "-e", f"scan_request={request_file}", "--check")

    assert ran.returncode == 0, ran.stdout
    assert f"{BMCS[0]}: is a Firstbox Simulated, serial number S-{BMCS[0]}, off" in ran.stdout
    assert f"{BMCS[2]}: would be registered as discovered" in ran.stdout
    assert PASSWORD not in ran.stdout + ran.stderr
    assert rows(settings, "SELECT * FROM bm_node") == rows(settings, "SELECT * FROM job") == []


def test_a_range_is_a_job_whose_machines_can_be_asked_again(
    settings: Settings, request_file: Path
) -> None:
    ran = scan(settings, "-e", f"scan_request={request_file}")

    assert ran.returncode == 0, ran.stdout
    assert rows(settings, "SELECT action, status FROM job") == [("ScanBMNodes", "successful")]
    found = rows(settings, "SELECT address, outcome FROM scan_result ORDER BY address_order")
    assert found == [(address, "new") for address in BMCS]
    known = rows(settings, "SELECT node_id, ipmi_network_address FROM bm_node")
    assert len(known) == 3

    again = scan(settings, "--limit", known[0][0])

    assert again.returncode == 0, again.stdout
    assert f"{known[0][0]}: is as it was known" in again.stdout
    assert known[1][0] not in again.stdout


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("[", "cannot be read"),
        ("a list", "is not an object of the fields of ScanBMNodes"),
        (yaml.safe_dump(ASKED | {"ip_end": "127.0.123.1"}), "comes before 127.0.124.1"),
        (yaml.safe_dump(ASKED | {"passwords": [PASSWORD]}), "passwords"),
        (yaml.safe_dump(ASKED | {"credentials": PASSWORD}), "credentials"),
    ],
)
def test_a_file_that_is_no_request_is_refused_by_name(
    said: str, word: str, settings: Settings, request_file: Path
) -> None:
    request_file.write_text(said)

    ran = scan(settings, "-e", f"scan_request={request_file}", "--check")

    assert ran.returncode == 2
    assert word in ran.stdout + ran.stderr
    assert PASSWORD not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
