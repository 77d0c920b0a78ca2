"""What an image's directory holds."""

from pathlib import Path

import pytest

from api.images.manifest import (
    FILE_NAME,
    BootFile,
    Chunk,
    Manifest,
    ManifestError,
    missing_files,
    parse_manifest,
    read_manifest,
)

MANIFEST = Manifest(
    name="debian-12",
    os_version="12",
    cpu_arch="x86_64",
    method="image",
    sha256="a" * 64,
    size=1 << 30,
    chunks=(Chunk(0, "b" * 64, 3), Chunk(7, "c" * 64, 5)),
    files=(BootFile("kernel", "d" * 64, 2),),
    values={"suite": "bookworm"},
)


def test_a_manifest_survives_its_text() -> None:
    assert parse_manifest(MANIFEST.as_json()) == MANIFEST


def test_chunk_files_are_named_by_their_place() -> None:
    assert [name for name, _ in MANIFEST.parts()] == ["00000.zst", "00007.zst", "kernel"]


def test_stored_counts_what_lies_here() -> None:
    assert MANIFEST.stored == 3 + 5 + 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "chunks": [], "files": []}'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(text)


def test_reading_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=f"{tmp_path / FILE_NAME}"):
        read_manifest(tmp_path)


def test_missing_and_shortened_files_are_found(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(MANIFEST.as_json())
    (tmp_path / "00000.zst").write_bytes(b"123")
    (tmp_path / "00007.zst").write_bytes(b"1234")

    assert missing_files(tmp_path) == ["00007.zst", "kernel"]
    assert missing_files(tmp_path / "nowhere") == [FILE_NAME]
