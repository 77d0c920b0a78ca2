"""A root directory as a disk that boots with BIOS and with UEFI, secure boot included.

Nothing is mounted: the file system is filled while it is made, and the boot loader's first sectors are
written as grub-install would. The disk: GRUB's core for BIOS, an EFI system partition with the loaders
at the place firmware looks without being told, and last the root, so that it can grow.
"""

import struct
import uuid
from pathlib import Path

from api.errors import FirstboxError
from api.images.programs import run

SECTOR = 512
MIB = 1 << 20
_CORE_START, _CORE_SIZE = 1 * MIB, 1 * MIB
_ESP_START, _ESP_SIZE = 2 * MIB, 64 * MIB
_ROOT_START = _ESP_START + _ESP_SIZE
_TAIL = 1 * MIB  # the GPT's second copy
_PATIENCE = 600.0

# All that GRUB needs to read its configuration; more it loads from /boot/grub/i386-pc.
_CORE_MODULES = [
    "biosdisk",
    "part_gpt",
    "ext2",
    "search",
    "search_fs_uuid",
    "normal",
    "configfile",
    "linux",
    "echo",
    "serial",
]

# Places in GRUB's first sectors; grub-install fills them in the same way.
_BOOT_CODE = 440  # what comes behind in the first sector is the partition table's
_BOOT_KERNEL_SECTOR = 0x5C  # boot.img: where core.img begins
_BOOT_DRIVE_CHECK = 0x66  # boot.img: a jump that is for floppies
_CORE_NEXT_SECTOR = 0x1F4  # core.img: where the rest of itself begins

GRUB_CONFIG = """\
# Made with the image; update-grub writes another one at the next kernel's arrival.
set timeout=1
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
menuentry 'Linux' {{
    search --no-floppy --fs-uuid --set=root {root}
    linux /vmlinuz root=UUID={root} ro {options}
    initrd /initrd.img
}}
"""
_ESP_CONFIG = """\
search --no-floppy --fs-uuid --set=root {root}
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
_FSTAB = """\
UUID={root} / ext4 errors=remount-ro 0 1
UUID={esp} /boot/efi vfat umask=0077,nofail,x-systemd.automount 0 0
"""


def make_boot_disk(tree: Path, disk: Path, size: int, options: str) -> None:
    """Make the sparse file `disk` of `size` bytes from `tree`, which has a kernel and GRUB's packages.

    `options` are for the kernel's command line.
    """
    root, esp = str(uuid.uuid4()), uuid.uuid4().hex[:8].upper()
    _configure(tree, root, f"{esp[:4]}-{esp[4:]}", options)
    core = _make_core(tree)
    with disk.open("wb") as file:
        file.truncate(size)
    _partition(disk)
    _fill_root(disk, tree, root, size - _ROOT_START - _TAIL)
    _fill_esp(disk, tree, root, esp)
    install_core(disk, (tree / "usr/lib/grub/i386-pc/boot.img").read_bytes(), core)


def _configure(tree: Path, root: str, esp: str, options: str) -> None:
    modules = tree / "boot/grub/i386-pc"
    modules.mkdir(parents=True)
    for pattern in ("*.mod", "*.lst"):
        for path in (tree / "usr/lib/grub/i386-pc").glob(pattern):
            (modules / path.name).write_bytes(path.read_bytes())
    (tree / "boot/grub/grub.cfg").write_text(GRUB_CONFIG.format(root=root, options=options))
    (tree / "boot/efi").mkdir(exist_ok=True)
    (tree / "etc/fstab").write_text(_FSTAB.format(root=root, esp=esp))


def _make_core(tree: Path) -> bytes:
    core = tree / "tmp/core.img"
    _run(
        "chroot",
        str(tree),
        "grub-mkimage",
        "--format=i386-pc",
        "--output=/tmp/core.img",
        "--prefix=(,gpt3)/boot/grub",
        *_CORE_MODULES,
    )
    content = core.read_bytes()
    core.unlink()
    return content


def _partition(disk: Path) -> None:
    def part(number: int, start: int, end: str, kind: str) -> list[str]:
        first = start // SECTOR
        return [f"--new={number}:{first}:{end}", f"--typecode={number}:{kind}"]

    _run(
        "sgdisk",
        *part(1, _CORE_START, f"+{_CORE_SIZE // MIB}M", "ef02"),
        *part(2, _ESP_START, f"+{_ESP_SIZE // MIB}M", "ef00"),
        *part(3, _ROOT_START, "0", "8304"),
        str(disk),
    )


def _fill_root(disk: Path, tree: Path, root: str, size: int) -> None:
    _run(
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-L",
        "root",
        "-U",
        root,
        "-d",
        str(tree),
        "-E",
        f"offset={_ROOT_START},lazy_itable_init=0,nodiscard",
        str(disk),
        f"{size // 1024}k",
    )


def _fill_esp(disk: Path, tree: Path, root: str, esp: str) -> None:
    place = f"{disk}@@{_ESP_START}"
    config = tree / "tmp/grub.cfg"
    config.write_text(_ESP_CONFIG.format(root=root))
    start = str(_ESP_START // SECTOR)
    blocks = str(_ESP_SIZE // 1024)
    _run(
        "mkfs.vfat",
        "-F",
        "32",
        "-s",
        "1",  # sectors in a cluster: with more, they would be too few for FAT32
        "-n",
        "ESP",
        "-i",
        esp,
        "-h",
        start,
        "--offset",
        start,
        str(disk),
        blocks,
    )
    _run("mmd", "-i", place, "::/EFI", "::/EFI/BOOT", "::/EFI/debian")
    for source, target in (
        ("usr/lib/shim/shimx64.efi.signed", "BOOT/BOOTX64.EFI"),
        ("usr/lib/shim/mmx64.efi.signed", "BOOT/mmx64.efi"),
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "BOOT/grubx64.efi"),
        ("tmp/grub.cfg", "debian/grub.cfg"),
    ):
        _run("mcopy", "-i", place, str(tree / source), f"::/EFI/{target}")
    config.unlink()


def install_core(disk: Path, boot: bytes, core: bytes) -> None:
    """Have a BIOS find GRUB: the first sector finds the core, whose first sector finds its rest."""
    if len(core) > _CORE_SIZE:
        raise FirstboxError(f"GRUB's core has {len(core)} bytes, and room is for {_CORE_SIZE}.")
    first = _CORE_START // SECTOR
    boot_sector, rest = bytearray(boot[:SECTOR]), bytearray(core)
    struct.pack_into("<Q", boot_sector, _BOOT_KERNEL_SECTOR, first)
    boot_sector[_BOOT_DRIVE_CHECK : _BOOT_DRIVE_CHECK + 2] = b"\x90\x90"
    struct.pack_into("<Q", rest, _CORE_NEXT_SECTOR, first + 1)
    with disk.open("r+b") as file:
        file.write(boot_sector[:_BOOT_CODE])
        file.seek(_CORE_START)
        file.write(rest)


def _run(*command: str) -> None:
    run(*command, patience=_PATIENCE)
