"""The private directory of a run: its events, its nodes, what it found. Gone when the run is."""

import shutil
import tempfile
from pathlib import Path


def make(name: str) -> Path:
    """A fresh directory, mode 0700, for the run `name` (`<job>.<slice>.<attempt>`)."""
    return Path(tempfile.mkdtemp(prefix=_prefix(name), dir=_parent()))


def remove(name: str) -> None:
    """Remove what the run left, however it ended."""
    for directory in _parent().glob(f"{_prefix(name)}*"):
        shutil.rmtree(directory)


def _prefix(name: str) -> str:
    return f"firstbox-{name}-"


def _parent() -> Path:
    # Memory where there is some: ansible-runner writes a file per event.
    shared = Path("/dev/shm")  # noqa: S108  # a directory of our own is made in it
    return shared if shared.is_dir() else Path(tempfile.gettempdir())
