"""Recorded outputs of probe.sh, and small ones made for one question."""

from collections.abc import Callable
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "recorded"
WORD = "5b1b6c1e-0f0e-4d53-9f2a-6f6f0a1d2c3b"

PLAIN = {
    "uname": ["Linux box 6.1.0 x86_64"],
    "os": ["/etc/os-release:ID=debian"],
    "dmi": ["/sys/class/dmi/id/sys_vendor:Dell Inc."],
    "memory": ["MemTotal: 1048576 kB"],
    "cpu": ["processors : 1"],
    "topology": [],
    "block": [],
    "lsblk": [],
    "links": [],
    "mounts": [],
    "swaps": [],
    "link": [
        "2: eth0: <UP,LOWER_UP> mtu 1500 qdisc mq state UP \\    link/ether 52:54:00:00:00:01 brd"
    ],
    "address": ["2: eth0    inet 192.0.2.9/24 brd 192.0.2.255 scope global eth0\\  valid"],
    "sysnet": [],
    "procnet": [],
}


@pytest.fixture(scope="session")
def recordings() -> dict[str, str]:
    """The text of each recording, by name."""
    return {path.stem: path.read_text() for path in sorted(RECORDED.glob("*.txt"))}


@pytest.fixture(scope="session")
def make_probe() -> Callable[..., str]:
    """A whole output of a plain machine, with the given sections instead of its own."""

    def make(exit_codes: dict[str, int] | None = None, **sections: list[str]) -> str:
        lines = [f"%firstbox-probe 1 {WORD}"]
        for name, content in (PLAIN | sections).items():
            code = (exit_codes or {}).get(name, 0)
            lines += [f"%begin {WORD} {name}", *content, f"%end {WORD} {name} {code}"]
        return "\n".join([*lines, f"%done {WORD}", ""])

    return make
