"""Kernel and initrd: all that an image is made of when machines boot it instead of writing it."""

import hashlib
from pathlib import Path

from api.images.manifest import BootFile

KERNEL, INITRD = "kernel", "initrd"
_PIECE = 1 << 20


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
