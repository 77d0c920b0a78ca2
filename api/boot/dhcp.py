"""What dnsmasq reads about the boots that are open, and what its log lines mean. Pure.

Only MACs that it lists are answered. The tag of a boot brings its script's address to its machine
alone; iPXE is known by option 175, which the loaders send and no firmware does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Armed:
    """A boot that DHCP answers."""

    boot_id: str
    mac: str
    script_url: str


def boots_file(boots: Sequence[Armed], server: str) -> str:
    """Who is answered, and where the loader of each finds its script.

    `server` is this host's address where another one gives the addresses: without it iPXE takes such an
    answer for none, and asks for ever.
    """
    more = f",,{server}" if server else ""
    return "".join(
        f"dhcp-host={boot.mac},set:{boot.boot_id}\n"
        f"dhcp-boot=tag:{boot.boot_id},tag:ipxe,{boot.script_url}{more}\n"
        for boot in boots
    )


class Kind(StrEnum):
    """What a line of dnsmasq tells."""

    ASKED = "asked"  # a machine looks for an address
    OFFERED = "offered"
    GIVEN = "given"
    POINTED = "pointed"  # another server gives the address; we said what to boot
    IGNORED = "ignored"  # it asked, and gets no answer
    SENT = "sent"  # a file, by TFTP
    NOT_FOUND = "not_found"
    READY = "ready"  # it has read its configuration, and answers


@dataclass(frozen=True, slots=True)
class Said:
    """One such line."""

    kind: Kind
    mac: str = ""
    address: str = ""
    file: str = ""
    is_network_boot: bool = False  # firmware or loader, not an operating system


_DHCP = re.compile(
    r"dnsmasq-dhcp(?:\[\d+\])?: (?P<xid>\d+) (?P<what>DHCP[A-Z]+|PXE)\((?P<interface>[^)]*)\) "
    r"(?:(?P<address>[0-9.]+) )?(?P<mac>(?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?: (?P<rest>.*))?"
)
_CLASS = re.compile(r"dnsmasq-dhcp(?:\[\d+\])?: (?P<xid>\d+) vendor class: (?P<vendor>.*)")
_SENT = re.compile(r"dnsmasq-tftp(?:\[\d+\])?: sent (?P<file>.+) to (?P<address>[0-9.]+)")
_NOT_FOUND = re.compile(
    r"dnsmasq-tftp(?:\[\d+\])?: file (?P<file>.+) not found for (?P<address>[0-9.]+)"
)
_READY = re.compile(r"dnsmasq-dhcp(?:\[\d+\])?: DHCP, sockets bound ")
_KINDS: Mapping[str, Kind] = {
    "DHCPDISCOVER": Kind.ASKED,
    "DHCPREQUEST": Kind.ASKED,
    "DHCPOFFER": Kind.OFFERED,
    "DHCPACK": Kind.GIVEN,
    "PXE": Kind.POINTED,
}
_MOST_CLASSES = 1000


class Listener:
    """Understands dnsmasq line by line; a request's lines are tied together by its number."""

    def __init__(self) -> None:
        self._boots: dict[str, bool] = {}  # number of a request -> is it a network boot

    def understand(self, line: str) -> Said | None:
        """What a line tells; None for what is nobody's business."""
        if found := _CLASS.match(line):
            if len(self._boots) >= _MOST_CLASSES:
                self._boots.clear()
            self._boots[found["xid"]] = found["vendor"].startswith("PXEClient")
            return None
        if found := _DHCP.match(line):
            return self._request(found)
        if found := _SENT.match(line):
            return Said(Kind.SENT, address=found["address"], file=_name(found["file"]))
        if found := _NOT_FOUND.match(line):
            return Said(Kind.NOT_FOUND, address=found["address"], file=_name(found["file"]))
        return Said(Kind.READY) if _READY.match(line) else None

    def _request(self, found: re.Match[str]) -> Said | None:
        kind = _KINDS.get(found["what"])
        if kind is None:
            return None
        if (found["rest"] or "").endswith("ignored"):
            kind = Kind.IGNORED
        is_network_boot = found["what"] == "PXE" or self._boots.get(found["xid"], False)
        return Said(kind, found["mac"], found["address"] or "", is_network_boot=is_network_boot)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
