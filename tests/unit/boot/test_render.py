"""Whole texts, compared with what machines were booted and installed with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.boot import installers
from api.boot.installers import Installation, kernel_options
from api.boot.render import Script, boot_script, disk_script, ramdisk_options
from api.errors import OurFault
from api.os_config.wanted import Wanted, WantedNetwork
from api.states import BootMethod

GOLDEN = Path(__file__).with_name("golden")
BASE = "http://10.77.0.1/boot/b-8AQZMLrm-0123456789abcdef0123456789abcdef"
MAC, OTHER, THIRD = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
PLAIN = Installation(
    node_id="n-8AQZMLrm",
    provision_id="p-4kTn02Xa",
    base=BASE,
    wanted=Wanted(
        hostname="r01n01.example.org",
        os_version="debian12",
        boot_mac=MAC,
        networks=(
            WantedNetwork("mgmt", "10.77.0.21", 24, "10.77.0.1", False, "active-backup", (), 0),
        ),
    ),
    disk="sda",
    user="root",
    ssh_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKey firstbox",
    nameservers=(),
    values={
        "mirror": "http://mirror.example.org/debian",
        "suite": "bookworm",
        "repository": "http://mirror.example.org/rocky/9/BaseOS/x86_64/os",
        "iso": "http://mirror.example.org/ubuntu-24.04-live-server-amd64.iso",
    },
)
MGMT = WantedNetwork("mgmt", "10.77.0.21", 24, "10.77.0.1", True, "active-backup", (MAC, OTHER), 0)
PUBLIC = WantedNetwork("public", "192.0.2.21", 26, "192.0.2.1", True, "802.3ad", (MAC, OTHER), 120)
# A bond, a VLAN on it, two default routes, another user, no disk named.
BONDED = replace(
    PLAIN,
    wanted=replace(PLAIN.wanted, networks=(MGMT, PUBLIC)),
    disk="",
    user="ops",
    nameservers=("10.77.0.2", "10.77.0.3"),
)


def is_golden(text: str, name: str) -> bool:
    """Whether the text is the recorded one, letter for letter."""
    return text == (GOLDEN / name).read_text()


def script_of(method: str) -> str:
    options = ramdisk_options(BASE) if method == BootMethod.IMAGE else kernel_options(method, PLAIN)
    return boot_script(Script("n-8AQZMLrm", MAC, BASE, (*options, "console=ttyS0")))


@pytest.mark.parametrize("method", BootMethod)
def test_a_boot_script_is_as_recorded(method: BootMethod) -> None:
    assert is_golden(script_of(method), f"{method}.ipxe")


def test_an_unknown_machine_tells_for_which_architecture_it_asks() -> None:
    script = Script("an unknown machine", MAC, BASE, ramdisk_options(BASE), is_unknown=True)
    assert is_golden(boot_script(script), "unknown.ipxe")


def test_the_script_of_an_installed_machine_ends_at_once() -> None:
    assert is_golden(disk_script("n-8AQZMLrm"), "disk.ipxe")


@pytest.mark.parametrize(("name", "one"), [("plain", PLAIN), ("bonded", BONDED)])
@pytest.mark.parametrize("method", ["preseed", "finish", "kickstart", "autoinstall"])
def test_an_installers_file_is_as_recorded(method: str, name: str, one: Installation) -> None:
    assert is_golden(getattr(installers, method)(one), f"{method}-{name}.txt")


def test_autoinstall_is_json_below_its_first_line() -> None:
    head, _, rest = installers.autoinstall(BONDED).partition("\n")
    assert head == "#cloud-config"
    assert json.loads(rest)["autoinstall"]["network"]["bonds"]["bond0"]["interfaces"] == [
        "nic0",
        "nic1",
    ]


@pytest.mark.parametrize("mirror", ["", "mirror.example.org/debian", "http://a/$(reboot)"])
def test_a_mirror_that_is_no_address_is_refused(mirror: str) -> None:
    with pytest.raises(OurFault, match="mirror"):
        installers.preseed(replace(PLAIN, values={"mirror": mirror}))


def test_a_network_on_a_card_nobody_named_is_refused() -> None:
    public = replace(PUBLIC, has_bond=False, members=(), vlan_id=0)
    one = replace(PLAIN, wanted=replace(PLAIN.wanted, networks=(*PLAIN.wanted.networks, public)))
    with pytest.raises(OurFault, match="knows only the cards that are registered"):
        installers.kickstart(one)
