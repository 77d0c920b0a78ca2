"""What a booting machine reads: its registration and its image in, text out. Pure.

Templates are Jinja2, which Ansible brings along and whose users read it anyway: the choices of an
installer's file (a bond, a VLAN, a named disk) stand in that file's own order. JSON is made by `json`.
"""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701  # no HTML: what a value may hold is checked where it comes in
)


@dataclass(frozen=True, slots=True)
class Script:
    """All that a boot script depends on."""

    name: str  # of the machine
    mac: str
    base: str  # URL of this boot, with its token
    options: tuple[str, ...]  # of the kernel
    is_unknown: bool = False  # then iPXE says for which architecture it asks


def boot_script(script: Script) -> str:
    """The iPXE script of one machine."""
    return TEMPLATES.get_template("script.ipxe").render(
        name=script.name,
        mac=script.mac,
        base=script.base,
        options=" ".join(("initrd=initrd", *script.options, _bootif(script.mac))),
        query="?arch=${buildarch}" if script.is_unknown else "",
    )


def disk_script(name: str) -> str:
    """The iPXE script of a machine that has nothing more to boot over the network."""
    return TEMPLATES.get_template("disk.ipxe").render(name=name)


def ramdisk_options(base: str) -> tuple[str, ...]:
    """What the ramdisk's kernel is told."""
    return (f"firstbox={base}",)


def _bootif(mac: str) -> str:
    """Which card to go on with, as PXELINUX writes it: 01 stands for Ethernet."""
    return f"BOOTIF=01-{mac.replace(':', '-')}"
