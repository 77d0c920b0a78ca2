"""What a long sweep says in its job's log meanwhile."""

from typing import Any

import pytest
from sqlalchemy import Engine, select

from api.states import JobAction
from api.store.jobs import LOG_LINE, Part, create_job
from api.store.session import reading, writing
from tests.unit.roles.plugins import action_plugin


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The role's action plugin, in which time does not count."""
    module = action_plugin("bmc_sweep")
    monkeypatch.setattr(module, "_PULSE", 0.0)
    return module


@pytest.fixture
def job(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    with writing(engine) as connection:
        action = JobAction.SCAN_BM_NODES
        job_id = create_job(connection, action, [Part("default", {})], user_id="admin")
    monkeypatch.setenv("FIRSTBOX_JOB", f"{job_id}.0.1")
    return job_id


def lines(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(select(LOG_LINE.c.text)).scalars())


def test_there_is_a_line_for_about_each_tenth(plugin: Any, engine: Engine, job: str) -> None:
    log = plugin._Log(engine)

    for asked in range(0, 4097, 64):
        log.told(asked, 4096, asked // 100)

    said = lines(engine)
    assert said[0] == "11% asked, 4 answer"
    assert 8 <= len(said) <= 10


def test_a_fast_sweep_says_nothing(
    plugin: Any, engine: Engine, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "_PULSE", 5.0)
    log = plugin._Log(engine)

    log.told(4096, 4096, 200)

    assert lines(engine) == []


def test_without_a_job_there_is_no_log(
    plugin: Any, engine: Engine, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIRSTBOX_JOB")

    plugin._Log(engine).told(4096, 4096, 200)

    assert lines(engine) == []
