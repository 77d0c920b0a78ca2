"""The disks of a machine: which one holds the system, which may hold data."""

import re

from api.hardware.blocks import Block, Blocks, read_blocks
from api.hardware.identity import DiskIdentity, identify_disk, make_keys
from api.hardware.model import Disk, DiskType
from api.hardware.os_disks import OsDisks, Part, find_os_disks, name_order
from api.hardware.sections import Sections

_MAX_DISKS = 1024
_VIRTUAL = re.compile(
    r"(loop|ram|zram|fd|sr|scd|md|dm-|drbd|bcache|zd|mtdblock|nullb)\d|mmcblk\d+(boot|rpmb)"
)
_RAID = re.compile(
    r"\b(PERC|MEGARAID|MR\d{4}|SERVERAID|LOGICAL VOLUME|SMART ARRAY|RAID|AVAGO|LSI|BROADCOM|"
    r"ADAPTEC)"
)
_NO_PARTS = OsDisks("", frozenset(), Part(), Part(), Part())


def read_disks(sections: Sections) -> tuple[Disk, ...]:
    """The OS disk, if there is one, then the data disks by name.

    Left out: whatever the system needs besides its OS disk (RAID and volume group
    members, swap), removable, USB, read-only and empty devices, and everything
    that is not a disk. A disk with several paths is there once.
    """
    blocks = read_blocks(sections)
    found = find_os_disks(sections, blocks)
    disks = [block for block in blocks.values() if _is_disk(block, blocks)]
    disks = sorted(disks, key=lambda block: name_order(block.title))
    identities = {block.name: identify_disk(block, blocks) for block in disks}
    disks = _drop_further_paths(disks, identities, found)
    chosen = [block for block in disks if block.name == found.os_disk]
    chosen += [block for block in disks if _may_hold_data(block, found)]
    keys = make_keys({block.name: identities[block.name] for block in chosen})
    return tuple(
        _make_disk(block, identities[block.name], keys[block.name], found)
        for block in chosen[:_MAX_DISKS]
    )


def _is_disk(block: Block, blocks: Blocks) -> bool:
    is_path = any(blocks[name].is_multipath for name in block.children)
    is_whole = block.is_multipath or not (block.is_partition or _VIRTUAL.match(block.name))
    return is_whole and not is_path and block.size > 0 and block.facts.get("hidden") != "1"


def _drop_further_paths(
    disks: list[Block], identities: dict[str, DiskIdentity], found: OsDisks
) -> list[Block]:
    """Keep one of several SCSI paths to one disk that no multipath device joins.

    The one the system runs from, else one it needs, else the multipath device the
    path fell out of, else the first. If the system needs one path, the disk is its own.
    """
    by_wwn: dict[tuple[str, int], list[Block]] = {}
    for block in disks:
        is_scsi = block.name.startswith("sd") or block.is_multipath
        wwn = identities[block.name].wwn if is_scsi else ""
        by_wwn.setdefault((wwn or block.name, block.size), []).append(block)

    def rank(block: Block) -> tuple[bool, bool, bool]:
        is_os = block.name == found.os_disk
        return not is_os, block.name not in found.needed, not block.is_multipath

    return [min(paths, key=rank) for paths in by_wwn.values()]


def _may_hold_data(block: Block, found: OsDisks) -> bool:
    facts = block.facts
    # Some SATA controllers call every hot-swap bay removable.
    is_removable = facts.get("removable") == "1" and "/ata" not in block.path
    is_usb = "/usb" in block.path or facts.get("TRAN") == "usb"
    is_read_only = facts.get("ro") == "1"
    return block.name not in found.needed and not (is_removable or is_usb or is_read_only)


def _make_disk(block: Block, identity: DiskIdentity, key: str, found: OsDisks) -> Disk:
    is_os = block.name == found.os_disk
    parts = found if is_os else _NO_PARTS
    return Disk(
        name=block.title,
        key=key,
        id=identity.by_id,
        type=_type(block, identity),
        size=_gigabytes(block.size),
        is_os=is_os,
        root_part=parts.root.name,
        root_size=_gigabytes(parts.root.size),
        swap_part=parts.swap.name,
        swap_size=_gigabytes(parts.swap.size),
        rest_part=parts.rest.name,
        rest_size=_gigabytes(parts.rest.size),
        serial=identity.serial,
        model=identity.model,
    )


def _type(block: Block, identity: DiskIdentity) -> DiskType:
    """The reference's word: it says "sata" for everything that turns and is not SAS."""
    if block.name.startswith("nvme"):
        return "nvme"
    if block.facts.get("queue/rotational") == "0":
        return "ssd"
    # A SATA disk behind a SAS controller has a SAS transport, and "ATA" as its vendor.
    is_sas = block.facts.get("TRAN") == "sas" or "/end_device-" in block.path
    is_raid = _RAID.search(f"{identity.vendor} {identity.model}".upper()) is not None
    is_raid = is_raid or block.name.startswith("cciss/")
    return "sas" if (is_sas or is_raid) and identity.vendor != "ATA" else "sata"


def _gigabytes(size: int) -> float:
    return round(size / 10**9, 1)
