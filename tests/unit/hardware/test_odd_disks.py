"""Disks that are easily taken for something they are not."""

from collections.abc import Callable

import pytest

from api.hardware.model import Disk
from api.hardware.parse import parse_probe

MakeProbe = Callable[..., str]
GB = 10**9 // 512


def disk(name: str, dev: str = "", **attributes: str) -> list[str]:
    """sysfs lines of a disk of 100 GB; `device__model` stands for device/model."""
    facts = {"dev": dev, "size": str(100 * GB), "queue/rotational": "1"}
    facts |= {key.replace("__", "/"): value for key, value in attributes.items()}
    return [f"{name}/{key}:{value}" for key, value in facts.items() if value]


def partition(parent: str, name: str, dev: str, size: int = 10 * GB) -> list[str]:
    path = f"{parent}/{name}"
    return [f"{path}/partition:1", f"{path}/dev:{dev}", f"{path}/size:{size}"]


def mount(numbers: str, point: str = "/", kind: str = "ext4", source: str = "/dev/root") -> str:
    return f"25 1 {numbers} / {point} rw,relatime - {kind} {source} rw"


def find(disks: tuple[Disk, ...], name: str) -> Disk:
    return next(disk for disk in disks if disk.name == name)


SDA = disk("sda", "8:0") + partition("sda", "sda1", "8:1") + disk("sdb", "8:16")


@pytest.mark.parametrize(
    "name",
    ["sr0", "loop3", "ram1", "zram0", "fd0", "md7", "dm-9", "drbd1", "mmcblk0boot0", "zd16"],
)
def test_virtual_device_is_no_disk(name: str, make_probe: MakeProbe) -> None:
    assert parse_probe(make_probe(block=disk(name))).disks == ()


@pytest.mark.parametrize(
    "attributes",
    [{"size": "0"}, {"removable": "1"}, {"ro": "1"}, {"hidden": "1"}],
    ids=["empty", "removable", "read-only", "hidden path"],
)
def test_unusable_disk_is_not_for_data(attributes: dict[str, str], make_probe: MakeProbe) -> None:
    assert parse_probe(make_probe(block=disk("sda", **attributes))).disks == ()


def test_usb_disk_is_not_for_data(make_probe: MakeProbe) -> None:
    target = "../devices/pci0000:00/0000:00:14.0/usb1/1-1/host3/block/sda"
    links = ["/sys/block:", f"lrwxrwxrwx 1 0 0 0 Mar  1 10:00 sda -> {target}"]

    assert parse_probe(make_probe(block=disk("sda"), links=links)).disks == ()


def test_stick_the_system_runs_from_is_its_os_disk(make_probe: MakeProbe) -> None:
    block = disk("sda", "8:0", removable="1")

    hardware = parse_probe(make_probe(block=block, mounts=[mount("8:0")]))

    assert hardware.os_disk is not None
    assert (hardware.os_disk.name, hardware.os_disk.root_part) == ("sda", "sda")


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("sda", {"device__vendor": "ATA"}, "sata"),
        ("sda", {"queue__rotational": "0", "device__vendor": "SEAGATE"}, "ssd"),
        ("sda", {"device__vendor": "LSI", "device__model": "MR9361-8i"}, "sas"),
        ("sda", {"device__vendor": "AVAGO", "device__model": "SAS3108"}, "sas"),
        ("sda", {"device__vendor": "DELL", "device__model": "PERC H330 Mini"}, "sas"),
        ("sda", {"device__vendor": "HP", "device__model": "LOGICAL VOLUME"}, "sas"),
        ("sda", {"device__vendor": "VMware", "device__model": "Virtual disk"}, "sata"),
        ("cciss!c0d0", {}, "sas"),
        ("nvme0n1", {"queue__rotational": "0"}, "nvme"),
        ("vda", {}, "sata"),
        ("xvda", {"queue__rotational": "0"}, "ssd"),
        ("nbd0", {"queue__rotational": "0"}, "ssd"),
        ("mmcblk0", {"queue__rotational": "0"}, "ssd"),
        ("dasda", {}, "sata"),
    ],
)
def test_disk_type_is_the_references_word(
    name: str, attributes: dict[str, str], expected: str, make_probe: MakeProbe
) -> None:
    (found,) = parse_probe(make_probe(block=disk(name, **attributes))).disks

    assert (found.name, found.type) == (name.replace("!", "/"), expected)


@pytest.mark.parametrize(
    ("mounts", "reason"),
    [
        ([], "no root at all"),
        ([mount("0:2", kind="rootfs", source="rootfs")], "ramdisk"),
        ([mount("0:30", kind="tmpfs", source="tmpfs")], "ramdisk on tmpfs"),
        ([mount("0:41", kind="overlay", source="overlay")], "container"),
        ([mount("0:44", kind="nfs4", source="192.0.2.1:/srv/root")], "NFS"),
    ],
)
def test_root_on_no_disk_leaves_all_disks_for_data(
    mounts: list[str], reason: str, make_probe: MakeProbe
) -> None:
    hardware = parse_probe(make_probe(block=SDA, mounts=mounts))

    assert hardware.os_disk is None, reason
    assert [disk.name for disk in hardware.data_disks] == ["sda", "sdb"], reason


@pytest.mark.parametrize(
    "mounts",
    [
        [mount("8:1")],
        [mount("8:1", source="/dev/disk/by-uuid/1b3a")],
        [mount("0:2", kind="rootfs", source="rootfs"), mount("8:1", source="/dev/sda1")],
        [mount("0:27", kind="btrfs", source="/dev/sda1")],
        [mount("0:27", kind="zfs", source="rpool/ROOT/debian")],
    ],
    ids=["numbers", "uuid", "hidden rootfs", "btrfs", "zfs"],
)
def test_root_is_found_however_it_is_written(mounts: list[str], make_probe: MakeProbe) -> None:
    lsblk = ['NAME="sda1" KNAME="sda1" FSTYPE="zfs_member" LABEL="rpool" UUID="1"']

    hardware = parse_probe(make_probe(block=SDA, mounts=mounts, lsblk=lsblk))

    assert [(disk.name, disk.is_os) for disk in hardware.disks] == [("sda", True), ("sdb", False)]
    assert find(hardware.disks, "sda").root_part == "sda1"


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"swaps": ["/proc/swaps:/dev/sdb partition 1024 0 -2"]}, "swap in use"),
        ({"mounts": [mount("8:1"), mount("8:16", "/boot")]}, "boot file system"),
        ({"mounts": [mount("8:1"), mount("8:16", "/var")]}, "system file system"),
        (
            {
                "mounts": [mount("0:27", kind="btrfs", source="/dev/sda1")],
                "lsblk": [
                    'KNAME="sda1" FSTYPE="btrfs" UUID="7"',
                    'KNAME="sdb" FSTYPE="btrfs" UUID="7"',
                ],
            },
            "other half of the file system",
        ),
        (
            {
                "block": [
                    *SDA,
                    *disk(
                        "dm-0", "253:0", dm__name="vg-root", dm__uuid=f"LVM-{'v' * 32}{'r' * 32}"
                    ),
                    "dm-0/slave:sda1",
                ],
                "mounts": [mount("253:0")],
                "lsblk": ['KNAME="sdb" FSTYPE="LVM2_member"'],
            },
            "volume without use in the group",
        ),
    ],
)
def test_disk_the_system_needs_is_not_for_data(
    sections: dict[str, list[str]], reason: str, make_probe: MakeProbe
) -> None:
    hardware = parse_probe(make_probe(**({"block": SDA, "mounts": [mount("8:1")]} | sections)))

    assert [disk.name for disk in hardware.disks] == ["sda"], reason


def test_encrypted_root_is_found_on_its_disk(make_probe: MakeProbe) -> None:
    crypt = disk("dm-0", "253:0", dm__name="sda1_crypt", dm__uuid="CRYPT-LUKS2-0a-sda1_crypt")

    hardware = parse_probe(
        make_probe(block=[*SDA, *crypt, "dm-0/slave:sda1"], mounts=[mount("253:0")])
    )

    assert hardware.os_disk is not None
    assert (hardware.os_disk.name, hardware.os_disk.root_part) == ("sda", "sda1_crypt")


@pytest.mark.parametrize("root", ["8:1", "8:17"], ids=["first path", "second path"])
def test_two_paths_without_multipath_are_one_disk(root: str, make_probe: MakeProbe) -> None:
    wwid = {"device__wwid": "naa.600508b4000c4a3f0000500000b70000"}
    block = disk("sda", "8:0", **wwid) + disk("sdb", "8:16", **wwid)
    block += partition("sda", "sda1", "8:1") + partition("sdb", "sdb1", "8:17")

    hardware = parse_probe(make_probe(block=block, mounts=[mount(root)]))

    assert len(hardware.disks) == 1
    assert hardware.disks[0].is_os
    assert hardware.disks[0].root_part == ("sda1" if root == "8:1" else "sdb1")


def test_path_that_fell_out_of_its_multipath_device_is_no_disk(make_probe: MakeProbe) -> None:
    number = "600508b4000c4a3f0000500000b70000"
    wwid = {"device__wwid": f"naa.{number}"}
    joined = disk("dm-0", "253:0", dm__name="mpatha", dm__uuid=f"mpath-3{number}")
    block = [*disk("sda", **wwid), *disk("sdb", **wwid), *joined, "dm-0/slave:sdb"]

    hardware = parse_probe(make_probe(block=block))

    assert [disk.name for disk in hardware.disks] == ["mpatha"]


def test_shortened_wwn_does_not_make_two_volumes_one(make_probe: MakeProbe) -> None:
    lsblk = [f'KNAME="sd{letter}" WWN="0x600508b4000c4a3f" SERIAL="S{letter}"' for letter in "ab"]

    hardware = parse_probe(make_probe(block=disk("sda") + disk("sdb"), lsblk=lsblk))

    assert [disk.key for disk in hardware.disks] == ["Sa", "Sb"]


def test_serial_that_all_disks_share_is_no_key(make_probe: MakeProbe) -> None:
    block = disk("sda", serial="1234567X") + disk("sdb", serial="1234567X")

    hardware = parse_probe(make_probe(block=block))

    assert [disk.key for disk in hardware.disks] == ["sda", "sdb"]


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        ({"device__wwid": "naa.5000c5007a2b1c3d"}, "0x5000c5007a2b1c3d"),
        ({"wwid": "eui.0025385b71b00e2f"}, "eui.0025385b71b00e2f"),
        ({"device__wwid": "t10.ATA     ST4000NM0033           Z1Z8A2BC"}, "Z1Z8A2BC"),
        ({"wwid": "eui.0000000000000000", "serial": "S3"}, "S3"),
        ({"serial": "vol-1"}, "vol-1"),
        ({"serial": "None"}, "sda"),
    ],
)
def test_key_is_the_same_with_and_without_udev(
    attributes: dict[str, str], key: str, make_probe: MakeProbe
) -> None:
    (found,) = parse_probe(make_probe(block=disk("sda", **attributes))).disks

    assert found.key == key


def test_disks_are_in_the_order_of_their_names_after_the_os_disk(make_probe: MakeProbe) -> None:
    names = ["nvme10n1", "sdaa", "sdb", "nvme2n1", "sdz"]
    block = [line for name in names for line in disk(name)] + disk("sda", "8:0")

    hardware = parse_probe(make_probe(block=block, mounts=[mount("8:0")]))

    assert [disk.name for disk in hardware.disks] == [
        "sda",
        "nvme2n1",
        "nvme10n1",
        "sdb",
        "sdz",
        "sdaa",
    ]
