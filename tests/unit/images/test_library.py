"""Directories of images: whole, or not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.images.library import finish, keep, new_directory, remove_directory
from api.images.manifest import BootFile, Manifest, missing_files

MANIFEST = Manifest("one", "12", "x86_64", "image", "0" * 64, 0, files=(BootFile("a", "", 3),))
ADDING = """
import sys, time
from pathlib import Path
from api.images.library import new_directory
with new_directory(Path(sys.argv[1])) as place:
    (place / "00000.zst").write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


def names(images: Path) -> list[str]:
    return sorted(path.name for path in images.iterdir())


def test_what_is_kept_is_there_whole_and_readable_for_all(images: Path) -> None:
    with new_directory(images) as place:
        (place / "a").write_bytes(b"abc")
        finish(place, MANIFEST)
        keep(place, "one")

    assert names(images) == ["one"]
    assert missing_files(images / "one") == []
    assert (images / "one").stat().st_mode & 0o777 == 0o755
    assert (images / "one" / "a").stat().st_mode & 0o777 == 0o644


def test_what_is_not_kept_leaves_nothing(images: Path) -> None:
    with new_directory(images) as place:
        (place / "a").write_bytes(b"abc")

    assert names(images) == []


def test_what_a_killed_command_left_is_cleaned_and_what_a_living_one_does_is_not(
    images: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ADDING, str(images)], stdout=subprocess.PIPE, text=True
    ) as adding:
        try:
            assert adding.stdout is not None
            assert adding.stdout.readline() == "begun\n"
            with new_directory(images):
                assert len(names(images)) == 2
        finally:
            adding.kill()

    assert len(names(images)) == 1
    with new_directory(images) as place:
        assert names(images) == [place.name]


def test_a_directory_that_nobody_knows_of_makes_way(images: Path) -> None:
    (images / "one").mkdir(parents=True)
    (images / "one" / "half").touch()

    with new_directory(images) as place:
        (place / "a").write_bytes(b"abc")
        finish(place, MANIFEST)
        keep(place, "one")

    assert sorted(path.name for path in (images / "one").iterdir()) == ["a", "manifest.json"]


def test_removing_takes_all_and_twice_is_no_matter(images: Path) -> None:
    (images / "one").mkdir(parents=True)
    (images / "one" / "a").touch()

    remove_directory(images, "one")
    remove_directory(images, "one")

    assert names(images) == []
