"""The directories of images: each is there whole or not at all, whoever is killed meanwhile."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.images.manifest import FILE_NAME, Manifest

_UNFINISHED = ".*.part"


@contextmanager
def new_directory(images: Path) -> Iterator[Path]:
    """A place to put an image's files, gone at the end of the block unless it was kept.

    What commands left unfinished here when they were killed is removed first.
    """
    images.mkdir(mode=0o755, parents=True, exist_ok=True)
    _clean(images)
    part = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=images))
    holder = _hold(part)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(holder)


def finish(part: Path, manifest: Manifest) -> None:
    """Add the manifest, and have all that is in the directory on the disk, for everybody to read."""
    (part / FILE_NAME).write_text(manifest.as_json())
    for path in [*part.iterdir(), part]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        _write_through(path)


def keep(part: Path, name: str) -> None:
    """Give a finished directory its name."""
    remove_directory(part.parent, name)  # of one that was killed before anybody knew of it
    part.rename(part.parent / name)
    _write_through(part.parent)


def remove_directory(images: Path, name: str) -> None:
    """Remove an image's files; from the first moment on nobody finds half of them."""
    with new_directory(images) as gone:
        try:
            (images / name).rename(gone)
        except FileNotFoundError:
            return


def _clean(images: Path) -> None:
    """Nobody holds a lock on what was left behind."""
    for part in images.glob(_UNFINISHED):
        try:
            holder = _hold(part)
        except (BlockingIOError, FileNotFoundError):
            continue
        shutil.rmtree(part, ignore_errors=True)
        os.close(holder)


def _hold(directory: Path) -> int:
    """Lock a directory for as long as this process lives, or until it is closed."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _write_through(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
