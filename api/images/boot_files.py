"""Kernel and initrd: all that an image is made of when machines boot it instead of writing it."""

import hashlib
from pathlib import Path

from api.errors import FirstboxError
from api.images.manifest import BootFile

KERNEL, INITRD = "kernel", "initrd"
_PIECE = 1 << 20
_DEBIAN_INSTALLER = Path("/usr/lib/debian-installer/images")


def find_debian_installer() -> tuple[Path, Path]:
    """Kernel and initrd of Debian's installer for network boots, out of its package."""
    found = sorted(_DEBIAN_INSTALLER.glob("*/amd64/text/debian-installer/amd64/linux"))
    if not found:
        raise FirstboxError(
            "Debian's installer is not here: install the package debian-installer-12-netboot-amd64, "
            "or give --kernel and --initrd."
        )
    return found[-1], found[-1].with_name("initrd.gz")


def describe(directory: Path) -> tuple[str, tuple[BootFile, ...]]:
    """The SHA-256 of both, one after the other, and each one's own."""
    whole = hashlib.sha256()
    files = []
    for name in (KERNEL, INITRD):
        own = hashlib.sha256()
        with (directory / name).open("rb") as file:
            while piece := file.read(_PIECE):
                whole.update(piece)
                own.update(piece)
            files.append(BootFile(name, own.hexdigest(), file.tell()))
    return whole.hexdigest(), tuple(files)
