"""What is built once and shared."""

import os
import time
from pathlib import Path

import pytest

from api.images.cache import cache_directory, cached, digest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "firstbox"


def built(place: Path, text: str = "built") -> None:
    (place / "result").write_text(text)


def test_the_second_time_nothing_is_built() -> None:
    first = cached("ramdisk", "a1", built, fresh=False)
    second = cached("ramdisk", "a1", lambda place: built(place, "again"), fresh=False)

    assert first == second
    assert (second / "result").read_text() == "built"


def test_another_recipe_and_a_fresh_one_are_built() -> None:
    cached("ramdisk", "a1", built, fresh=False)

    another = cached("ramdisk", "a2", lambda place: built(place, "another"), fresh=False)
    fresh = cached("ramdisk", "a1", lambda place: built(place, "fresh"), fresh=True)

    assert (another / "result").read_text() == "another"
    assert (fresh / "result").read_text() == "fresh"


def test_a_builder_that_fails_leaves_nothing_and_what_was_there(cache: Path) -> None:
    def fail(place: Path) -> None:
        built(place)
        raise RuntimeError

    cached("ramdisk", "a1", built, fresh=False)
    for made_from in ("a1", "a2"):
        with pytest.raises(RuntimeError):
            cached("ramdisk", made_from, fail, fresh=True)

    assert sorted(path.name for path in cache.iterdir()) == ["ramdisk-a1", "ramdisk.lock"]


def test_what_nobody_asked_for_in_a_month_goes(cache: Path) -> None:
    for made_from in ("old", "used"):
        cached("ramdisk", made_from, built, fresh=False)
        then = time.time() - 40 * 86400
        os.utime(cache / f"ramdisk-{made_from}", (then, then))
    cached("ramdisk", "used", built, fresh=False)

    cached("ramdisk", "new", built, fresh=False)

    left = {path.name for path in cache_directory().glob("ramdisk-*")}
    assert left == {"ramdisk-used", "ramdisk-new"}


def test_a_recipe_s_name_changes_with_each_part(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("x")
    two.write_text("y")

    names = {digest([one], 1), digest([two], 1), digest([one], 2), digest([one, two], 1)}

    assert len(names) == 4
