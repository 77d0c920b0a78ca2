"""Who made the machine and what runs on it: DMI, uname, release files."""

import re

from api.hardware.model import Memory, OperatingSystem, System
from api.hardware.sections import MAX_TEXT, Sections, number

_PLACEHOLDERS = {
    "",
    "0123456789",
    "123456789",
    "1234567890",
    "chassis serial number",
    "default string",
    "empty",
    "invalid",
    "n/a",
    "na",
    "no asset information",
    "none",
    "not applicable",
    "not available",
    "not specified",
    "null",
    "o.e.m.",
    "oem",
    "product name",
    "serial number",
    "system manufacturer",
    "system name",
    "system product name",
    "system serial number",
    "tbd",
    "to be filled by o.e.m",
    "to be filled by o.e.m.",
    "type1productconfigid",
    "undefined",
    "unknown",
}
# AMI's and Supermicro's firmware give these to every board they forget.
_SHARED_UUIDS = {
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BRANDS = {
    "alibaba": "alibaba",
    "asustek": "asus",
    "bochs": "qemu",
    "dell": "dell",
    "fujitsu": "fujitsu",
    "giga-byte": "gigabyte",
    "gigabyte": "gigabyte",
    "h3c": "h3c",
    "hewlett": "hp",
    "hewlett-packard": "hp",
    "hp": "hp",
    "hpe": "hp",
    "huawei": "huawei",
    "innotek": "virtualbox",
    "inspur": "inspur",
    "new h3c": "h3c",
    "red hat": "redhat",
    "super micro": "supermicro",
    "supermicro": "supermicro",
}
_HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_VERSION = re.compile(r"\d+(\.\d+)*")
_RELEASE = re.compile(r"^(.*?)(?: Linux)?(?: Server| Workstation)? release (\d+(?:\.\d+)*)")
_QUOTES = "\"'"


def read_system(sections: Sections) -> System:
    """The maker's names and numbers, without placeholders."""
    facts = {path.rpartition("/")[2]: value.strip("\0 ") for path, value in sections.files("dmi")}
    vendor = real_value(facts.get("sys_vendor", "")) or real_value(facts.get("board_vendor", ""))
    product = real_value(facts.get("product_name", "")) or real_value(facts.get("model", ""))
    serial = real_value(facts.get("product_serial", "")) or real_value(
        facts.get("serial-number", "")
    )
    return System(
        brand=brand_name(vendor or product),
        product=product,
        serial_number=serial,
        uuid=_uuid(facts),
    )


def read_memory(sections: Sections) -> Memory | None:
    """The memory in GiB, or None if the kernel did not tell."""
    for line in sections.lines("memory"):
        words = line.split()
        if len(words) >= 2 and words[0] == "MemTotal:" and (kib := number(words[1])):
            return Memory(memory_size=round(kib / 2**20, 1))
    return None


def read_uname(sections: Sections) -> tuple[str, str, str] | None:
    """(hostname, kernel version, architecture), or None; a name that cannot be one is ""."""
    for line in sections.lines("uname"):
        words = line.split()
        if len(words) >= 4:
            hostname = words[1] if _HOSTNAME.fullmatch(words[1]) else ""
            return hostname, words[2][:MAX_TEXT], words[-1][:MAX_TEXT]
    return None


def read_operating_system(sections: Sections, kernel_version: str) -> OperatingSystem:
    """Name and full point release, from whichever file tells most."""
    release, facts = _release_files(sections)
    match = _RELEASE.match(release)
    identity = facts.get("ID", "").lower() or (match[1].split()[0].lower() if match else "")
    return OperatingSystem(
        kernel_version=kernel_version,
        os_name=_codename(identity, facts) or identity or "linux",
        os_version=_version(identity, facts, match[2] if match else ""),
    )


def _release_files(sections: Sections) -> tuple[str, dict[str, str]]:
    """The Red Hat release line, and the NAME=value pairs of the other files."""
    release, facts = "", dict[str, str]()
    for path, line in sections.files("os"):
        name = path.rpartition("/")[2]
        if name in ("centos-release", "redhat-release"):
            release = release or line
        elif name in ("debian_version", "alpine-release"):
            facts[name] = line
        else:
            key, _, value = line.partition("=")
            facts.setdefault(key.strip(), value.strip().strip(_QUOTES))
    return release, facts


def _codename(identity: str, facts: dict[str, str]) -> str:
    named = facts.get("VERSION_CODENAME") or facts.get("DISTRIB_CODENAME")
    if not named and identity == "debian":
        # Debian 7 and 8 have it in VERSION="8 (jessie)" only.
        named = facts.get("VERSION", "").partition("(")[2].rstrip(")")
    return (named or "").lower()


def _version(identity: str, facts: dict[str, str], red_hat: str) -> str:
    """The point release: VERSION_ID alone often has just the first number."""
    short = facts.get("VERSION_ID", "") or facts.get("DISTRIB_RELEASE", "")
    debian = facts.get("debian_version", "") if identity == "debian" else ""
    told = _VERSION.match(facts.get("VERSION", ""))
    candidates = [debian, red_hat, facts.get("alpine-release", ""), told[0] if told else ""]
    for version in candidates:
        if _VERSION.fullmatch(version) and version.startswith(short):
            return version
    return short


def real_value(value: str) -> str:
    """The value, or "" where the maker did not fill it in."""
    value = " ".join(value.split())
    is_filler = value.lower() in _PLACEHOLDERS or not value.strip("0xX.-_ fF*")
    return "" if is_filler else value


def brand_name(vendor: str) -> str:
    """The maker in one word, the same however its machines spell it: "Dell Inc." is "dell"."""
    words = vendor.lower().replace(",", " ").split()
    if not words:
        return ""
    first = words[0].rstrip(".")
    return _BRANDS.get(" ".join(words[:2])) or _BRANDS.get(first) or first


def _uuid(facts: dict[str, str]) -> str:
    uuid = facts.get("product_uuid", "").lower()
    is_filler = not uuid.strip("0-") or not uuid.strip("f-") or uuid in _SHARED_UUIDS
    return uuid if _UUID.fullmatch(uuid) and not is_filler else ""
