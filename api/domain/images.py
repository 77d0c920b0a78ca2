"""Which image a machine gets, and when images may come and go."""

import re
from typing import Any

from sqlalchemy import Connection, Row

from api.domain.conditions import named
from api.errors import Conflict, Malformed, NotFound
from api.images.manifest import Manifest
from api.states import BootMethod
from api.store import images

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", re.ASCII)
# As in registrations: `12`, `14.04.5`, `Rocky 9`.
_OS_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z ._-]{0,63}", re.ASCII)
_CPU_ARCH = re.compile(r"[0-9a-z][0-9a-z_]{0,15}", re.ASCII)


def select_image(connection: Connection, os_version: str, cpu_arch: str, name: str) -> Row[Any]:
    """The newest image for this release and architecture, or the one of this name. Raises NotFound."""
    image = images.find_image(connection, os_version, cpu_arch, name)
    if image is None:
        what = f"image {name}" if name else "image"
        raise NotFound(f"There is no {what} for {os_version} on {cpu_arch}.")
    return image


def check_new(connection: Connection, name: str, os_version: str, cpu_arch: str) -> None:
    """Refuse what cannot be added, before the work is done. Raises Malformed or Conflict."""
    for field, value, form in (
        ("name", name, _NAME),
        ("os_version", os_version, _OS_VERSION),
        ("cpu_arch", cpu_arch, _CPU_ARCH),
    ):
        if not form.fullmatch(value):
            raise Malformed.field(field, f"'{value}' does not match {form.pattern}.")
    if images.get_image(connection, name) is not None:
        raise Conflict(
            f"There is an image {name} already: choose another name, or remove it first."
        )


def add(connection: Connection, manifest: Manifest, *, source: str) -> bool:
    """Make an image known; False if this very image is known already. Raises Conflict."""
    known = images.get_image(connection, manifest.name)
    if known is not None and known.sha256 == manifest.sha256 and known.method == manifest.method:
        return False
    check_new(connection, manifest.name, manifest.os_version, manifest.cpu_arch)
    images.add_image(connection, manifest, manifest.name, source)
    return True


def remove(connection: Connection, name: str) -> Row[Any]:
    """Forget an image that no machine boots or installs just now. Raises NotFound or Conflict."""
    image = images.get_image(connection, name)
    if image is None:
        raise NotFound(f"There is no image {name}.")
    busy = images.machines_getting(connection, image)
    if busy:
        raise Conflict(f"Image {name} is in use: machine {named(busy)} is being installed.")
    images.remove_image(connection, name)
    return image


def view(row: Row[Any]) -> dict[str, Any]:
    """An image as lists show it."""
    return {
        "name": row.name,
        "os_version": row.os_version,
        "cpu_arch": row.cpu_arch,
        "method": row.method,
        "disk_gb": f"{row.size / 1e9:.1f}" if row.method == BootMethod.IMAGE else "-",
        "stored_mb": f"{row.stored / 1e6:.0f}",
        "sha256": row.sha256[:12],
        "source": row.source,
    }
