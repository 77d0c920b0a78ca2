"""What an image's directory holds, as `manifest.json` in it says. Pure but for reading that file."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHUNK_SIZE = (
    16 << 20
)  # of the raw image: small enough for a machine's memory, large enough for HTTP
FILE_NAME = "manifest.json"


class ManifestError(Exception):
    """The manifest is missing or is not one; the message names the file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the raw image that is not all zeros, compressed into a file of its own."""

    index: int  # it begins at index * chunk_size
    sha256: str  # of the file
    size: int  # of the file

    @property
    def file_name(self) -> str:
        return f"{self.index:05}.zst"


@dataclass(frozen=True, slots=True)
class BootFile:
    """A kernel or an initrd."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Enough to write an image to a disk, or to boot a ramdisk or an installer, and to verify it."""

    name: str
    os_version: str
    cpu_arch: str
    method: str  # of BootMethod, or `ramdisk`
    sha256: str  # of the raw image; of kernel and initrd, one after the other, for other methods
    size: int  # bytes of the raw image; 0 for other methods
    chunk_size: int = CHUNK_SIZE
    chunks: tuple[Chunk, ...] = ()  # in order; what lies between them is zeros
    files: tuple[BootFile, ...] = ()
    # What an installer's template needs besides, such as its mirror and suite.
    values: dict[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        """Bytes that its files take here."""
        return sum(size for _, size in self.parts())

    def parts(self) -> Iterator[tuple[str, int]]:
        """Name and size of each file beside the manifest."""
        yield from ((chunk.file_name, chunk.size) for chunk in self.chunks)
        yield from ((file.name, file.size) for file in self.files)

    def as_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(asdict(self), indent=1) + "\n"


def parse_manifest(text: str) -> Manifest:
    """The manifest in this text. Raises ManifestError."""
    try:
        fields: dict[str, Any] = json.loads(text)
        chunks = tuple(Chunk(**chunk) for chunk in fields.pop("chunks"))
        files = tuple(BootFile(**file) for file in fields.pop("files"))
        return Manifest(**fields, chunks=chunks, files=files)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ManifestError(f"not a manifest: {error}") from error


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the image in this directory. Raises ManifestError."""
    path = directory / FILE_NAME
    try:
        return parse_manifest(path.read_text(encoding="utf-8"))
    except (OSError, ManifestError) as error:
        raise ManifestError(f"{path}: {error}") from error


def missing_files(directory: Path) -> list[str]:
    """Names of files that are not there, or not of their size; empty when the image is whole."""
    try:
        manifest = read_manifest(directory)
    except ManifestError:
        return [FILE_NAME]
    return [name for name, size in manifest.parts() if not _has_size(directory / name, size)]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
