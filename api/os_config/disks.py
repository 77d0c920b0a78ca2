"""Which disk the operating system goes on.

The one that is named in the registration; else the smallest that holds the image and has at least
8 GB: machines with a small pair for the system and large disks for data are the rule. Of disks of the
same size, the first by name. Removable, USB and read-only devices are never chosen.
"""

from collections.abc import Sequence

from api.hardware.model import Disk

LEAST = 8.0  # GB


class DiskMissing(Exception):
    """There is no such disk; the message says which there are."""


def choose_disk(disks: Sequence[Disk], name: str, needed: float) -> Disk:
    """The disk for an image that needs `needed` GB. Raises DiskMissing."""
    if name:
        named = [disk for disk in disks if disk.name == name]
        if not named:
            raise DiskMissing(f"there is no disk {name}; {_seen(disks)}")
        if named[0].size < needed:
            raise DiskMissing(
                f"disk {name} has {named[0].size:g} GB, and the image needs {needed:g} GB"
            )
        return named[0]
    least = max(needed, LEAST)
    fit = [disk for disk in disks if disk.size >= least]
    if not fit:
        raise DiskMissing(f"no disk has {least:g} GB or more; {_seen(disks)}")
    return min(fit, key=lambda disk: (disk.size, disk.name))


def _seen(disks: Sequence[Disk]) -> str:
    found = [f"{disk.name} ({disk.size:g} GB)" for disk in disks]
    return f"there are {', '.join(found)}" if found else "there are none at all"
