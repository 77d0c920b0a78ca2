"""Queries about images and the ramdisk."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select

from api.images.manifest import Manifest, parse_manifest, read_manifest
from api.states import RAMDISK, BmNodeStatus
from api.store.tables import BmNode, Image, ImageManifest, columns

IMAGE = columns(Image)
IMAGE_MANIFEST = columns(ImageManifest)
_BM_NODE = columns(BmNode)


def find_image(
    connection: Connection, os_version: str, cpu_arch: str, name: str
) -> Row[Any] | None:
    """The newest image of this release and architecture; with a name, only if it is that one."""
    query = select(IMAGE).where(IMAGE.c.os_version == os_version, IMAGE.c.cpu_arch == cpu_arch)
    if name:
        query = query.where(IMAGE.c.name == name)
    return connection.execute(
        query.order_by(IMAGE.c.create_time.desc(), IMAGE.c.name).limit(1)
    ).one_or_none()


def find_ramdisk(connection: Connection, cpu_arch: str) -> Row[Any] | None:
    """The newest ramdisk for this architecture; for an unknown one, if all there are fit one."""
    query = select(IMAGE).where(IMAGE.c.os_version == RAMDISK).order_by(IMAGE.c.create_time.desc())
    found = connection.execute(query).all()
    fit = [row for row in found if row.cpu_arch == (cpu_arch or found[0].cpu_arch)]
    return fit[0] if fit and (cpu_arch or len(fit) == len(found)) else None


def get_image(connection: Connection, name: str) -> Row[Any] | None:
    """The image of this name."""
    return connection.execute(select(IMAGE).where(IMAGE.c.name == name)).one_or_none()


def get_images(connection: Connection) -> Sequence[Row[Any]]:
    """All images, by release, the newest of each first."""
    order = (IMAGE.c.os_version, IMAGE.c.cpu_arch, IMAGE.c.create_time.desc())
    return connection.execute(select(IMAGE).order_by(*order)).all()


def add_image(connection: Connection, manifest: Manifest, directory: str, source: str) -> None:
    """Make an image known: from now on machines may get it."""
    connection.execute(
        insert(IMAGE).values(
            name=manifest.name,
            os_version=manifest.os_version,
            cpu_arch=manifest.cpu_arch,
            method=manifest.method,
            sha256=manifest.sha256,
            size=manifest.size,
            stored=manifest.stored,
            directory=directory,
            source=source,
            create_time=time.time(),
        )
    )
    text = manifest.as_json()
    connection.execute(insert(IMAGE_MANIFEST).values(name=manifest.name, text=text))


def get_manifest(connection: Connection, image: Row[Any], images: Path) -> Manifest:
    """What an image holds; read from `images` where it was added by a release that kept it only there.

    Raises ManifestError.
    """
    query = select(IMAGE_MANIFEST.c.text).where(IMAGE_MANIFEST.c.name == image.name)
    text = connection.execute(query).scalar()
    return read_manifest(images / image.directory) if text is None else parse_manifest(text)


def remove_image(connection: Connection, name: str) -> None:
    """Forget an image: no machine gets it any more."""
    connection.execute(delete(IMAGE).where(IMAGE.c.name == name))


def machines_getting(connection: Connection, image: Row[Any]) -> list[str]:
    """Ids of machines that a job is at which may boot or install this image; in order."""
    query = select(_BM_NODE.c.node_id).where(
        _BM_NODE.c.status == BmNodeStatus.PROVISIONING, _BM_NODE.c.cpu_arch == image.cpu_arch
    )
    if image.os_version != RAMDISK:
        query = query.where(
            _BM_NODE.c.os_version == image.os_version,
            or_(_BM_NODE.c.image == "", _BM_NODE.c.image == image.name),
        )
    return list(connection.execute(query.order_by(_BM_NODE.c.node_id)).scalars())
