"""Block devices as the kernel stacks them: disks, partitions, and volumes on top."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from api.hardware.sections import MAX_TEXT, Sections, number, unescape

_MAX_BLOCKS = 20_000
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.!+:/-]{1,128}")
_ATTRIBUTE_FOLDERS = {"queue", "device", "dm", "md"}
_PAIR = re.compile(r'([A-Z-]+)="((?:[^"\\]|\\.)*)"')
_LINK = re.compile(r" (\S+) -> (\S+)$")


@dataclass(slots=True)
class Block:
    """One block device; `facts` are sysfs attributes and lsblk's columns (upper case)."""

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    is_partition: bool = False
    path: str = ""
    ids: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes; sysfs counts in sectors of 512 whatever the disk's own are."""
        return number(self.facts.get("size", "")) * 512

    @property
    def title(self) -> str:
        """The name an operator knows: a volume's own instead of "dm-0"."""
        mapper = self.facts.get("dm/name", "")
        return mapper if mapper and _SAFE_NAME.fullmatch(mapper) else self.name

    @property
    def is_multipath(self) -> bool:
        """True for a volume that is several paths to one disk."""
        return self.facts.get("dm/uuid", "").startswith("mpath-")


Blocks = dict[str, Block]


def read_blocks(sections: Sections) -> Blocks:
    """All block devices by kernel name, with what sysfs, lsblk and udev say of each.

    The tree comes from sysfs, which is the same everywhere; lsblk and udev's links
    add what only udev knows and may be absent.
    """
    blocks = _read_sysfs(sections)
    _add_lsblk(blocks, sections.lines("lsblk"))
    _add_links(blocks, sections.lines("links"))
    for block in blocks.values():
        block.parents = [name for name in dict.fromkeys(block.parents) if name in blocks]
        for parent in block.parents:
            blocks[parent].children.append(block.name)
    return blocks


def find_disks_under(blocks: Blocks, names: Iterable[str]) -> set[str]:
    """The disks that the named devices stand on; a multipath device counts as one disk."""
    disks: set[str] = set()
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        block = blocks[name]
        if block.parents and not block.is_multipath:
            waiting += block.parents
        else:
            disks.add(name)
    return disks


def find_block(blocks: Blocks, source: str, numbers: str = "") -> str | None:
    """The kernel name of a mounted or swapping device, by its numbers or its path."""
    for block in blocks.values():
        if numbers and block.facts.get("dev") == numbers:
            return block.name
    if not source.startswith("/dev/"):
        return None
    name = source.removeprefix("/dev/")
    if name in blocks:
        return name
    # /dev/mapper/x and /dev/group/volume: the mapper doubles the hyphens in names.
    mapper = name.removeprefix("mapper/")
    group, slash, volume = name.partition("/")
    doubled = "-".join(part.replace("-", "--") for part in (group, volume)) if slash else ""
    for block in blocks.values():
        if block.facts.get("dm/name") in (mapper, doubled or mapper):
            return block.name
    return None


def _read_sysfs(sections: Sections) -> Blocks:
    blocks: Blocks = {}
    for path, value in sections.files("block"):
        name, _, attribute = path.partition("/")
        folder, slash, leaf = attribute.partition("/")
        parent = ""
        if slash and folder not in _ATTRIBUTE_FOLDERS:
            parent, name, attribute = name, folder, leaf
        block = _get_block(blocks, name)
        if block is None:
            continue
        if parent:
            block.is_partition = True
            block.parents.append(_kernel_name(parent))
        if attribute == "slave":
            block.parents.append(_kernel_name(value))
        else:
            block.facts[attribute] = value
    return blocks


def _add_lsblk(blocks: Blocks, lines: list[str]) -> None:
    for line in lines:
        facts = dict(_PAIR.findall(line))
        block = blocks.get(_kernel_name(facts.get("KNAME", "")))
        if block is not None:
            for key, value in facts.items():
                block.facts.setdefault(key, unescape(value)[:MAX_TEXT].strip())


def _add_links(blocks: Blocks, lines: list[str]) -> None:
    folder = ""
    for line in lines:
        if line.startswith("/"):
            folder = line.rstrip(":")
        elif match := _LINK.search(line):
            name, target = match[1], match[2]
            if folder == "/sys/block" and _kernel_name(name) in blocks:
                blocks[_kernel_name(name)].path = target
            elif folder == "/dev/disk/by-id":
                block = blocks.get(target.removeprefix("../../"))
                if block is not None:
                    block.ids.append(unescape(name)[:MAX_TEXT])


def _get_block(blocks: Blocks, name: str) -> Block | None:
    name = _kernel_name(name)
    if name not in blocks:
        if not _SAFE_NAME.fullmatch(name) or len(blocks) >= _MAX_BLOCKS:
            return None
        blocks[name] = Block(name)
    return blocks[name]


def _kernel_name(name: str) -> str:
    """sysfs writes cciss!c0d0 for what is cciss/c0d0 in /dev."""
    return name.replace("!", "/")
