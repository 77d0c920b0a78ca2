"""The molecule scenario of the role boot_server: a network for the role, and a try of what it wrote.

python -m tests.lab.boot_scenario network DIR   # makes it; it goes when DIR/network.json does
python -m tests.lab.boot_scenario try DIR       # prints what two machines get, as JSON
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.boot_server import ADDRESS, BootServer
from tests.lab.netboot import FIRMWARE, LOADER, ask_dhcp, fetch
from tests.lab.segment import Segment
from tests.service import REPOSITORY, wait_until

KNOWN, STRANGER = "52:54:00:00:0a:01", "52:54:00:00:0a:02"
_LONGEST = 900.0  # seconds a scenario may take


def main() -> None:
    """Do one of the three."""
    {"network": network, "hold": hold, "try": attempt}[sys.argv[1]](Path(sys.argv[2]).absolute())


def network(directory: Path) -> None:
    """Start a process that keeps the network, and wait until the role can be run on it."""
    with (directory / "network.log").open("wb") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tests.lab.boot_scenario", "hold", str(directory)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until((directory / "network.json").exists, 60, what="the network is there", pause=0.1)


def hold(directory: Path) -> None:
    """Keep the network as long as its file is there."""
    with Segment(f"{ADDRESS}/24") as segment:
        server = BootServer(directory, segment)
        # Modules run on the network because the Python they are run with does.
        python = directory / "python"
        python.write_text(f'#!/bin/sh\nexec {" ".join(segment.command(sys.executable))} "$@"\n')
        python.chmod(0o755)
        told = {**server.variables, "boot_server_probe": True}
        told["ansible_python_interpreter"] = str(python)
        variables = directory / "network.json"
        variables.with_suffix(".new").write_text(json.dumps(told))
        variables.with_suffix(".new").rename(variables)
        deadline = time.monotonic() + _LONGEST
        while variables.exists() and time.monotonic() < deadline:
            time.sleep(0.5)


def attempt(directory: Path) -> None:
    """Start what the role wrote on a network of its own, and boot two machines from it."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        Segment(f"{ADDRESS}/24") as segment,
        BootServer(directory, segment, is_configured=True) as server,
    ):
        place = Path(scratch)
        server.add_ramdisk(lambda directory: None)
        (server.settings.images / "ramdisk-test" / "kernel").write_text("a kernel")
        server.open_boot(server.add_machine(KNOWN), KNOWN)
        known, stranger = segment.add_host(KNOWN), segment.add_host(STRANGER)
        firmware, loader = (ask_dhcp(known, place, kind) for kind in (FIRMWARE, LOADER))
        script = fetch(known, loader.get("bootfile", "")).decode()
        kernel = f"{server.url}/files/ramdisk-test/kernel"
        got = {
            "loader": len(fetch(known, f"tftp://{ADDRESS}/{firmware.get('bootfile', '')}")),
            "script": script.splitlines()[:1],
            "kernel": fetch(known, kernel).decode(),
            "stranger": ask_dhcp(stranger, place, FIRMWARE),
        }
    print(json.dumps(got))


if __name__ == "__main__":
    main()
