"""Distributions' own installers: where Debian's is, and what each has to be told."""

import re
from collections.abc import Iterable
from pathlib import Path

from api.errors import FirstboxError
from api.states import BootMethod

_DEBIAN_INSTALLER = Path("/usr/lib/debian-installer/images")
_VALUE = re.compile(r"([a-z][a-z0-9_]{0,31})=([!-~]{1,256})")
_URL = re.compile(r"https?://[0-9A-Za-z.:\[\]-]+(/[0-9A-Za-z._~/%+-]*)?", re.ASCII)
# What a machine is told where its packages, or its installer's disc, are; all are addresses.
_NEEDED = {
    BootMethod.PRESEED: "mirror",
    BootMethod.KICKSTART: "repository",
    BootMethod.AUTOINSTALL: "iso",
}


def find_debian_installer() -> tuple[Path, Path]:
    """Kernel and initrd of Debian's installer for network boots, out of its package."""
    found = sorted(_DEBIAN_INSTALLER.glob("*/amd64/text/debian-installer/amd64/linux"))
    if not found:
        raise FirstboxError(
            "Debian's installer is not here: install the package debian-installer-12-netboot-amd64, "
            "or give --kernel and --initrd."
        )
    return found[-1], found[-1].with_name("initrd.gz")


def parse_values(method: str, words: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` words for an installer's template, in which none can end a line or a word.

    Raises FirstboxError for others, and when the method's address is missing.
    """
    values = {}
    for word in words:
        found = _VALUE.fullmatch(word)
        if found is None:
            raise FirstboxError(
                f"{word!r} is not NAME=VALUE in printable characters without spaces."
            )
        values[found[1]] = found[2]
    needed = _NEEDED[BootMethod(method)]
    if not _URL.fullmatch(values.get(needed, "")):
        raise FirstboxError(
            f"The method {method} needs --value {needed}=URL, such as http://mirror.example.org/{needed}."
        )
    return values
