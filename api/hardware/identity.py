"""What tells one disk from another, also after a reboot in another order of names."""

import re
from dataclasses import dataclass

from api.hardware.blocks import Block, Blocks
from api.hardware.system import real_value

# NAA names: type 6 has 32 digits, others 16. Older lsblk cut type 6 to 16, which whole
# arrays of volumes share.
_WWN = re.compile(
    r"(?:0x|naa\.)(6[0-9a-f]{31}|[1-57-9a-f][0-9a-f]{15})|((?:eui|nvme|uuid)\.\S{8,128})"
)
# The first that a disk has is its id; the nameless numbers of wwn- and eui. come last.
_ID_KINDS = (
    re.compile(r"virtio-"),
    re.compile(r"ata-"),
    re.compile(r"nvme-(?!eui\.|nvme\.|uuid\.)"),
    re.compile(r"mmc-"),
    re.compile(r"scsi-[0-9a-f]{17,}$"),
    re.compile(r"scsi-"),
    re.compile(r"nvme-"),
    re.compile(r"dm-uuid-"),
    re.compile(r"wwn-"),
    re.compile(r""),
)


@dataclass(frozen=True, slots=True)
class DiskIdentity:
    """The names of a disk that do not depend on the slot or the order of discovery."""

    wwn: str
    serial: str
    by_id: str
    model: str
    vendor: str


def identify_disk(block: Block, blocks: Blocks) -> DiskIdentity:
    """Everything that names this disk; a multipath device is named by its first path."""
    path = blocks[block.parents[0]] if block.is_multipath and block.parents else block
    facts = path.facts
    serial = _find_serial(path)
    # PCI ids stand where virtio disks have no vendor.
    vendor = facts.get("device/vendor", "") or facts.get("VENDOR", "")
    return DiskIdentity(
        wwn=_find_wwn(path) or _find_wwn(block),
        serial=serial,
        by_id=_choose_id(block.ids or path.ids) or _imply_id(block, serial),
        model=real_value((facts.get("MODEL") or facts.get("device/model", "")).replace("_", " ")),
        vendor="" if vendor.startswith("0x") else vendor.strip(),
    )


def make_keys(identities: dict[str, DiskIdentity]) -> dict[str, str]:
    """One key per disk name, the same after every boot and never the same twice.

    The best of wwn, serial, by-id name and name that no other disk of this machine
    shares: there are controllers that give all their disks one serial number.
    """
    choices = {
        name: [identity.wwn, identity.serial, identity.by_id, name]
        for name, identity in identities.items()
    }
    uses: dict[str, int] = {}
    for values in choices.values():
        for value in set(values):
            uses[value] = uses.get(value, 0) + 1
    return {
        name: next((value for value in values if value and uses[value] == 1), name)
        for name, values in choices.items()
    }


def _find_wwn(block: Block) -> str:
    links = [name.removeprefix("wwn-") for name in block.ids if name.startswith("wwn-")]
    uuid = block.facts.get("dm/uuid", "").removeprefix("mpath-3")
    told = [block.facts.get(name, "") for name in ("WWN", "wwid", "device/wwid")]
    for text in (*told, *links, f"0x{uuid}"):
        match = _WWN.fullmatch(text.lower())
        if match and text.lower().strip("0.aeinux"):
            return f"0x{match[1]}" if match[1] else match[2]
    return ""


def _find_serial(block: Block) -> str:
    facts = block.facts
    for name in ("SERIAL", "serial", "device/serial"):
        if serial := real_value(facts.get(name, "")):
            return serial
    # "t10.ATA     MODEL     SERIAL", and udev's "ata-MODEL_SERIAL".
    wwid = facts.get("device/wwid", "")
    words = wwid.split() if wwid.startswith("t10.ATA") else []
    links = [name for name in block.ids if name.startswith("ata-")]
    words += links[0].split("_")[1:] if links else []
    return real_value(words[-1]) if words else ""


def _choose_id(ids: list[str]) -> str:
    for kind in _ID_KINDS:
        if found := [name for name in ids if kind.match(name)]:
            return min(found, key=lambda name: (len(name), name))
    return ""


def _imply_id(block: Block, serial: str) -> str:
    """Where no udev runs, the link it would make for a virtio disk."""
    return f"virtio-{serial[:20]}" if serial and block.name.startswith("vd") else ""
