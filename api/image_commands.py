"""The commands `firstbox image ...`: make, add, list and remove what machines boot and install."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.errors import FirstboxError
from api.terminal import audited, opened_database, read_settings, say, show_table, tell

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from api.images.manifest import Manifest
    from api.images.progress import Advance
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
        if what in ("debian", "all"):
            _build_debian(engine, settings, kernel, fresh=fresh)


def _build_ramdisk(
    engine: "Engine", settings: "Settings", kernel: str, *, firmware: bool, fresh: bool
) -> None:
    import platform

    from api.images.boot_files import describe
    from api.images.manifest import Manifest
    from api.images.ramdisk import Recipe, build_ramdisk
    from api.states import RAMDISK

    keys = _ssh_keys(settings)
    architecture = platform.machine()

    def fill(place: Path) -> Manifest:
        build_ramdisk(Recipe(kernel, firmware), place, keys, tell, fresh=fresh)
        sha256, files = describe(place)
        name = _name("", RAMDISK, architecture, sha256)
        return Manifest(name, RAMDISK, architecture, RAMDISK, sha256, 0, files=files)

    _add(engine, settings, f"Debian packages, {kernel} kernel", fill)


def _build_debian(engine: "Engine", settings: "Settings", kernel: str, *, fresh: bool) -> None:
    from dataclasses import replace

    from api.images.debian import Recipe, build_debian
    from api.images.manifest import Manifest

    def fill(place: Path) -> Manifest:
        with _progress("Cutting the image") as advance:
            made = build_debian(Recipe(kernel), place, tell, advance, fresh=fresh)
        return replace(
            made, name=_name("", f"debian-{made.os_version}", made.cpu_arch, made.sha256)
        )

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


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(help="Path, or http, https or file URL: raw or qcow2.")],
    os_version: Annotated[str, typer.Option(help="Release, as machines are registered for it.")],
    cpu_arch: Annotated[str, typer.Option(help="Architecture, such as x86_64.")] = "x86_64",
    sha256: Annotated[str, typer.Option(help="What the file is expected to be.")] = "",
    sha512: Annotated[str, typer.Option(help="The same; one of the two is needed.")] = "",
    signature: Annotated[Path | None, typer.Option(help="Detached OpenPGP signature.")] = None,
    keyring: Annotated[Path | None, typer.Option(help="Keys that may have signed it.")] = None,
    name: Annotated[str, typer.Option(help="Made from release and content if left out.")] = "",
) -> None:
    """Add a cloud image (with cloud-init) for a release and architecture, once it is verified."""
    from api.images.cloud_image import Trusted, cut_cloud_image
    from api.images.fetch import Checksum
    from api.images.manifest import Manifest
    from api.states import BootMethod

    if bool(sha256) == bool(sha512):
        raise FirstboxError("Give the image's checksum: one of --sha256 and --sha512.")
    if (signature is None) != (keyring is None):
        raise FirstboxError("A signature is checked with a keyring: give both or none.")
    checksum = Checksum("sha256" if sha256 else "sha512", (sha256 or sha512).lower())
    trusted = Trusted(checksum, signature, keyring)

    def fill(place: Path) -> Manifest:
        made = cut_cloud_image(source, trusted, place, _progress)
        return Manifest(
            _name(name, os_version, cpu_arch, made.sha256),
            os_version,
            cpu_arch,
            BootMethod.IMAGE,
            made.sha256,
            made.size,
            chunks=made.chunks,
        )

    settings = read_settings()
    with opened_database(settings) as engine:
        _check_new(engine, name or "new", os_version, cpu_arch)
        _add(engine, settings, source, fill)


@app.command("add-installer")
def add_installer(
    method: Annotated[str, typer.Argument(help="preseed, kickstart or autoinstall.")],
    os_version: Annotated[str, typer.Option(help="Release, as machines are registered for it.")],
    cpu_arch: Annotated[str, typer.Option(help="Architecture, such as x86_64.")] = "x86_64",
    kernel: Annotated[Path | None, typer.Option(help="The installer's kernel.")] = None,
    initrd: Annotated[Path | None, typer.Option(help="The installer's initrd.")] = None,
    value: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for its template, such as mirror=URL.")
    ] = None,
    name: Annotated[str, typer.Option(help="Made from release and content if left out.")] = "",
) -> None:
    """Add a distribution's own installer, for systems without a cloud image.

    Without kernel and initrd, Debian's come from the package debian-installer-12-netboot-amd64.
    """
    import shutil

    from api.images.boot_files import INITRD, KERNEL, describe
    from api.images.installers import find_debian_installer, parse_values
    from api.images.manifest import Manifest
    from api.states import BootMethod

    if method not in set(BootMethod) - {BootMethod.IMAGE}:
        raise FirstboxError(
            f"There is no method {method}; choose preseed, kickstart or autoinstall."
        )
    values = parse_values(method, value or [])
    if (kernel is None) != (initrd is None):
        raise FirstboxError("Give kernel and initrd, or neither.")
    if kernel is None or initrd is None:
        if method != BootMethod.PRESEED:
            raise FirstboxError(f"An installer of the method {method} needs --kernel and --initrd.")
        kernel, initrd = find_debian_installer()
    files = {KERNEL: kernel, INITRD: initrd}

    def fill(place: Path) -> Manifest:
        for target, file in files.items():
            shutil.copyfile(file, place / target)
        sha256, described = describe(place)
        whole = _name(name, os_version, cpu_arch, sha256)
        return Manifest(
            whole, os_version, cpu_arch, method, sha256, 0, files=described, values=values
        )

    settings = read_settings()
    with opened_database(settings) as engine:
        _check_new(engine, name or "new", os_version, cpu_arch)
        _add(engine, settings, str(kernel), fill)


def _check_new(engine: "Engine", name: str, os_version: str, cpu_arch: str) -> None:
    """Refuse before the work is done."""
    from api.domain import images
    from api.store.session import reading

    with reading(engine) as connection:
        images.check_new(connection, name, os_version, cpu_arch)


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
        with (
            audited(engine, "RemoveImage", {"name": name}),
            writing(engine) as connection,
        ):
            row = images.remove(connection, name)
        with _translated_files():
            remove_directory(settings.images, row.directory)
    say(f"Removed image {name}.")


def _add(
    engine: "Engine", settings: "Settings", source: str, fill: Callable[[Path], "Manifest"]
) -> None:
    """Have `fill` put the files into a new directory; make the image known when they are there."""
    from api.domain import images
    from api.images.library import finish, keep, new_directory
    from api.store.session import writing

    with _translated_files(), new_directory(settings.images) as place:
        manifest = fill(place)
        finish(place, manifest)
        asked = {"name": manifest.name, "sha256": manifest.sha256}
        with audited(engine, "AddImage", asked), writing(engine) as connection:
            is_new = images.add(connection, manifest, source=source)
            if is_new:
                keep(place, manifest.name)
    megabytes = f"{manifest.stored / 1e6:.0f} MB"
    say(f"{'Added' if is_new else 'There is already'} image {manifest.name} ({megabytes}).")


def _name(given: str, os_version: str, cpu_arch: str, sha256: str) -> str:
    """The given name, or one that says what it is and changes with what is in it."""
    return given or f"{os_version.replace(' ', '-')}-{cpu_arch}-{sha256[:8]}"


@contextmanager
def _progress(what: str) -> "Iterator[Advance]":
    """A bar on a terminal, and nothing elsewhere; it appears with the first bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None, visible=False)

        def advance(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total or None, visible=True)

        yield advance


@contextmanager
def _translated_files() -> Iterator[None]:
    """What the file system refuses becomes one sentence."""
    try:
        yield
    except OSError as error:
        raise FirstboxError(f"{error.filename or 'A file'}: {error.strerror or error}.") from error
