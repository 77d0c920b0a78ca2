"""Two empty machines, one BIOS and one UEFI, and the whole of Firstbox beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.segment import Segment
from tests.lab.site import Site
from tests.lab.vms import Vm, VmRack

BIOS = Vm(
    "r01n01",
    "127.0.98.1",
    ("52:54:00:77:01:01",),
    bmc="ipmi_sim",
    serial_number="SN-BIOS",
    # On the network for ever: only Firstbox's silence lets it boot from its disk.
    order="network",
)
UEFI = Vm(
    "r01n02",
    "127.0.98.2",
    ("52:54:00:77:02:01", "52:54:00:77:02:02"),
    firmware="uefi",
    serial_number="SN-UEFI",
    disks=(9_000_000_000, 12_000_000_000),
)
STRANGER = Vm("stranger", "127.0.98.3", ("52:54:00:77:03:01",), memory=512, order="network")


class Place:
    """What the tests of this directory share."""

    def __init__(self, rack: VmRack, site: Site) -> None:
        self.rack = rack
        self.site = site
        self.service = site.service
        self.node_ids: dict[str, str] = {}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everything started, the images built, the machines off and unknown."""
    directory: Path = tmp_path_factory.mktemp("acceptance")
    with Segment("10.77.0.1/24") as segment:
        deadlines = {"ramdisk_deadline": 240, "os_deadline": 400}
        site = Site(directory, segment, max_attempts=10, **deadlines)
        built = ("image", "build", "all", "--kernel", "cloud", "--no-firmware")
        site.service.firstbox(*built, timeout=900)
        rack = VmRack(segment, directory / "rack", [BIOS, UEFI, STRANGER])
        with rack, site, segment.inside():
            yield Place(rack, site)
