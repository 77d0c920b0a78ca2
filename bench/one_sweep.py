"""Sweep one network for IPMI, and write what it took: the process that bench/scan.py starts."""

import json
import resource
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from api.bmc.sweep import sweep


class Swept(NamedTuple):
    """What one sweep found and took."""

    found: int
    seconds: float
    memory: float  # MB at most


def main(network: str, result: Path) -> None:
    """Sweep, and write a Swept."""
    ends = str(ip_network(network)[0]), str(ip_network(network)[-1])
    began = time.monotonic()
    found = sweep(
        [ends], ["ipmi"], {"ipmi": 623}, silence=1.0, told=lambda *_: None, note=lambda _: None
    )
    seconds = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    result.write_text(json.dumps(Swept(len(found), seconds, memory)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
