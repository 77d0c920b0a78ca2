"""What a scan finds, and hands from step to step: who answers, and what machine is behind it."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from api.bmc.target import Kind


@dataclass(frozen=True, slots=True)
class Answering:
    """An address where a BMC answers, or may."""

    address: str
    node: str = ""  # the registered machine that is scanned again; "" in a scan of ranges
    kinds: Mapping[Kind, int] = field(default_factory=dict)  # what it speaks, and at which port
    seconds: float = 0.0  # it took to answer
    said: str = ""  # half a sentence for the log: "IPMI 2.0", "Redfish 1.9 (Dell Inc.)"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a BMC says of itself and its machine; a field it leaves at a placeholder is empty.

    MACs are in small letters with colons. Texts are printable, and at most 128 characters.
    """

    address: str
    node: str = ""
    bmc_type: Kind = "ipmi"
    bmc_port: int = 0  # 0 is the protocol's own
    credential: str = ""  # that let us in, by name; "registered" is the registration's own
    brand: str = ""
    product: str = ""
    serial_number: str = ""
    bmc_mac: str = ""
    boot_macs: tuple[str, ...] = ()  # of the machine's cards, as far as the BMC tells
    power_state: str = ""
    certificate: str = ""  # SHA-256, where Redfish showed one
    hardware: Mapping[str, Any] = field(default_factory=dict)  # cpu, memory, disks, networks


SWEPT, IDENTIFIED = "swept.json", "identified.json"


def write_found(path: Path, found: Iterable[Answering | Identity]) -> None:
    """Keep what a step found for the next one; nobody else may read it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump([asdict(one) for one in found], file)


def read_swept(path: Path) -> list[Answering]:
    """What `bmc_sweep` found."""
    return [Answering(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def read_identified(path: Path) -> list[Identity]:
    """What `bmc_identify` found out."""
    return [
        Identity(**{**one, "boot_macs": tuple(one["boot_macs"])})
        for one in json.loads(path.read_text(encoding="utf-8"))
    ]
