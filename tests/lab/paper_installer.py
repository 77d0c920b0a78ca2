"""A stand-in for Debian's installer, where no mirror has the parts that the real one is made of.

It reads the same answers, runs the commands among them, installs the packages they name, and reports
its end: what it cannot show is that Debian's own installer asks nothing else.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from api.images.manifest import read_manifest

_IMAGES = Path(__file__).parents[2] / "api" / "images"
_TAIL = Path(__file__).with_name("paper-installer")
_LAST = "\nmount_kernel_file_systems\n"  # with which the ramdisk's init begins its work
_PROGRAMS = {
    "usr/bin/in-target": 'DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 exec chroot /target "$@"',
    "usr/bin/wget": '[ "$1 $2" = "-q -O" ] && exec curl -fsS -o "$3" "$4"',
    "usr/bin/debconf-set": 'mkdir -p "/run/set/${1%/*}" && echo "$2" >"/run/set/$1"',
}


def make_paper_installer(ramdisk: Path, image: Path, target: Path) -> Path:
    """An initrd of this kind for the ramdisk's kernel; it installs the Debian of `image`."""
    functions, _, _ = (_IMAGES / "files" / "init").read_text().partition(_LAST)
    chunks = [f"{chunk.index:05}.zst {chunk.index}\n" for chunk in read_manifest(image).chunks]
    files = {"init": functions + "\n" + _TAIL.read_text(), "paper/chunks": "".join(chunks)}
    files |= {name: f"#!/bin/sh\n{line}\n" for name, line in _PROGRAMS.items()}
    tree = target / "paper"
    _write(tree, files)
    initrd = target / "initrd"
    shutil.copyfile(ramdisk / "initrd", initrd)
    with initrd.open("ab") as archive:
        archive.write(_pack(tree))
    return initrd


def _write(tree: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)


def _pack(tree: Path) -> bytes:
    names = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
    done = subprocess.run(
        ["cpio", "--create", "--format=newc", "--quiet", "--owner=+0:+0"],
        input=names.encode(),
        cwd=tree,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return done.stdout
