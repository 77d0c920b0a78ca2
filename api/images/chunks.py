"""Raw disk images in pieces: a machine holds one in memory, verifies it, and writes it to its disk."""

import hashlib
import os
import subprocess
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from api.errors import FirstboxError
from api.images.manifest import CHUNK_SIZE, Chunk
from api.images.progress import Advance

_LEVEL = "-9"  # smaller takes twice the time; unpacking costs a machine the same
_WORKERS = os.cpu_count() or 1
_PATIENCE = 300.0  # seconds to compress one piece
_ZEROS = bytes(CHUNK_SIZE)


@dataclass(frozen=True, slots=True)
class Cut:
    """A raw image that was cut."""

    sha256: str
    size: int
    chunks: tuple[Chunk, ...]


def cut(raw: Path, target: Path, advance: Advance = lambda _done, _all: None) -> Cut:
    """Write the pieces of `raw` that are not all zeros into `target`, compressed."""
    whole = hashlib.sha256()
    chunks: list[Chunk] = []
    with raw.open("rb") as file, ThreadPoolExecutor(_WORKERS) as pool:
        size = os.fstat(file.fileno()).st_size
        waiting: deque[Future[Chunk]] = deque()
        for index, piece in enumerate(_pieces(file, size)):
            whole.update(piece)
            if piece != _ZEROS[: len(piece)]:
                waiting.append(pool.submit(_store, index, piece, target))
            if len(waiting) > 2 * _WORKERS:
                chunks.append(waiting.popleft().result())
            advance(min((index + 1) * CHUNK_SIZE, size), size)
        chunks += [one.result() for one in waiting]
    return Cut(whole.hexdigest(), size, tuple(chunks))


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The whole image piece by piece; what is a hole in the file is not read."""
    data = _next_data(file, 0, size)
    for start in range(0, size, CHUNK_SIZE):
        length = min(CHUNK_SIZE, size - start)
        if data < start:
            data = _next_data(file, start, size)
        if data >= start + length:
            yield _ZEROS[:length]
            continue
        file.seek(start)
        piece = file.read(length)
        if len(piece) != length:
            raise FirstboxError(f"{file.name} became shorter while it was read.")
        yield piece


def _next_data(file: IO[bytes], start: int, size: int) -> int:
    """Where the first data at or behind `start` is; `size` when only a hole is left."""
    try:
        return os.lseek(file.fileno(), start, os.SEEK_DATA)
    except OSError:  # only a hole is left; file systems without holes say `start`
        return size


def _store(index: int, piece: bytes, target: Path) -> Chunk:
    packed = subprocess.run(
        ["zstd", "--quiet", "--stdout", _LEVEL],
        input=piece,
        capture_output=True,
        check=True,
        timeout=_PATIENCE,
    ).stdout
    chunk = Chunk(index, hashlib.sha256(packed).hexdigest(), len(packed))
    (target / chunk.file_name).write_bytes(packed)
    return chunk
