"""The whole of Firstbox on a segment: boot server, web server, API and worker.

with Segment("10.77.0.1/24") as segment, Site(directory, segment) as site, segment.inside():
    site.service.done("ProvisionBMNodes", node_ids=[...])
"""

from pathlib import Path
from typing import Any

from tests.lab.boot_server import API_PORT, BootServer
from tests.lab.segment import Segment
from tests.service import Service


class Site(BootServer):
    """A boot server whose API has a worker beside it; `service` is asked from inside the segment."""

    def __init__(self, directory: Path, segment: Segment, **settings: Any) -> None:
        super().__init__(directory, segment)
        self.service = Service(self.settings.home, port=API_PORT, boot_url=self.url, **settings)

    def start_all(self) -> None:
        """As the role configured them."""
        with self.segment.inside():
            self.service.start()
        self.start("nginx", "nginx", "-c", str(self.settings.boot / "nginx.conf"))
        self._wait_for(self.url)
        self.start_keeper()

    def close(self) -> None:
        """End everything."""
        self.service.stop()
        super().close()
