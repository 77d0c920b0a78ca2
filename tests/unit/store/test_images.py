"""Images as the database knows them, on hosts that have their files and on others."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from api.images.manifest import BootFile, Chunk, Manifest, ManifestError
from api.store.images import IMAGE_MANIFEST, add_image, get_image, get_manifest, remove_image
from api.store.session import reading, writing

CHUNKS = (Chunk(0, "aa", 7), Chunk(3, "bb", 9))
DEBIAN = Manifest("debian-12", "12", "x86_64", "image", "cc", 1 << 30, chunks=CHUNKS)
KERNEL = (BootFile("kernel", "dd", 5),)
INSTALLER = Manifest("d-i", "12", "x86_64", "preseed", "ee", 0, files=KERNEL, values={"suite": "x"})


@pytest.mark.parametrize("manifest", [DEBIAN, INSTALLER], ids=lambda one: one.name)
def test_what_an_image_holds_is_known_where_its_files_are_not(
    any_engine: Engine, tmp_path: Path, manifest: Manifest
) -> None:
    add(any_engine, manifest)

    assert read(any_engine, manifest.name, tmp_path) == manifest


def test_an_image_of_an_older_release_is_read_where_its_files_are(
    engine: Engine, tmp_path: Path
) -> None:
    add(engine, DEBIAN)
    with writing(engine) as connection:
        connection.execute(delete(IMAGE_MANIFEST))
    with pytest.raises(ManifestError):
        read(engine, DEBIAN.name, tmp_path)
    (tmp_path / DEBIAN.name).mkdir()
    here = replace(DEBIAN, sha256="ff")

    (tmp_path / DEBIAN.name / "manifest.json").write_text(here.as_json())

    assert read(engine, DEBIAN.name, tmp_path) == here


def test_an_image_that_is_removed_may_come_again(any_engine: Engine) -> None:
    add(any_engine, DEBIAN)
    with writing(any_engine) as connection:
        remove_image(connection, DEBIAN.name)

    add(any_engine, DEBIAN)


def add(engine: Engine, manifest: Manifest) -> None:
    with writing(engine) as connection:
        add_image(connection, manifest, manifest.name, "")


def read(engine: Engine, name: str, images: Path) -> Manifest:
    with reading(engine) as connection:
        image = get_image(connection, name)
        assert image is not None
        return get_manifest(connection, image, images)
