"""What disk_image says of an installer that never ends."""

import time
from typing import Any

import pytest
from sqlalchemy import Engine

from api.domain import jobs
from api.settings import Settings
from api.states import JobAction
from api.store.boots import open_boot, see
from api.store.installations import read_installations
from api.store.session import reading, writing
from tests.fakes import RecordingQueue
from tests.machines import plant_bm_node, plant_images
from tests.unit.roles.plugins import action_plugin


@pytest.fixture(scope="module")
def plugin() -> Any:
    """The role's action plugin."""
    return action_plugin("disk_image")


@pytest.fixture
def boot(engine: Engine, settings: Settings) -> tuple[str, str]:
    """A machine whose installer said hello, and its boot."""
    plant_images(engine, settings.images)
    node_id = plant_bm_node(engine)
    with writing(engine) as connection:
        job_id = jobs.start(
            connection, RecordingQueue(), JobAction.PROVISION_BM_NODES, [node_id], user_id="admin"
        )
    with reading(engine) as connection:
        provision_id = read_installations(connection, [node_id])[node_id].machine.provision_id
    with writing(engine) as connection:
        boot_id = open_boot(
            connection,
            node_id=node_id,
            job_id=job_id,
            provision_id=provision_id,
            mac="52:54:00:00:00:01",
            method="preseed",
            image="debian-12",
            seconds=60,
        )
        note(connection, boot_id, "hello_time")
    return node_id, boot_id


def test_an_installer_that_never_reports_its_end_is_silent(
    plugin: Any, engine: Engine, settings: Settings, boot: tuple[str, str]
) -> None:
    [result] = wait(plugin, engine, settings, boot[0])

    assert (result.ok, result.reason) == (False, "installer_silent")
    assert result.message == "did not report its end within 0.1 s"


def test_an_installer_that_reported_its_end_is_done_and_its_disk_is_ours(
    plugin: Any, engine: Engine, settings: Settings, boot: tuple[str, str]
) -> None:
    with writing(engine) as connection:
        note(connection, boot[1], "done_time")

    [result] = wait(plugin, engine, settings, boot[0])

    assert result.ok, result.message
    with reading(engine) as connection:
        machine = read_installations(connection, [boot[0]])[boot[0]].machine
    assert machine.written_disk


def wait(plugin: Any, engine: Engine, settings: Settings, node_id: str) -> list[Any]:
    with reading(engine) as connection:
        found = read_installations(connection, [node_id])
    args = {"deadline": 1, "installer_deadline": 0.1, "erase": False, "at_once": 1, "stall": 1}
    results: list[Any] = plugin._DiskImage(engine, settings, found, args).write()
    return results


def note(connection: Any, boot_id: str, column: str) -> None:
    see(connection, {boot_id: {column: time.time()}})
