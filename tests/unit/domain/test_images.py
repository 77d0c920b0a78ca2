"""Which image a machine gets, and when images may come and go."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from api.domain import images
from api.errors import Conflict, Malformed, NotFound
from api.images.manifest import Manifest
from api.states import RAMDISK, BmNodeStatus
from api.store.bm_nodes import move_bm_nodes
from api.store.images import get_images
from api.store.session import reading, writing
from tests.machines import plant_bm_node

OLD = Manifest("old", "12", "x86_64", "image", "1" * 64, 1 << 30)
NEW = replace(OLD, name="new", sha256="2" * 64)
FOR_RAM = Manifest("ram", RAMDISK, "x86_64", RAMDISK, "3" * 64, 0)


def add(engine: Engine, *manifests: Manifest) -> list[bool]:
    with writing(engine) as connection:
        return [images.add(connection, manifest, source="test") for manifest in manifests]


def names(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return {row.name for row in get_images(connection)}


def remove(engine: Engine, name: str) -> None:
    with writing(engine) as connection:
        images.remove(connection, name)


def chosen(engine: Engine, os_version: str, cpu_arch: str, name: str = "") -> str:
    with reading(engine) as connection:
        return str(images.select_image(connection, os_version, cpu_arch, name).name)


def test_the_newest_is_chosen_unless_one_is_named(engine: Engine) -> None:
    add(engine, OLD)
    add(engine, NEW)

    assert chosen(engine, "12", "x86_64") == "new"
    assert chosen(engine, "12", "x86_64", "old") == "old"


@pytest.mark.parametrize(
    ("os_version", "cpu_arch", "name"),
    [("13", "x86_64", ""), ("12", "aarch64", ""), ("12", "x86_64", "x"), ("13", "x86_64", "old")],
)
def test_another_release_architecture_or_name_finds_none(
    engine: Engine, os_version: str, cpu_arch: str, name: str
) -> None:
    add(engine, OLD)

    with pytest.raises(NotFound):
        chosen(engine, os_version, cpu_arch, name)


def test_the_same_image_twice_is_one(engine: Engine) -> None:
    assert add(engine, OLD, OLD) == [True, False]
    assert names(engine) == {"old"}


def test_a_name_is_given_once(engine: Engine) -> None:
    add(engine, OLD)

    with pytest.raises(Conflict, match="There is an image old already"):
        add(engine, replace(NEW, name="old"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"name": ".x"},
        {"name": ""},
        {"name": "a" * 65},
        {"os_version": "12\n"},
        {"os_version": "{{ x }}"},
        {"cpu_arch": "x86-64"},
    ],
)
def test_names_that_would_be_paths_or_templates_are_refused(
    engine: Engine, wrong: dict[str, str]
) -> None:
    with pytest.raises(Malformed, match=next(iter(wrong))):
        add(engine, replace(OLD, **wrong))
    assert names(engine) == set()


def test_an_image_goes_when_no_machine_is_at_it(engine: Engine) -> None:
    add(engine, OLD)
    plant_bm_node(engine)

    remove(engine, "old")

    assert names(engine) == set()
    with pytest.raises(NotFound, match="no image old"):
        remove(engine, "old")


@pytest.mark.parametrize("image", ["", "old"])
def test_an_image_stays_while_a_machine_gets_it(engine: Engine, image: str) -> None:
    add(engine, OLD, FOR_RAM)
    node = provisioning(engine, image=image)

    for name in ("old", "ram"):
        with pytest.raises(Conflict, match=node):
            remove(engine, name)
    assert names(engine) == {"old", "ram"}


def test_another_image_may_go_meanwhile(engine: Engine) -> None:
    add(engine, OLD, NEW)
    provisioning(engine, image="new")

    remove(engine, "old")

    assert names(engine) == {"new"}


def provisioning(engine: Engine, *, image: str) -> str:
    node = plant_bm_node(engine, image=image)
    with writing(engine) as connection:
        move_bm_nodes(connection, {node: BmNodeStatus.PROVISIONING})
    return node
