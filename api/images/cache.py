"""What takes minutes to build is built once per recipe, and shared by all who build it here."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_KEPT = 30 * 86400.0  # seconds after its last use


def cached(kind: str, made_from: str, build: Callable[[Path], None], *, fresh: bool) -> Path:
    """The directory that `build` fills, from the cache if it has it; it is there whole or not at all.

    With `fresh` it is built anew: the packages it is made of may be newer ones.
    """
    directory = cache_directory() / f"{kind}-{made_from}"
    with _locked(cache_directory() / f"{kind}.lock"):
        if directory.is_dir() and not fresh:
            directory.touch()
            return directory
        _clean(directory.parent, kind)
        part = directory.with_name(f"{directory.name}.part")
        part.mkdir()
        try:
            build(part)
            if directory.is_dir():
                shutil.rmtree(directory)
            part.rename(directory)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return directory


def _clean(place: Path, kind: str) -> None:
    """What was left unfinished, and what nobody asked for in a month."""
    for directory in place.glob(f"{kind}-*"):
        if directory.suffix == ".part" or time.time() - directory.stat().st_mtime > _KEPT:
            shutil.rmtree(directory)


def cache_directory() -> Path:
    """Where built things are kept, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    directory = Path(base).absolute() / "firstbox"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def digest(files: Iterable[Path], *words: object) -> str:
    """A short name for a recipe: another text or word gives another name."""
    recipe = hashlib.sha256()
    for part in [*(file.read_bytes() for file in files), *(repr(word).encode() for word in words)]:
        recipe.update(hashlib.sha256(part).digest())
    return recipe.hexdigest()[:12]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time; others wait for its result."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
