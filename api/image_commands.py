"""The commands `firstbox image ...`: make, add, list and remove what machines boot and install."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.errors import FirstboxError
from api.terminal import opened_database, read_settings, say, show_table, tell

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from api.images.manifest import Manifest
    from api.settings import Settings

app = typer.Typer(help="What machines boot and install.", no_args_is_help=True)

Fresh = Annotated[bool, typer.Option("--fresh", help="Build anew, with today's packages.")]


@app.command("build")
def build(
    what: Annotated[str, typer.Argument(help="ramdisk, debian or all.")] = "all",
    kernel: Annotated[
        str, typer.Option(help="full, for any server; or cloud, for virtual machines.")
    ] = "full",
    *,
    firmware: Annotated[bool, typer.Option(help="Firmware for cards, in the ramdisk.")] = True,
    fresh: Fresh = False,
) -> None:
    """Make the ramdisk and a Debian image from this machine's own package sources."""
    if what not in ("ramdisk", "debian", "all") or kernel not in ("full", "cloud"):
        raise FirstboxError("Build ramdisk, debian or all, with a full or cloud kernel.")
    settings = read_settings()
    with opened_database(settings) as engine:
        if what in ("ramdisk", "all"):
            _build_ramdisk(engine, settings, kernel, firmware=firmware, fresh=fresh)


def _build_ramdisk(
    engine: "Engine", settings: "Settings", kernel: str, *, firmware: bool, fresh: bool
) -> None:
    import platform

    from api.images.boot_files import describe
    from api.images.manifest import Manifest
    from api.images.ramdisk import Recipe, build_ramdisk
    from api.store.images import RAMDISK

    keys = _ssh_keys(settings)
    architecture = platform.machine()

    def fill(place: Path) -> Manifest:
        build_ramdisk(Recipe(kernel, firmware), place, keys, tell, fresh=fresh)
        sha256, files = describe(place)
        name = _name("", RAMDISK, architecture, sha256)
        return Manifest(name, RAMDISK, architecture, RAMDISK, sha256, 0, files=files)

    _add(engine, settings, f"Debian packages, {kernel} kernel", fill)


def _ssh_keys(settings: "Settings") -> list[str]:
    """Public keys that the service may come with, one for each key of its zones."""
    private = {settings.ssh_access(zone).private_key for zone in ["", *settings.zones]}
    keys = []
    for path in sorted(filter(None, private)):
        public = path.with_name(f"{path.name}.pub")
        try:
            keys.append(public.read_text(encoding="utf-8"))
        except OSError as error:
            raise FirstboxError(
                f"The SSH key {public} cannot be read ({error.strerror}): run `firstbox init`."
            ) from error
    return keys


@app.command("list")
def list_images() -> None:
    """Show the images, the ramdisk among them; of each release the newest first."""
    from api.domain import images
    from api.store.images import get_images
    from api.store.session import reading

    with opened_database(read_settings()) as engine, reading(engine) as connection:
        show_table([images.view(row) for row in get_images(connection)])


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="Name of the image.")]) -> None:
    """Remove an image and its files, unless a machine is being installed with it."""
    from api.domain import images
    from api.images.library import remove_directory
    from api.store.session import writing

    settings = read_settings()
    with opened_database(settings) as engine:
        with writing(engine) as connection:
            row = images.remove(connection, name)
        with _translated_files():
            remove_directory(settings.images, row.directory)
    say(f"Removed image {name}.")


def _add(
    engine: "Engine", settings: "Settings", source: str, fill: Callable[[Path], "Manifest"]
) -> None:
    """Have `fill` put the files into a new directory; make the image known when they are there."""
    from api.domain import images
    from api.images.library import keep, new_directory
    from api.store.session import writing

    with _translated_files(), new_directory(settings.images) as place:
        manifest = fill(place)
        with writing(engine) as connection:
            is_new = images.add(connection, manifest, source=source)
            if is_new:
                keep(place, manifest)
    megabytes = f"{manifest.stored / 1e6:.0f} MB"
    say(f"{'Added' if is_new else 'There is already'} image {manifest.name} ({megabytes}).")


def _name(given: str, os_version: str, cpu_arch: str, sha256: str) -> str:
    """The given name, or one that says what it is and changes with what is in it."""
    return given or f"{os_version.replace(' ', '-')}-{cpu_arch}-{sha256[:8]}"


@contextmanager
def _translated_files() -> Iterator[None]:
    """What the file system refuses becomes one sentence."""
    try:
        yield
    except OSError as error:
        raise FirstboxError(f"{error.filename or 'A file'}: {error.strerror or error}.") from error
