"""Raw images in pieces, and whole again."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from api.images.chunks import Cut, cut
from api.images.manifest import CHUNK_SIZE


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Five chunks: data, a hole, written zeros, data at the end of a hole, and a short last one."""
    path = tmp_path / "raw"
    with path.open("wb") as file:
        file.write(b"boot" * 100)
        file.seek(2 * CHUNK_SIZE)
        file.write(bytes(CHUNK_SIZE))
        file.seek(4 * CHUNK_SIZE - 3)
        file.write(b"end")
        file.write(os.urandom(5 * 512))
    return path


def unpacked(directory: Path, made: Cut) -> bytes:
    """What a machine would have on its disk."""
    disk = bytearray(made.size)
    for chunk in made.chunks:
        piece = subprocess.run(
            ["zstd", "-dcq", str(directory / chunk.file_name)], capture_output=True, check=True
        ).stdout
        disk[chunk.index * CHUNK_SIZE : chunk.index * CHUNK_SIZE + len(piece)] = piece
    return bytes(disk)


def test_the_pieces_make_the_image_again(raw: Path, tmp_path: Path) -> None:
    made = cut(raw, tmp_path)

    assert unpacked(tmp_path, made) == raw.read_bytes()
    assert made.sha256 == hashlib.sha256(raw.read_bytes()).hexdigest()


def test_zeros_are_not_stored_whether_hole_or_written(raw: Path, tmp_path: Path) -> None:
    made = cut(raw, tmp_path)

    assert [chunk.index for chunk in made.chunks] == [0, 3, 4]
    assert sorted(path.name for path in tmp_path.glob("*.zst")) == [
        "00000.zst",
        "00003.zst",
        "00004.zst",
    ]


def test_each_piece_is_named_by_its_checksum_and_size(raw: Path, tmp_path: Path) -> None:
    for chunk in cut(raw, tmp_path).chunks:
        packed = (tmp_path / chunk.file_name).read_bytes()
        assert (chunk.sha256, chunk.size) == (hashlib.sha256(packed).hexdigest(), len(packed))


def test_an_image_of_nothing_but_a_hole_has_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "raw").touch()
    os.truncate(tmp_path / "raw", 3 * CHUNK_SIZE + 512)

    made = cut(tmp_path / "raw", tmp_path)

    assert (made.size, made.chunks) == (3 * CHUNK_SIZE + 512, ())


def test_progress_ends_at_the_image_s_size(raw: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    made = cut(raw, tmp_path, lambda done, total: seen.append((done, total)))

    assert seen[-1] == (made.size, made.size)
    assert len(seen) == 5
