"""The whole of Firstbox on a segment: boot server, web server, API and worker.

with Segment("10.77.0.1/24") as segment, Site(directory, segment) as site, segment.inside():
    site.service.done("ProvisionBMNodes", node_ids=[...])
"""

import subprocess
from pathlib import Path
from typing import Any

from tests.lab.boot_server import API_PORT, BootServer
from tests.lab.segment import Segment
from tests.service import Service


class Site(BootServer):
    """A boot server whose API has a worker beside it; `service` is asked from inside the segment."""

    def __init__(self, directory: Path, segment: Segment, **settings: Any) -> None:
        super().__init__(directory, segment, **settings)
        self.service = Service(self.settings.home, port=API_PORT, boot_url=self.url, **settings)

    def start_all(self) -> None:
        """As the role configured them."""
        with self.segment.inside():
            self.service.start()
        self.start("nginx", "nginx", "-c", str(self.settings.boot / "nginx.conf"))
        self._wait_for(self.url)
        self.start_keeper()

    def ssh(self, address: str, command: str) -> str:
        """What a command prints on an installed machine, to who has the service's key."""
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        flags = [f"-o{option}" for option in (*options, "ConnectTimeout=10", "LogLevel=ERROR")]
        key = str(self.settings.keys / "ssh_ed25519")
        done = subprocess.run(
            ["ssh", "-F", "none", "-i", key, *flags, f"root@{address}", command],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End everything."""
        self.service.stop()
        super().close()
