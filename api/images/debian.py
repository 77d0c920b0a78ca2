"""A Debian image from packages: any server's kernel, cloud-init, an SSH server, and no secrets."""

import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from api.images import boot_disk
from api.images import bootstrap as bootstrap_module
from api.images.boot_disk import make_boot_disk
from api.images.bootstrap import UNREAD, bootstrap, expect_debian, suite
from api.images.cache import cached, digest
from api.images.chunks import cut
from api.images.manifest import FILE_NAME, Manifest, read_manifest
from api.images.progress import Advance, Say

SIZE = 2 << 30  # bytes; the root grows over the whole disk at the first boot
KERNEL_OPTIONS = "console=tty0 console=ttyS0,115200"
PACKAGES = (
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "dbus",
    "udev",
    "openssh-server",
    "sudo",
    "ca-certificates",
    "iproute2",
    "iputils-ping",
    "ethtool",
    "pciutils",
    "less",
    "cloud-init",
    "cloud-guest-utils",  # growpart
    "netplan.io",
    "e2fsprogs",
    "dosfstools",
    "grub2-common",
    "grub-pc-bin",
    "grub-efi-amd64-signed",
    "shim-signed",
)

# Cloud-init's modules that are for other distributions, other clouds or other tools are left out, and
# each costs time at every boot; what is usual in user-data works.
_CLOUD_CONFIG = """\
# The machine's own data stand on a partition labelled CIDATA; there is no network to ask.
datasource_list: [NoCloud, None]
system_info:
  network:
    renderers: [netplan]
ssh_genkeytypes: [ed25519, ecdsa]
cloud_init_modules: [seed_random, bootcmd, write-files, growpart, resizefs, disk_setup, mounts,
  set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups, ssh]
cloud_config_modules: [ssh-import-id, set-passwords, ntp, timezone, runcmd]
cloud_final_modules: [package-update-upgrade-install, write-files-deferred, scripts-per-once,
  scripts-per-boot, scripts-per-instance, scripts-user, final-message, power-state-change]
"""
_GRUB_DEFAULTS = f"""\
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="{KERNEL_OPTIONS}"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_OS_PROBER=true
"""
# One network that is up is enough to go on: a card without a cable must not hold up the boot.
_WAIT_ONLINE = """\
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=60
"""
_FILES = {
    "etc/cloud/cloud.cfg.d/90_firstbox.cfg": _CLOUD_CONFIG,
    "etc/default/grub": _GRUB_DEFAULTS,
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/hostname": "localhost\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/machine-id": "",  # empty: each machine makes its own
    "etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf": _WAIT_ONLINE,
}
# What the builder's own machine or the building left behind.
_REMAINS = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/ssh/ssh_host_*",
    "etc/initramfs-tools/conf.d/firstbox",
    "initrd.img.old",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/log/*.log",
    "var/log/apt",
    "vmlinuz.old",
)
_UNITS = ("systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service")
# Updates are the operator's decision, and not one of each machine's first minutes.
_STOPPED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",  # checks snapshots of volumes, which it has none of
    "e2scrub_reap.service",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What may differ between Debian images."""

    kernel: str = "full"  # or `cloud`, for virtual machines


def build_debian(
    recipe: Recipe, target: Path, say: Say, advance: Advance, *, fresh: bool
) -> Manifest:
    """Put an image's chunks into `target`; the manifest has no name yet."""
    expect_debian("x86_64")
    own = [Path(module) for module in (__file__, bootstrap_module.__file__, boot_disk.__file__)]
    built = cached(
        "debian",
        digest(own, recipe, suite()),
        lambda place: _build(recipe, place, say, advance),
        fresh=fresh,
    )
    manifest = read_manifest(built)
    for name, _ in manifest.parts():
        shutil.copyfile(built / name, target / name)
    return manifest


def _build(recipe: Recipe, place: Path, say: Say, advance: Advance) -> None:
    tree, disk = place / "tree", place / "disk.raw"
    kernel = "linux-image-cloud-amd64" if recipe.kernel == "cloud" else "linux-image-amd64"
    bootstrap(tree, [kernel, *PACKAGES], left_out=UNREAD, say=say)
    _furnish(tree)
    say("making the disk")
    make_boot_disk(tree, disk, SIZE, KERNEL_OPTIONS)
    shutil.rmtree(tree)
    say("cutting it into chunks")
    made = cut(disk, place, advance)
    disk.unlink()
    manifest = Manifest(
        "",
        platform.freedesktop_os_release()["VERSION_ID"],
        "x86_64",
        "image",
        made.sha256,
        made.size,
        chunks=made.chunks,
    )
    (place / FILE_NAME).write_text(manifest.as_json())


def _furnish(tree: Path) -> None:
    for pattern in _REMAINS:
        for path in tree.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, text in _FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _systemctl(tree, "enable", *_UNITS)
    _systemctl(tree, "mask", *_STOPPED_UNITS)


def _systemctl(tree: Path, verb: str, *units: str) -> None:
    subprocess.run(
        ["chroot", str(tree), "systemctl", verb, "--quiet", *units],
        check=True,
        capture_output=True,
        timeout=60,
    )
