"""The scripts of bmc_user: a real ipmitool and a real BMC; only the way between them is not in-band."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import read_power
from api.bmc.target import BmcResult, BmcTarget
from api.os_config.script import assignments, verdict_of
from api.registration.in_band import USER, InBand, in_band_of, new_password
from tests.lab.bmc.ipmi_sim import IpmiSim, mac_of
from tests.service import REPOSITORY

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives the script a /dev of its own: needs root"),
]

BMC = "127.0.86.1"
FIND = REPOSITORY / "roles/bmc_user/files/find_bmc.sh"
MAKE = REPOSITORY / "roles/bmc_user/files/make_user.sh"
# Writes down what it is started with, and what its parents know.
IPMITOOL = """#!/bin/sh
echo "$@" >>{log}
env >>{log}
exec /usr/bin/ipmitool -I lanplus -C 3 -H {bmc} -U ADMIN -P ADMIN-secret "$@"
"""
DEV = (
    "mount -t tmpfs dev /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9"
    " && ln -s /proc/self/fd/0 /dev/stdin && {device}exec sh"
)


class Machine:
    """Where the scripts run."""

    def __init__(self, place: Path) -> None:
        self.log = place / "log"
        self.program = place / "ipmitool"
        self.use(IPMITOOL.format(log=self.log, bmc=BMC))

    def use(self, ipmitool: str) -> None:
        self.program.write_text(ipmitool)
        self.program.chmod(0o755)

    def run(self, script: str, *, has_bmc: bool = True) -> dict[str, str]:
        dev = DEV.format(device="touch /dev/ipmi0 && " if has_bmc else "")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", dev],
            input=script,
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": f"{self.program.parent}:{os.environ['PATH']}:/usr/sbin"},
        )
        return verdict_of(done.stdout)

    def make(self, password: str, name: str = USER) -> dict[str, str]:
        return self.run(assignments(name=name, password=password, channel="1") + MAKE.read_text())

    def users(self) -> dict[str, str]:
        """Who is in the BMC: name -> number, and rights."""
        command = [self.program, "-c", "user", "list", "1"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = [line.split(",") for line in listed.splitlines()]
        return {row[1]: f"{row[0]} {row[-1]}" for row in rows if row[1]}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with IpmiSim(BMC, tmp_path / "bmc"):
        yield Machine(tmp_path)


def test_the_bmc_says_where_it_is(machine: Machine) -> None:
    found = in_band_of(machine.run(FIND.read_text()))

    assert found == InBand("1", BMC, mac_of(BMC))


def test_a_machine_without_a_bmc_is_asked_nothing(machine: Machine) -> None:
    assert in_band_of(machine.run(FIND.read_text(), has_bmc=False)) is None
    assert not machine.log.exists()


def test_a_bmc_that_says_nothing_is_given_up(machine: Machine) -> None:
    machine.use("#!/bin/sh\nexit 1\n")

    found = in_band_of(machine.run(FIND.read_text()))

    assert found == InBand(trouble="its BMC does not answer in-band")


def test_the_user_that_is_made_gets_in_over_lan(machine: Machine) -> None:
    password = new_password()

    said = machine.make(password)

    assert said == {"user": "3"}
    assert machine.users() == {"ADMIN": "2 ADMINISTRATOR", USER: "3 ADMINISTRATOR"}
    assert login(password).ok


def test_a_user_who_is_there_gets_the_new_password_and_no_twin(machine: Machine) -> None:
    first, second = new_password(), new_password()
    machine.make(first)

    machine.make(second)

    assert machine.users()[USER].startswith("3 ")
    assert login(first).reason == "bmc_login_refused"
    assert login(second).ok


def test_a_bmc_without_a_free_place_is_left_as_it_is(machine: Machine) -> None:
    full = "1,,1\n" + "\n".join(f"{number},user{number},1" for number in range(2, 11))
    machine.use(f"#!/bin/sh\necho \"$@\" >>{machine.log}\necho '{full}'\n")

    said = machine.make(new_password())

    assert said == {"refused": "its BMC has no free place for a user"}
    assert machine.log.read_text() == "-c user list 1\n"


def test_a_bmc_that_takes_no_password_is_told_of_at_once(machine: Machine) -> None:
    machine.use(
        machine.program.read_text().replace("exec /usr", '[ "$1" = exec ] && exit 1\nexec /usr')
    )

    said = machine.make(new_password())

    assert said == {"refused": "its BMC refuses to set a password"}


def test_the_password_is_on_no_command_line_and_in_no_environment(machine: Machine) -> None:
    password = new_password()

    machine.make(password)

    assert "exec /dev/stdin" in machine.log.read_text()
    assert password not in machine.log.read_text()


def login(password: str) -> BmcResult:
    target = BmcTarget("n", BMC, 623, "ipmi", USER, password)
    [answer] = ask_bmcs([target], read_power(), deadline=30, silence=3, processes=1)
    return answer
