"""Disk images as they come: raw or qcow2, told by their content, and nothing that reaches out of itself.

A qcow2 header can name other files, which would end up on machines' disks: such images are refused
before any program opens them.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from api.errors import FirstboxError
from api.images.programs import run

LARGEST = 1 << 40  # bytes of disk: larger is a mistake, or made to fill ours
_PATIENCE = 3600.0
_SECTOR = 512
_QCOW2 = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(
    ">4sIQIIQIIQQIIQQQQ"
)  # the fields that versions 2 and 3 share, and features
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_FEATURES = _DIRTY | _COMPRESSION | _EXTENDED_L2
_BOOT_SIGNATURE = b"\x55\xaa"
_ISO = (0x8001, b"CD001")
# What is not a disk, by its first bytes.
_OTHERS = {
    b"KDMV": "VMDK",
    b"vhdxfile": "VHDX",
    b"conectix": "VHD",
    b"\x1f\x8b": "compressed with gzip",
    b"\xfd7zXZ": "compressed with xz",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"# Disk DescriptorFile": "VMDK",
    b"<<< ": "VDI",
}


@dataclass(frozen=True, slots=True)
class DiskFile:
    """What a file says it is."""

    format: str  # raw or qcow2
    size: int  # bytes of the disk in it


def inspect(path: Path) -> DiskFile:
    """What kind of disk image this is. Raises FirstboxError for what we do not take."""
    with path.open("rb") as file:
        head = file.read(_SECTOR)
        file.seek(_ISO[0])
        is_iso = file.read(len(_ISO[1])) == _ISO[1]
    try:
        found = _qcow2(head) if head.startswith(_QCOW2) else _raw(head, path.stat().st_size)
        if is_iso and found.format == "raw":
            raise _Refused("it is a CD image, which boots and installs but is not installed itself")
        if not 0 < found.size <= LARGEST:
            raise _Refused(f"its disk has {found.size} bytes")
    except _Refused as reason:
        raise FirstboxError(f"The image is refused: {reason}.") from None
    return found


def make_raw(path: Path, image: DiskFile, target: Path) -> Path:
    """The raw image in the file: the file itself, or what was converted into `target`, with holes."""
    if image.format == "raw":
        return path
    run(
        "qemu-img",
        "convert",
        "-f",
        image.format,
        "-O",
        "raw",
        f"file:{path}",
        f"file:{target}",
        patience=_PATIENCE,
    )
    return target


class _Refused(Exception):
    """Why; a part of a sentence."""


def _qcow2(head: bytes) -> DiskFile:
    if len(head) < _QCOW2_HEADER.size:
        raise _Refused("it is a qcow2 of a few bytes")
    fields = _QCOW2_HEADER.unpack_from(head)
    _, version, backing_offset, _, _, size, encryption, *_ = fields
    features = fields[13] if version >= 3 else 0
    if version not in (2, 3):
        raise _Refused(f"it is a qcow2 of version {version}")
    if backing_offset:
        raise _Refused("it is only what changed on top of another file (it has a backing file)")
    if encryption:
        raise _Refused("it is encrypted")
    if features & _EXTERNAL_DATA:
        raise _Refused("its data is in another file")
    if features & _CORRUPT:
        raise _Refused("it says itself that it is damaged")
    if features & ~_KNOWN_FEATURES:
        raise _Refused(f"it uses qcow2 features that are not known here ({features:#x})")
    return DiskFile("qcow2", size)


def _raw(head: bytes, size: int) -> DiskFile:
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise _Refused(f"it is {name}; make it raw or qcow2 first")
    if head[_SECTOR - 2 :] != _BOOT_SIGNATURE:
        raise _Refused("it is neither qcow2 nor a raw disk: it has no partition table")
    if size % _SECTOR:
        raise _Refused(f"its {size} bytes are no whole sectors")
    return DiskFile("raw", size)
