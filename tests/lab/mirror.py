"""A Debian mirror on a segment that has no way out: what is asked of it, this host's apt fetches.

with Segment("10.77.0.1/24") as segment, Mirror(segment, "10.77.0.1", directory) as mirror:
    mirror.url  # http://10.77.0.1:8080/debian

Only packages and the lists of them are given out, and only to those on the segment. Packages never
change under their names, so they are kept; the lists are fetched anew for each mirror.
"""

import lzma
import os
import re
import shutil
import subprocess
import tempfile
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from api.images.bootstrap import suite
from api.images.cache import cache_directory
from tests.lab.segment import Segment

PORT = 8080
_PATIENCE = 120.0  # seconds for one file
# Of the installer's parts those that do what partitioning leaves to do.
_PARTS = {"apt-mirror-setup", "debootstrap-udeb", "finish-install", "grub-installer"}
# No component begins with a dot, so nothing leads upwards.
_PATH = re.compile(r"/debian/(?P<path>(?:dists|pool)(?:/[0-9A-Za-z_+~:-][0-9A-Za-z_.+~:-]*)+)")


class Mirror:
    """The mirror while the context is open. Enter it outside the segment: there it fetches from."""

    def __init__(self, segment: Segment, address: str, directory: Path) -> None:
        self.url = f"http://{address}:{PORT}/debian"
        self._lists = directory / "mirror"
        self._upstream = _upstream()
        # A socket keeps the network namespace it was made in.
        with segment.inside():
            self._server = ThreadingHTTPServer((address, PORT), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def find(self, path: str) -> Path | None:
        """The file at a path below the mirror's root, fetched if it is not here; None if there is none."""
        is_kept = path.startswith("pool/")
        file = (cache_directory() / "mirror" if is_kept else self._lists) / path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=file.parent) as place:
                fetched = Path(place) / "fetched"
                if not _fetch(f"{self._upstream}/{path}", fetched):
                    return None
                fetched.rename(file)
        return file

    @property
    def has_installer(self) -> bool:
        """Whether what Debian's installer is made of is here too: some mirrors have packages alone."""
        lists = self.find(f"dists/{suite()}/main/debian-installer/binary-amd64/Packages.xz")
        if lists is None:
            return False
        listed = lzma.decompress(lists.read_bytes()).decode()
        files = re.findall(r"^Filename: (\S+)$", listed, re.MULTILINE)
        needed = [file for file in files if file.rpartition("/")[2].partition("_")[0] in _PARTS]
        return len(needed) == len(_PARTS) and all(self.find(file) for file in needed)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_GET(self) -> None:
                found = _PATH.fullmatch(unquote(self.path))
                if found is None:
                    self.send_error(HTTPStatus.FORBIDDEN)
                    return
                try:
                    file = mirror.find(found["path"])
                except (OSError, subprocess.SubprocessError) as error:
                    self.send_error(HTTPStatus.BAD_GATEWAY, explain=str(error))
                    return
                if file is None:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                with file.open("rb") as opened:
                    self.send_response(HTTPStatus.OK)
                    self.send_header("Content-Length", str(file.stat().st_size))
                    self.end_headers()
                    shutil.copyfileobj(opened, self.wfile)

            def log_message(self, *_words: Any) -> None:
                """Say nothing: a test's output is not the place."""

        return Handler


def _upstream() -> str:
    """Where this host's apt gets this release from."""
    targets = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(
        ["apt-get", *targets, f"Codename: {suite()}", "Component: main"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()[0].rstrip("/")


def _fetch(url: str, file: Path) -> bool:
    """With apt's own program, which knows this host's proxies; whether there is such a file."""
    done = subprocess.run(
        # apt's unprivileged user may not write where we keep things.
        ["/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=root", "download-file", url, file],
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode and not re.search(r"\b404\b", done.stderr):
        raise OSError(f"{url}: {done.stderr.strip()}")
    return done.returncode == 0
