"""Boots in both databases: whose token it is, and what was seen first."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Row, insert, select

from api.store.bm_nodes import BM_NODE
from api.store.boots import (
    BOOT,
    Sighting,
    active_boots,
    close_boots,
    find_by_tokens,
    open_discovery,
    record,
    set_local,
    token_of,
)
from api.store.jobs import get_log
from api.store.nodes import NODE, node_row
from api.store.sealing import KEY_FILE, Seal, new_key
from api.store.session import reading, writing
from tests.lab.boot_server import new_boot, registration

MAC = "52:54:00:00:00:01"


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    """Keys of the test's own."""
    (tmp_path / KEY_FILE).write_bytes(new_key())
    return Seal(tmp_path)


def add_boot(engine: Engine, number: int = 1, zone_id: str = "default", **values: Any) -> Row[Any]:
    """A machine and its boot."""
    mac = f"52:54:00:00:00:{number:02x}"
    node = node_row(zone_id=zone_id, description="", create_time=1.0)
    with writing(engine) as connection:
        connection.execute(insert(NODE).values(**node))
        connection.execute(insert(BM_NODE).values(**registration(node["node_id"], mac)))
    return read(engine, new_boot(engine, node["node_id"], mac, **values))


def read(engine: Engine, boot_id: str) -> Row[Any]:
    with reading(engine) as connection:
        return connection.execute(select(BOOT).where(BOOT.c.boot_id == boot_id)).one()


def test_tokens_are_found_together_and_only_while_they_are_good(
    any_engine: Engine, seal: Seal
) -> None:
    open_, local, closed, expired = (
        add_boot(any_engine, number, seconds=seconds)
        for number, seconds in ((1, 60), (2, 60), (3, 60), (4, -1))
    )
    tokens = {
        boot.boot_id: token_of(seal, boot.boot_id) for boot in (open_, local, closed, expired)
    }
    with writing(any_engine) as connection:
        set_local(connection, [local.node_id], 60)
        close_boots(connection, [closed.node_id])
        forged = tokens[open_.boot_id][:-32] + "0" * 32
        asked = [*tokens.values(), forged, "", "b-12345678", "x" * 100]
        found = find_by_tokens(connection, seal, asked)
    assert {token: boot.boot_id for token, boot in found.items()} == {
        tokens[open_.boot_id]: open_.boot_id
    }


# SQLite has no clock of its own, and one host.
@pytest.mark.parametrize("any_engine", ["postgresql"], indirect=True)
def test_a_boot_is_answered_where_the_clock_is_wrong(
    any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot, _expired = add_boot(any_engine, 1, seconds=60), add_boot(any_engine, 2, seconds=-1)
    right = time.time
    for hours in (-2, 2):
        monkeypatch.setattr(time, "time", lambda hours=hours: right() + hours * 3600)
        with reading(any_engine) as connection:
            assert [row.boot_id for row in active_boots(connection)] == [boot.boot_id]


def test_a_boot_server_is_told_of_its_zones_machines_and_of_those_nobody_knows(
    any_engine: Engine,
) -> None:
    here, there = (add_boot(any_engine, number, zone_id=f"z{number}").boot_id for number in (1, 2))
    with writing(any_engine) as connection:
        limits = {"most": 1, "seconds": 60.0, "pause": 60.0}
        unknown = open_discovery(connection, "52:54:00:00:00:ff", **limits)

    with reading(any_engine) as connection:
        told = {
            zones: [row.boot_id for row in active_boots(connection, zones)]
            for zones in ((), ("z1",), ("z1", "z2"), ("z3",))
        }

    assert told == {
        (): [here, there, unknown],
        ("z1",): [here, unknown],
        ("z1", "z2"): [here, there, unknown],
        ("z3",): [unknown],
    }


def test_the_first_time_counts_and_the_last_value(any_engine: Engine) -> None:
    boot, other = add_boot(any_engine, 1), add_boot(any_engine, 2)
    with writing(any_engine) as connection:
        record(
            connection,
            [
                Sighting(boot, "asks", {"dhcp_time": 1.0, "address": "10.0.0.1"}),
                Sighting(other, "asks", {"dhcp_time": 3.0}),
                Sighting(boot, "", {"dhcp_time": 2.0, "address": "10.0.0.2", "hello": {"a": 1}}),
            ],
        )
    with writing(any_engine) as connection:
        record(connection, [Sighting(boot, "asks again", {"dhcp_time": 9.0})])
    seen = read(any_engine, boot.boot_id)
    assert (seen.dhcp_time, seen.address, seen.hello) == (1.0, "10.0.0.2", {"a": 1})
    assert read(any_engine, other.boot_id).dhcp_time == 3.0
    with reading(any_engine) as connection:
        lines = [line.text for line in get_log(connection, boot.job_id)]
    assert lines == [f"{boot.node_id} {MAC}: asks", f"{boot.node_id} {MAC}: asks again"]
