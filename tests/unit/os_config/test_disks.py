import pytest

from api.hardware.model import Disk
from api.os_config.disks import DiskMissing, choose_disk


def disk(name: str, size: float) -> Disk:
    return Disk(name, name, "", "ssd", size, False, "", 0, "", 0, "", 0, "", "")


DISKS = [disk("sdc", 4000.8), disk("sda", 480.1), disk("sdb", 480.1), disk("sdd", 4.0)]


def test_the_named_disk_is_taken() -> None:
    assert choose_disk(DISKS, "sdc", 2.0).name == "sdc"


def test_without_a_name_the_smallest_that_fits_and_of_equals_the_first() -> None:
    assert choose_disk(DISKS, "", 2.0).name == "sda"


def test_a_very_small_disk_is_no_system_disk() -> None:
    with pytest.raises(DiskMissing, match=r"8 GB or more; there are sdd \(4 GB\)"):
        choose_disk([disk("sdd", 4.0)], "", 2.0)


def test_the_image_must_fit() -> None:
    assert choose_disk(DISKS, "", 500.0).name == "sdc"
    with pytest.raises(DiskMissing, match=r"sda has 480.1 GB, and the image needs 500 GB"):
        choose_disk(DISKS, "sda", 500.0)


def test_a_disk_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DiskMissing, match=r"no disk nvme0n1; there are sdc \(4000.8 GB\), sda"):
        choose_disk(DISKS, "nvme0n1", 2.0)
    with pytest.raises(DiskMissing, match="none at all"):
        choose_disk([], "", 2.0)
