"""The private directory of a run: its events, its nodes, what it found. Gone when the run is."""

import re
import shutil
import tempfile
from pathlib import Path

_NAME = re.compile(r"firstbox-(j-\w{8}\.\d+\.\d+)-")


def make(name: str) -> Path:
    """A fresh directory, mode 0700, for the run `name` (`<job>.<slice>.<attempt>`)."""
    return Path(tempfile.mkdtemp(prefix=_prefix(name), dir=_parent()))


def remove(name: str) -> None:
    """Remove what the run left, however it ended."""
    for directory in _parent().glob(f"{_prefix(name)}*"):
        shutil.rmtree(directory)


def left() -> dict[str, Path]:
    """All directories of runs on this host, of this service or another: name of the run -> place."""
    found = ((_NAME.match(place.name), place) for place in _parent().glob("firstbox-j-*"))
    return {match[1]: place for match, place in found if match}


def _prefix(name: str) -> str:
    return f"firstbox-{name}-"


def _parent() -> Path:
    # Memory where there is some: ansible-runner writes a file per event.
    shared = Path("/dev/shm")  # noqa: S108  # a directory of our own is made in it
    return shared if shared.is_dir() else Path(tempfile.gettempdir())
