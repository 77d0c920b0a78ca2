"""Cloud-init's NoCloud files as a small file system, ready to be laid on a partition.

It is made here, by mtools, and not on the machine: so the ramdisk needs no driver and no program for it.
"""

import base64
import gzip
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

LABEL = "CIDATA"  # what cloud-init looks for
_SIZE = 1 << 20  # bytes: three small files
_PATIENCE = 30.0


def seed(files: Mapping[str, str]) -> str:
    """A FAT file system with these files (name -> text), compressed, in base64."""
    with tempfile.TemporaryDirectory(prefix="firstbox-seed-") as place:
        image = Path(place) / "image"
        with image.open("wb") as file:
            file.truncate(_SIZE)
        _run("mkfs.vfat", "-n", LABEL, str(image))
        for name, text in files.items():
            (Path(place) / name).write_text(text)
            _run("mcopy", "-i", str(image), str(Path(place) / name), f"::{name}")
        return base64.b64encode(gzip.compress(image.read_bytes())).decode()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)
