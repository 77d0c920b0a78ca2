"""The ramdisk: a small Debian in memory that gives the service SSH on any server.

The base is the same for every service and cached; each service's own copy gets the SSH key that may
log in, as a second archive behind the first, which the kernel unpacks over it.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.images import bootstrap as bootstrap_module
from api.images.boot_files import INITRD, KERNEL
from api.images.bootstrap import UNREAD, bootstrap, expect_debian, suite
from api.images.cache import cached, digest
from api.images.programs import run
from api.images.progress import Say

FILES = Path(__file__).with_name("files")
_PATIENCE = 600.0

PACKAGES = (
    "openssh-server",
    "udev",
    "kmod",
    "iproute2",
    "udhcpc",
    "iputils-arping",
    "ethtool",
    "lldpad",
    "curl",
    "zstd",
    "util-linux",
    "fdisk",
    "gdisk",
    "parted",
    "dosfstools",
    "e2fsprogs",
    "xfsprogs",
    "mdadm",
    "lvm2",
    "nvme-cli",
    "pciutils",
    "dmidecode",
    "ipmitool",
)
# Cards that are silent without: Broadcom, QLogic, Marvell, Chelsio, Netronome, and many more.
FREE_FIRMWARE = "firmware-linux-free"
FIRMWARE = (
    "firmware-bnx2",
    "firmware-bnx2x",
    "firmware-qlogic",
    "firmware-cavium",
    "firmware-netronome",
    "firmware-myricom",
    "firmware-misc-nonfree",
)
# Drivers of what a server without an operating system never needs to get one.
NEEDLESS_DRIVERS = (
    "sound",  # and pictures: the consoles need neither, the firmware's text and frame buffer do
    "drivers/gpu",
    "drivers/media",
    "drivers/video",
    "drivers/staging",
    "drivers/net/wireless",  # it boots by cable
    "drivers/net/wwan",
    "drivers/net/can",
    "drivers/net/ieee802154",
    "drivers/bluetooth",
    "drivers/nfc",
    "drivers/isdn",
    "drivers/atm",
    "drivers/infiniband",  # Ethernet works without, on these cards too
    "net/bluetooth",
    "net/mac80211",
    "net/wireless",
    "net/nfc",
    "net/can",
    "net/netfilter",  # it routes and filters nothing
    "net/sched",
    "net/sunrpc",
    "net/ceph",
    "net/tipc",
    "net/sctp",
    "net/rxrpc",
    "net/batman-adv",
    "drivers/iio",  # sensors, toys and instruments
    "drivers/comedi",
    "drivers/hwmon",
    "drivers/w1",
    "drivers/leds",
    "drivers/input/joystick",
    "drivers/input/tablet",
    "drivers/input/touchscreen",
    "drivers/input/mouse",
    "drivers/usb/gadget",
    "drivers/usb/serial",
    "drivers/usb/misc",
    "drivers/mtd",
    "drivers/target",  # it serves disks to nobody
    "drivers/watchdog",  # nobody here would feed it
    "fs/nfs",  # images come over HTTP
    "fs/nfsd",
    "fs/smb",
    "fs/ceph",
    "fs/afs",
    "fs/ocfs2",
    "fs/gfs2",
    "fs/orangefs",
    "fs/jffs2",
    "fs/ubifs",
)
# Nothing will be installed, and nobody reads a manual, in memory.
NEEDLESS_FILES = (
    "boot/*",
    "etc/initramfs-tools",
    "var/cache/*",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log/*",
    "usr/bin/perl*",
    "usr/bin/python3*",
    "usr/lib/python3*",
    "usr/lib/*-linux-gnu/gconv",
    "usr/lib/*-linux-gnu/perl*",
    "usr/lib/*-linux-gnu/libperl*",
    "usr/lib/*-linux-gnu/libapt*",
    "usr/lib/*-linux-gnu/libicu*",  # for xfs_scrub alone
    "usr/lib/*-linux-gnu/libsqlite3*",
    "usr/sbin/xfs_scrub*",
    "usr/lib/apt",
    "usr/lib/udev/hwdb*",  # names for people
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/initramfs-tools",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl*",
    "usr/share/python3",
    "usr/share/zoneinfo",
    # Arrays and volumes on the disks stay as they are until somebody decides about them.
    "lib/udev/rules.d/*-md-raid-assembly.rules",
    "lib/udev/rules.d/*-lvm.rules",
    "etc/ssh/ssh_host_*",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What may differ between ramdisks."""

    kernel: str = "full"  # or `cloud`, for virtual machines: a quarter of the drivers
    firmware: bool = True

    @property
    def packages(self) -> list[str]:
        return [
            _kernel_package(self.kernel),
            *PACKAGES,
            *([FREE_FIRMWARE] if self.firmware else []),
        ]


def build_ramdisk(
    recipe: Recipe, target: Path, ssh_keys: Sequence[str], say: Say, *, fresh: bool
) -> None:
    """Put `kernel` and `initrd` into `target`; those who have one of `ssh_keys` may log in as root."""
    expect_debian("x86_64", "aarch64")
    made_from = digest(
        [Path(__file__), Path(bootstrap_module.__file__), *sorted(FILES.iterdir())], recipe, suite()
    )
    base = cached("ramdisk", made_from, lambda place: _build_base(recipe, place, say), fresh=fresh)
    shutil.copyfile(base / KERNEL, target / KERNEL)
    shutil.copyfile(base / INITRD, target / INITRD)
    _append_keys(target / INITRD, ssh_keys)


def _kernel_package(kernel: str) -> str:
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()
    return f"linux-image-{'cloud-' if kernel == 'cloud' else ''}{architecture}"


def _build_base(recipe: Recipe, place: Path, say: Say) -> None:
    tree = place / "tree"
    bootstrap(
        tree,
        recipe.packages,
        left_out=[
            *UNREAD,
            *(f"/lib/modules/*/kernel/{directory}/*" for directory in NEEDLESS_DRIVERS),
            "/etc/kernel/postinst.d/initramfs-tools",  # an initrd for a disk, which costs minutes
        ],
        options=_firmware_hook() if recipe.firmware else [],
        say=say,
    )
    [kernel] = tree.glob("boot/vmlinuz-*")
    shutil.copyfile(kernel, place / KERNEL)
    say("leaving out what is not needed in memory")
    _shrink(tree)
    _furnish(tree)
    say("packing")
    _pack(tree, place / INITRD)
    shutil.rmtree(tree)


def _firmware_hook() -> list[str]:
    hook = FILES / "firmware"
    return [f'--customize-hook=FIRMWARE="{" ".join(FIRMWARE)}" {hook} "$1"']


def _shrink(tree: Path) -> None:
    for pattern in NEEDLESS_FILES:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    _drop_unused_firmware(tree)


def _drop_unused_firmware(tree: Path) -> None:
    """Keep what the drivers that are left ask for."""
    modules = [f"/{path.relative_to(tree)}" for path in tree.glob("lib/modules/**/*.ko")]
    asked = subprocess.run(
        ["chroot", str(tree), "/sbin/modinfo", "--field", "firmware", *modules],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    wanted = set(asked.split())
    firmware = tree / "lib/firmware"
    for path in [path for path in firmware.rglob("*") if path.is_file()]:
        if str(path.relative_to(firmware)) not in wanted:
            path.unlink()


def _furnish(tree: Path) -> None:
    shutil.copy(FILES / "init", tree / "init")
    (tree / "etc/firstbox").mkdir()
    shutil.copy(FILES / "dhcp", tree / "etc/firstbox/dhcp")
    shutil.copyfile(FILES / "sshd_config", tree / "etc/ssh/sshd_config")
    (tree / "root/.ssh").mkdir(mode=0o700)
    # No host name and no name servers of the machine that built it.
    (tree / "etc/hostname").write_text("ramdisk\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/machine-id").unlink(missing_ok=True)


def _pack(tree: Path, target: Path) -> None:
    """One archive, compressed into one frame and filled up to where another archive may begin."""
    pack = "find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --quiet"
    run(
        "bash",
        "-o",
        "pipefail",
        "-c",
        f'{pack} --owner=+0:+0 | zstd --quiet -T0 -15 -o "$0"',
        str(target),
        patience=_PATIENCE,
        directory=tree,
    )
    with target.open("ab") as archive:
        archive.write(bytes(-archive.tell() % 4))


def _append_keys(initrd: Path, ssh_keys: Sequence[str]) -> None:
    """An archive of one file, who may log in, behind the others."""
    place = initrd.with_name(f"{initrd.name}.keys")
    try:
        (place / "root/.ssh").mkdir(parents=True)
        authorized = place / "root/.ssh/authorized_keys"
        authorized.write_text("".join(f"{key.strip()}\n" for key in ssh_keys))
        authorized.chmod(0o600)
        os.utime(authorized, (0, 0))  # the same keys make the same ramdisk
        archive = subprocess.run(
            ["cpio", "--create", "--format=newc", "--reproducible", "--quiet", "--owner=+0:+0"],
            input=b"root/.ssh/authorized_keys\n",
            cwd=place,
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
    finally:
        shutil.rmtree(place)
    with initrd.open("ab") as file:
        file.write(archive)
