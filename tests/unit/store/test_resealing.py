"""After a rotation nothing in the database needs an old key."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text

from api.auth.sealing_key import drop_old, rotation_time, use_next
from api.domain.slicing import whole
from api.settings import Settings
from api.states import BootState, JobAction
from api.store.bm_nodes import BM_NODE
from api.store.boots import BOOT
from api.store.jobs import JOB, create_job
from api.store.resealing import count_older_boots, reseal
from api.store.sealing import Seal
from api.store.session import reading, writing
from api.store.tables import Webhook, columns
from tests.machines import plant_bm_node

WEBHOOK = columns(Webhook)
SEALED = re.compile(r"gAAAA[\w=-]+")


@pytest.fixture
def seal(settings: Settings) -> Seal:
    return Seal(settings.keys)


def add_scan(engine: Engine, seal: Seal) -> str:
    logins = [{"name": "factory", "username": "ADMIN", "password": seal.close("of a scan")}]
    options = {"logins": logins, "dry_run": True}
    with writing(engine) as connection:
        return create_job(
            connection, JobAction.SCAN_BM_NODES, whole({}, {}), user_id="admin", options=options
        )


def add_webhook(engine: Engine, seal: Seal) -> None:
    row = {"webhook_id": "w-1", "url": "http://127.0.0.1/", "secret": seal.close("of a webhook")}
    more = {"events": [], "description": "", "create_time": 0, "failures": 0, "next_time": 0}
    with writing(engine) as connection:
        connection.execute(insert(WEBHOOK).values(row | more | {"error": ""}))


def everything(engine: Engine) -> str:
    """All of our tables' rows, as text."""
    with reading(engine) as connection:
        return "\n".join(
            str(connection.execute(select(table)).all()) for table in (BM_NODE, WEBHOOK, JOB)
        )


def test_all_secrets_open_with_the_new_key_alone(any_engine: Engine, settings: Settings) -> None:
    seal = Seal(settings.keys)
    for number in range(250):  # more than a batch, and some without a password
        sealed = seal.close(f"of a BMC {number}") if number % 5 else ""
        plant_bm_node(any_engine, number, ipmi_password=sealed)
    add_webhook(any_engine, seal)
    job_id = add_scan(any_engine, seal)

    use_next(settings)
    result = reseal(any_engine, seal)
    drop_old(settings)

    assert (result.done, result.lost) == (202, 0)
    found = [seal.open(one) for one in SEALED.findall(everything(any_engine))]
    assert sorted(one for one in found if "BMC" not in one) == ["of a scan", "of a webhook"]
    assert len(found) == 202
    with reading(any_engine) as connection:
        options = connection.execute(
            select(JOB.c.options).where(JOB.c.job_id == job_id)
        ).scalar_one()
    assert (options["dry_run"], options["logins"][0]["username"]) == (True, "ADMIN")


def test_what_is_sealed_anew_already_is_left_alone(
    engine: Engine, settings: Settings, seal: Seal
) -> None:
    plant_bm_node(engine, 1, ipmi_password=seal.close("s3cret"))
    use_next(settings)
    reseal(engine, seal)
    before = everything(engine)

    assert reseal(engine, seal).done == 0
    assert everything(engine) == before


def test_a_password_that_is_changed_meanwhile_stays_as_it_was_written(
    engine: Engine, settings: Settings, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_id = plant_bm_node(engine, 1, ipmi_password=seal.close("old password"))
    use_next(settings)
    written = seal.close("new password")

    def open_late(sealed: str, really: Callable[[str], str] = seal.open) -> str:
        with writing(engine) as connection:
            changed = {"new": written, "at": node_id}
            connection.execute(
                text("UPDATE bm_node SET ipmi_password = :new WHERE node_id = :at"), changed
            )
        return really(sealed)

    monkeypatch.setattr(seal, "open", open_late)
    reseal(engine, seal)

    assert written in everything(engine)


def test_a_secret_that_no_key_opens_is_counted_and_stops_nothing(
    engine: Engine, settings: Settings, seal: Seal
) -> None:
    plant_bm_node(engine, 1, ipmi_password="gAAAAA-of-another-key")
    plant_bm_node(engine, 2, ipmi_password=seal.close("s3cret"))
    use_next(settings)

    result = reseal(engine, seal)

    assert (result.done, result.lost) == (1, 1)
    assert "gAAAAA-of-another-key" in everything(engine)


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ({}, 1),
        ({"state": BootState.CLOSED}, 0),
        ({"create_time": time.time() + 60}, 0),
        ({"expire_time": 10.0}, 0),
    ],
)
def test_machines_that_boot_since_before_the_rotation_are_counted(
    engine: Engine, settings: Settings, values: dict[str, Any], counted: int
) -> None:
    row = {"boot_id": "b-1", "provision_id": "", "mac": "52:54:00:00:00:01", "method": "ramdisk"}
    times = {"create_time": 0.0, "expire_time": time.time() + 600}
    rest = {
        "state": BootState.OPEN,
        "image": "",
        "address": "",
        "host_key": "",
        "hello": {},
        "zone_id": "default",
    }
    with writing(engine) as connection:
        connection.execute(insert(BOOT).values(row | times | rest | values))

    with reading(engine) as connection:
        assert count_older_boots(connection, rotation_time(settings)) == counted
