"""Registered machines for tests: as callers ask for them, and straight into the database."""

import hashlib
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from api.images.manifest import FILE_NAME, BootFile, Manifest
from api.states import RAMDISK
from api.store.ids import new_id
from api.store.images import add_image
from api.store.session import writing
from api.store.tables import BmNode, Node, columns


def asked(number: int = 1, **fields: Any) -> dict[str, Any]:
    """What RegisterBMNodes is told of one machine. `number` tells several apart."""
    return {
        "os_version": "12",
        "cpu_arch": "x86_64",
        "hostname": f"r01n{number:02}",
        "ipmi_network_address": f"10.1.{number // 250}.{number % 250 + 1}",
        "ipmi_username": "ADMIN",
        "ipmi_password": "s3cret-of-bmc",
        "pxe_network_mac_addr": f"52:54:00:00:{number // 256:02x}:{number % 256:02x}",
        "mgmt_network_address": f"10.2.{number // 250}.{number % 250 + 1}",
        "mgmt_network_netmask": "255.255.0.0",
        **fields,
    }


def a_range(**fields: Any) -> dict[str, Any]:
    """What ScanBMNodes is told of a range."""
    return {
        "ip_start": "10.1.0.1",
        "ip_end": "10.1.0.254",
        "credentials": [{"name": "factory", "username": "ADMIN", "password": "s3cret-of-bmc"}],
        **fields,
    }


def plant_bm_node(engine: Engine, number: int = 1, **values: Any) -> str:
    """A bare machine with the status `new`; its id. `number` tells several apart."""
    node_id, now = values.pop("node_id", None) or new_id("n"), time.time()
    node = {
        "node_id": node_id,
        "address_order": "",
        "zone_id": "default",
        "status": "pending",
        "create_time": now,
        "update_time": now,
        "sub_roles": [],
    }
    names = ("hostname", "description", "role", "product_type", "product_name", "serial_number")
    node |= dict.fromkeys((*names, "host_key", "hardware", "pre_status"), "")
    machine = BmNode(
        node_id=node_id,
        status="new",
        os_version="12",
        cpu_arch="x86_64",
        hostname=f"r01n{number:02}",
        serial_number=f"SN{number:04}",
        ipmi_network_address=f"127.0.99.{number}",
        ipmi_username="ADMIN",
        pxe_network_mac_addr=f"52:54:00:00:00:{number:02x}",
        mgmt_network_address=f"10.0.0.{number}",
        mgmt_network_netmask="255.255.255.0",
        create_time=now,
        update_time=now,
    ).model_dump()
    with writing(engine) as connection:
        connection.execute(insert(columns(Node)).values(node))
        connection.execute(insert(columns(BmNode)).values(machine | values))
    return node_id


def plant_images(engine: Engine, images: Path) -> None:
    """An image for what `asked` asks for, and a ramdisk; both boot nothing. `images` is their place."""
    for name, os_version, method in (("debian-12", "12", "image"), (RAMDISK, RAMDISK, RAMDISK)):
        place = images / name
        place.mkdir(parents=True)
        files = []
        for file in ("kernel", "initrd"):
            (place / file).write_bytes(b"nothing")
            files.append(BootFile(file, hashlib.sha256(b"nothing").hexdigest(), 7))
        manifest = Manifest(name, os_version, "x86_64", method, "0" * 64, 1, files=tuple(files))
        (place / FILE_NAME).write_text(manifest.as_json())
        with writing(engine) as connection:
            add_image(connection, manifest, name, "a test")
