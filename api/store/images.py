"""Queries about images and the ramdisk."""

from typing import Any

from sqlalchemy import Connection, Row, select

from api.store.tables import Image, columns

IMAGE = columns(Image)
RAMDISK = "ramdisk"  # stands for an os_version and a method of its own


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
