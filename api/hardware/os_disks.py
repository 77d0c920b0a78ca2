"""Which disks the running system stands on, and where its parts lie."""

from dataclasses import dataclass

from api.hardware.blocks import Block, Blocks, find_block, find_disks_under
from api.hardware.sections import Sections

# A disk under one of these is the system's, even where "/" lies on another.
_SYSTEM_MOUNTS = {"/", "/boot", "/boot/efi", "/efi", "/usr", "/var"}
_BOOT_MOUNTS = {"/boot", "/boot/efi", "/efi"}
_MAX_MOUNTS = 256
_VOLUME_GROUP = slice(4, 36)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the OS disk, or nothing."""

    name: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class OsDisks:
    """The disk that holds "/" ("" if none does), all disks the system needs, and the parts."""

    os_disk: str
    needed: frozenset[str]
    root: Part
    swap: Part
    rest: Part


@dataclass(frozen=True, slots=True)
class _Mount:
    point: str
    source: str
    file_system: str
    block: str | None


def find_os_disks(sections: Sections, blocks: Blocks) -> OsDisks:
    """Find the system's disks through partitions, LVM, RAID, encryption and multipath.

    Of a software RAID's members the first by name is the OS disk; the others are
    needed too. A root on no disk (ramdisk, container, NFS) has no OS disk.
    """
    mounts = _read_mounts(sections, blocks)
    swaps = _read_swaps(sections, blocks)
    root = _find_root(mounts, blocks)
    system = [mount.block for mount in mounts if mount.block]
    needed = find_disks_under(blocks, [*system, *swaps])
    root_disks = find_disks_under(blocks, [root]) if root else set()
    if root is None or not root_disks:
        return OsDisks("", frozenset(needed), Part(), Part(), Part())
    needed |= root_disks | find_disks_under(blocks, _find_relatives(blocks, root))
    os_disk = min(root_disks, key=name_order)
    leaves = _find_leaves(blocks, os_disk)
    swap = _find_swap(blocks, leaves, swaps)
    taken = {root, *swaps, swap} | {m.block for m in mounts if m.point in _BOOT_MOUNTS}
    others = [b for b in leaves if b.name not in taken and b.name != os_disk]
    rest = max(others, key=lambda block: block.size, default=None)
    return OsDisks(
        os_disk,
        frozenset(needed),
        root=_part(blocks, root, os_disk),
        swap=_part(blocks, swap, os_disk),
        rest=_part(blocks, rest.name if rest else None, os_disk),
    )


def name_order(name: str) -> tuple[str, int, str]:
    """Sorts sdz before sdaa and nvme2n1 before nvme10n1."""
    return name[:2], len(name), name


def _is_system(point: str) -> bool:
    # Files of the host bound into a container's /etc tell that its disk is the host's.
    return point in _SYSTEM_MOUNTS or point.startswith("/etc/")


def _read_mounts(sections: Sections, blocks: Blocks) -> list[_Mount]:
    mounts = []
    for line in sections.lines("mounts"):
        head, _, tail = line.partition(" - ")
        words, origin = head.split(), tail.split()
        if len(words) < 5 or len(origin) < 2 or not _is_system(words[4]):
            continue
        block = find_block(blocks, origin[1], numbers=words[2])
        mounts.append(_Mount(words[4], origin[1], origin[0], block))
        if len(mounts) == _MAX_MOUNTS:
            break
    return mounts


def _read_swaps(sections: Sections, blocks: Blocks) -> list[str]:
    swaps = []
    for _, line in list(sections.files("swaps"))[:_MAX_MOUNTS]:
        words = line.split()
        if len(words) >= 2 and words[1] == "partition":
            block = find_block(blocks, words[0])
            if block is not None:
                swaps.append(block)
    return swaps


def _find_root(mounts: list[_Mount], blocks: Blocks) -> str | None:
    """The device of the last mount on "/": earlier ones are hidden below it."""
    mount = next((mount for mount in reversed(mounts) if mount.point == "/"), None)
    if mount is None or mount.file_system != "zfs":
        return mount.block if mount else None
    pool = mount.source.partition("/")[0]
    members = [b.name for b in blocks.values() if _holds(b, "zfs_member", "LABEL", pool)]
    return min(members, key=name_order, default=None)


def _find_relatives(blocks: Blocks, root: str) -> list[str]:
    """What shares a volume group, pool or file system with the root.

    A physical volume without active volumes does not tell its group, so with a
    root on LVM it is taken for one of the same group.
    """
    stack, below = [root], {root}
    while stack:
        for parent in blocks[stack.pop()].parents:
            if parent not in below:
                below.add(parent)
                stack.append(parent)
    groups = {_volume_group(blocks[name]) for name in below} - {""}
    facts = blocks[root].facts
    relatives = []
    for block in blocks.values():
        is_idle_volume = block.facts.get("FSTYPE") == "LVM2_member" and not block.children
        is_same_group = _volume_group(block) in groups or (bool(groups) and is_idle_volume)
        is_same_pool = _holds(block, "zfs_member", "LABEL", facts.get("LABEL", "")) or _holds(
            block, "btrfs", "UUID", facts.get("UUID", "")
        )
        if is_same_group or is_same_pool:
            relatives.append(block.name)
    return relatives


def _volume_group(block: Block) -> str:
    uuid = block.facts.get("dm/uuid", "")
    return uuid[_VOLUME_GROUP] if uuid.startswith("LVM-") else ""


def _holds(block: Block, file_system: str, column: str, value: str) -> bool:
    facts = block.facts
    return bool(value) and facts.get("FSTYPE") == file_system and facts.get(column) == value


def _find_leaves(blocks: Blocks, disk: str) -> list[Block]:
    """What the disk is divided into in the end: partitions and volumes that carry no others."""
    seen, waiting = {disk}, [disk]
    while waiting:
        children = [name for name in blocks[waiting.pop()].children if name not in seen]
        seen.update(children)
        waiting += children
    return [block for name, block in blocks.items() if name in seen and not block.children]


def _find_swap(blocks: Blocks, leaves: list[Block], swaps: list[str]) -> str | None:
    """A swap in use on the OS disk, else one not in use there, else one elsewhere."""
    here = [block.name for block in leaves]
    unused = [block.name for block in leaves if block.facts.get("FSTYPE") == "swap"]
    return next((name for name in (*(n for n in swaps if n in here), *unused, *swaps)), None)


def _part(blocks: Blocks, name: str | None, os_disk: str) -> Part:
    if name is None:
        return Part()
    is_here = os_disk in find_disks_under(blocks, [name])
    return Part(blocks[name].title, blocks[name].size if is_here else 0)
