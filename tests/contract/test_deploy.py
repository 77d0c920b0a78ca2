"""What `deploy/` ships fits together, and fits the code."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import Settings

REPOSITORY = Path(__file__).parents[2]
UNITS = sorted((REPOSITORY / "deploy/systemd").iterdir())
_MOST_EXPOSED = 15  # tenths, of 100: systemd calls up to 2.0 "OK"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/firstbox/.venv/bin/firstbox", "/bin/true"))

    checked = systemd_analyze("verify", "--man=no", str(here))

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_leaves_little_open(unit: Path) -> None:
    checked = systemd_analyze(
        "security", "--offline=true", f"--threshold={_MOST_EXPOSED}", str(unit)
    )

    assert checked.returncode == 0, checked.stdout[-400:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_calls_commands_that_there_are(unit: Path) -> None:
    called = re.findall(r"^Exec\w+=\S+/firstbox (\w+)(?: (--[\w-]+))?", unit.read_text(), re.M)

    assert next(command for command, _ in called) == "check"
    for command, option in called:
        helped = subprocess.run(
            [Path(sys.executable).parent / "firstbox", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "200", "TERM": "dumb"},
        ).stdout
        assert option in helped


def test_the_archive_has_what_the_service_needs_and_the_same_bytes_each_time(
    tmp_path: Path,
) -> None:
    for name in ("one", "new/two"):
        subprocess.run([REPOSITORY / "deploy/pack", tmp_path / name], check=True, timeout=60)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "new/two").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        names = set(archive.getnames())
    needed = {"api/cli.py", "ansible.cfg", "playbooks/collect.yml", "inventory_plugins/firstbox.py"}
    needed |= {
        "requirements.txt",
        "pyproject.toml",
        "api/hardware/probe.sh",
        "roles/worker/README.md",
    }
    assert needed <= names
    assert not [name for name in names if "molecule" in name or "__pycache__" in name]


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_image_has_what_the_archive_has_and_nothing_is_kept_from_it() -> None:
    container = (REPOSITORY / "deploy/container/Containerfile").read_text()
    copied = {
        name.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", container, re.M)
        for name in line.split()
    }
    packed = re.search(r"^what=\((.*?)\)", (REPOSITORY / "deploy/pack").read_text(), re.M | re.S)
    let_in = re.findall(r"^!(\S+)$", (REPOSITORY / ".containerignore").read_text(), re.M)

    assert packed
    assert copied == set(packed[1].split()) - {"deploy/systemd"}
    assert copied == set(let_in)


def test_compose_starts_an_api_and_two_workers_on_one_database_and_one_home() -> None:
    compose = yaml.safe_load((REPOSITORY / "deploy/container/compose.yml").read_text())
    services: dict[str, Any] = compose["services"]
    ours = {name: one for name, one in services.items() if name != "database"}

    commands = {name: one["command"][0] for name, one in ours.items()}
    assert commands == {"init": "init", "api": "serve", "worker-1": "worker", "worker-2": "worker"}
    assert all(one["volumes"] == services["api"]["volumes"] for one in ours.values())
    named = {name for one in ours.values() for name in one.get("environment", {})}
    assert named <= {f"FIRSTBOX_{name.upper()}" for name in Settings.model_fields}
    waited_for = {name: set(one["depends_on"]) for name, one in ours.items()}
    assert waited_for == {name: {"init"} for name in ours} | {"init": {"database"}}
