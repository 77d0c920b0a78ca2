"""Which files are taken for disks."""

import struct
import subprocess
from pathlib import Path

import pytest

from api.errors import FirstboxError
from api.images.disk_file import DiskFile, inspect, make_raw

BOOTABLE = bytes(510) + b"\x55\xaa"


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    path = tmp_path / "a.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", str(path), "3M")
    subprocess.run(
        ["qemu-io", "-c", "write -P 0x5a 1M 64k", str(path)], check=True, stdout=subprocess.DEVNULL
    )
    return path


def qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, timeout=60)


def test_a_qcow2_is_known_by_its_content(qcow2: Path, tmp_path: Path) -> None:
    image = inspect(qcow2.rename(tmp_path / "a.raw"))

    assert image == DiskFile("qcow2", 3 << 20)


def test_a_qcow2_is_unpacked_with_its_holes(qcow2: Path, tmp_path: Path) -> None:
    raw = make_raw(qcow2, inspect(qcow2), tmp_path / "raw")

    content = raw.read_bytes()
    assert content == bytes(1 << 20) + b"\x5a" * 65536 + bytes((2 << 20) - 65536)
    assert raw.stat().st_blocks * 512 < 1 << 20


def test_a_raw_disk_is_used_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(BOOTABLE)

    assert inspect(path) == DiskFile("raw", 512)
    assert make_raw(path, inspect(path), tmp_path / "raw") == path


def test_a_backing_file_is_refused(qcow2: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(qcow2), "-F", "qcow2", str(child))

    with pytest.raises(FirstboxError, match="backing file"):
        inspect(child)


def test_data_in_another_file_is_refused(tmp_path: Path) -> None:
    path, options = tmp_path / "a.qcow2", f"data_file={tmp_path / 'secret'}"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, str(path), "1M")

    with pytest.raises(FirstboxError, match="its data is in another file"):
        inspect(path)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (4, struct.pack(">I", 1), "version 1"),
        (8, struct.pack(">Q", 1 << 16), "backing file"),
        (24, struct.pack(">Q", 1 << 62), "its disk has"),
        (24, struct.pack(">Q", 0), "its disk has 0 bytes"),
        (32, struct.pack(">I", 1), "encrypted"),
        (72, struct.pack(">Q", 2), "damaged"),
        (72, struct.pack(">Q", 1 << 40), "not known here"),
    ],
)
def test_a_hostile_header_is_refused_before_anything_opens_it(
    qcow2: Path, offset: int, value: bytes, reason: str
) -> None:
    with qcow2.open("r+b") as file:
        file.seek(offset)
        file.write(value)

    with pytest.raises(FirstboxError, match=reason):
        inspect(qcow2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"QFI\xfb\x00", "a few bytes"),
        (b"KDMV" + bytes(600), "VMDK"),
        (b"\x1f\x8b" + bytes(600), "gzip"),
        (bytes(512), "no partition table"),
        (b"", "no partition table"),
        (BOOTABLE + b"x", "no whole sectors"),
        (BOOTABLE + bytes(0x8001 - 512) + b"CD001" + bytes(506), "CD image"),
    ],
)
def test_what_is_no_disk_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(FirstboxError, match=reason):
        inspect(path)


def test_a_damaged_qcow2_is_one_sentence(qcow2: Path, tmp_path: Path) -> None:
    image = inspect(qcow2)
    with qcow2.open("r+b") as file:
        file.seek(40)  # where its table is
        file.write(struct.pack(">Q", 513))

    with pytest.raises(FirstboxError, match="qemu-img ended with 1: "):
        make_raw(qcow2, image, tmp_path / "raw")
