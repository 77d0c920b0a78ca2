"""A cloud image from elsewhere: verified, unpacked, and cut into chunks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from api.images.chunks import Cut, cut
from api.images.disk_file import inspect, make_raw
from api.images.fetch import Checksum, fetch, verify_signature
from api.images.progress import Advance

Progress = Callable[[str], AbstractContextManager[Advance]]  # of one part of the work, by its name


@dataclass(frozen=True, slots=True)
class Trusted:
    """Why a file is believed to be what it should be."""

    checksum: Checksum
    signature: Path | None = None
    keyring: Path | None = None


def cut_cloud_image(source: str, trusted: Trusted, place: Path, progress: Progress) -> Cut:
    """Put the chunks of a raw or qcow2 image into `place`. Raises FirstboxError."""
    fetched, unpacked = place / "source", place / "raw"
    with progress("Reading") as advance:
        file = fetch(source, fetched, trusted.checksum, advance)
    if trusted.signature is not None and trusted.keyring is not None:
        verify_signature(file, trusted.signature, trusted.keyring)
    raw = make_raw(file, inspect(file), unpacked)
    with progress("Cutting") as advance:
        made = cut(raw, place, advance)
    for left in (fetched, unpacked):
        left.unlink(missing_ok=True)
    return made
